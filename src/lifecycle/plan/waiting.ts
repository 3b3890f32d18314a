/** Which waits run: for the negative cache, for mail on its way (overlap), for those who still ask (tombstone). */
import { findStream, isAbsentEverywhere, isPipeline, isSeen, policyOf } from '../facts.ts';
import { hasBeenActive } from '../transitions.ts';
import type { KeyView } from '../types.ts';
import { creditCap, presentWait, waitStep } from '../waits.ts';
import type { Look } from './look.ts';

/** How long the wait (or its present part) of the key's state is, in milliseconds; null where it has none. */
export function waitOf(look: Look, key: KeyView): number | null {
  const policy = policyOf(findStream(look.snapshot, key.stream), look.policy);
  if (key.ownership === 'external') return null;
  // It may have signed somewhere until it was given up.
  if (isPipeline(key) && key.imported && look.snapshot.domain.removingAt !== null) return policy.overlap;
  if (isPipeline(key)) return presentWait(key, policy);
  if (key.state === 'retiring') return policy.overlap;
  if (key.state === 'revoked' && hasBeenActive(key)) return policy.tombstone;
  return null;
}

/**
 * A wait is credited with the time since the last look where what it waits on held at that look and still does. What began
 * since the last look is credited from the next one on: too little rather than too much.
 */
export function planWaits(look: Look): void {
  for (const key of look.keys) {
    const wait = waitOf(look, key);
    if (wait === null || key.waited >= wait) continue;
    if (!runs(look, key, wait, look.snapshot.domain.lastLookAt)) {
      // It began since the last look, and nothing else may be due for a day: the next look has to be soon for it to be credited.
      if (runs(look, key, wait, look.now)) look.again(look.now + waitStep(wait));
      continue;
    }
    look.waits[key.id] = look.guards.creditCap ? creditCap(wait) : Number.MAX_SAFE_INTEGER;
    look.again(look.now + waitStep(wait));
  }
}

/** Whether what the wait waits on has held since `last` (the last look, or null before the first). */
function runs(look: Look, key: KeyView, wait: number, last: number | null): boolean {
  if (last === null) return true;
  const { removingAt } = look.snapshot.domain;
  if (isPipeline(key) && key.imported && removingAt !== null) return removingAt <= last;
  if (key.state === 'retiring') {
    return (
      (key.retiredAt ?? 0) <= last &&
      isAbsentEverywhere(look.snapshot, key) &&
      look.snapshot.signers.every((signer) => signer.setAsideAt !== null || (signer.acknowledgedAt ?? 0) <= last)
    );
  }
  const expected = key.state === 'revoked' ? 'revoked' : 'key';
  if (!isSeen(key, expected) || key.proof === null || key.provedSince === null || key.provedSince > last) return false;
  // A tombstone's record needs no watching: what it waits for happens elsewhere.
  return key.state === 'revoked' || Math.abs(look.now - key.proof.at) <= creditCap(wait);
}

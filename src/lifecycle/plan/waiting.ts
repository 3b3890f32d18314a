/** Which waits run: for the negative cache, for mail on its way (overlap), for those who still ask (tombstone). */
import { findStream, isAbsentEverywhere, isPipeline, isReleased, isSeen, isSpoiled, policyOf } from '../facts.ts';
import { isPastNegativeCaches } from '../rules.ts';
import { hasBeenActive } from '../transitions.ts';
import type { KeyView } from '../types.ts';
import { creditCap, presentWait, urgentWait, waitStep } from '../waits.ts';
import type { Look } from './look.ts';

/** How long the wait (or its present part) of the key's state is, in milliseconds; null where it has none. */
export function waitOf(look: Look, key: KeyView): number | null {
  const policy = policyOf(findStream(look.snapshot, key.stream), look.policy);
  if (key.ownership === 'external') return null;
  // It may have signed somewhere until it was given up.
  if (isPipeline(key) && key.imported && givenUpAt(look, key) !== null) return policy.overlap;
  if (isPipeline(key)) return presentWait(key, policy);
  if (isRegaining(key)) return urgentWait(key);
  if (key.state === 'retiring') return key.kept === true && !isSpoiled(key) ? null : policy.overlap;
  if (key.state === 'revoked' && hasBeenActive(key)) return policy.tombstone;
  return null;
}

/** Since when an imported key that never entered here is on its way out; null where it is not. */
function givenUpAt(look: Look, key: KeyView): number | null {
  return look.snapshot.domain.removingAt ?? (isReleased(key) ? (key.releasedAt ?? 0) : null);
}

/** A key that may enter again by a person's word, and whose record was away since it entered first: resolvers may remember that. */
export function isRegaining(key: KeyView): boolean {
  if (key.state !== 'active' && !(key.state === 'retiring' && key.kept === true)) return false;
  return !isSpoiled(key) && isSeen(key) && !isPastNegativeCaches(key);
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
  const givenUp = isPipeline(key) && key.imported ? givenUpAt(look, key) : null;
  if (givenUp !== null) return givenUp <= last;
  if (key.state === 'retiring' && !isRegaining(key)) {
    return (
      Math.max(key.retiredAt ?? 0, key.releasedAt ?? 0) <= last &&
      isAbsentEverywhere(look.snapshot, key) &&
      look.snapshot.signers.every((signer) => signer.setAsideAt !== null || (signer.acknowledgedAt ?? 0) <= last)
    );
  }
  const expected = key.state === 'revoked' ? 'revoked' : 'key';
  if (!isSeen(key, expected) || key.proof === null || key.provedSince === null || key.provedSince > last) return false;
  // A tombstone's record needs no watching: what it waits for happens elsewhere.
  return key.state === 'revoked' || Math.abs(look.now - key.proof.at) <= creditCap(wait);
}

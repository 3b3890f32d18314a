/** Where every history must end when its incidents are over. */
import { choosersOf, isAcknowledged, isSeen, isSpoiled, isStock, policyOf } from '../facts.ts';
import { specsFor } from '../plan/abilities.ts';
import { matches } from '../plan/stream.ts';
import type { Policy } from '../policy.ts';
import type { Snapshot } from '../types.ts';

const DAY = 86_400_000;

/** Every stream signs with exactly the keys that its policy asks for, proved, loaded and seen to sign everywhere. */
export function isAtGoal(snapshot: Snapshot, policy: Policy, now: number): boolean {
  if (snapshot.domain.removingAt !== null) return false;
  if (snapshot.domain.kind === 'shadow') return holdsStock(snapshot, policy);
  return snapshot.streams.every((stream) => {
    const its = policyOf(stream, policy);
    const specs = specsFor(snapshot, stream, its);
    const wanted = specs.reduce((sum, spec) => sum + spec.count, 0);
    // What was asked for beside the policy's kinds is nobody's successor; and nothing is asked of signers that can sign with none.
    if (wanted === 0) return true;
    const active = snapshot.keys.filter(
      (key) =>
        key.stream === stream.name &&
        key.state === 'active' &&
        (key.wanted === undefined || specs.some((spec) => spec.algorithm === key.algorithm && spec.count > 0)),
    );
    return (
      active.length === wanted &&
      specs.every((spec) => active.filter((key) => matches(key, spec)).length === spec.count) &&
      active.every(
        (key) =>
          isSeen(key) &&
          !isSpoiled(key) &&
          isAcknowledged(snapshot, key) &&
          choosersOf(snapshot, key).every((signer) => key.signaturesSeen[signer.id] !== undefined) &&
          (its.freeze.length > 0 ||
            now - Math.max(key.activatedAt ?? 0, key.wanted?.at ?? 0) <
              its.rotateEvery * (1 + its.jitter) + its.lead * 6 + 10 * DAY),
      )
    );
  });
}

/** A shadow has as many keys ready as its policy asks for, each proved. */
function holdsStock(snapshot: Snapshot, policy: Policy): boolean {
  const its = policyOf(snapshot.streams[0], policy);
  return its.keys.every((spec) => {
    const ready = snapshot.keys.filter((key) => isStock(key) && key.state === 'standby' && matches(key, spec));
    return ready.filter((key) => isSeen(key)).length >= (spec.count > 0 ? Math.max(its.standby, spec.count) : 0);
  });
}

export function describe(snapshot: Snapshot): string {
  const keys = snapshot.keys
    .filter((key) => key.state !== 'removed')
    .map((key) => `${key.selector} ${key.stream} ${key.algorithm}-${key.bits} ${key.state}`);
  return [...keys, ...snapshot.conditions.map((c) => c.reason)].join(', ');
}

/** Where every history must end when its incidents are over. */
import { hasSigned, isAcknowledged, isSeen, isSpoiled, policyOf } from '../facts.ts';
import type { Policy } from '../policy.ts';
import type { Snapshot } from '../types.ts';

const DAY = 86_400_000;

/** Every stream signs with exactly the keys that its policy asks for, proved, loaded and seen to sign everywhere. */
export function isAtGoal(snapshot: Snapshot, policy: Policy, now: number): boolean {
  if (snapshot.domain.removingAt !== null) return false;
  return snapshot.streams.every((stream) => {
    const its = policyOf(stream, policy);
    const active = snapshot.keys.filter((key) => key.stream === stream.name && key.state === 'active');
    const wanted = its.keys.reduce((sum, spec) => sum + spec.count, 0);
    return (
      active.length === wanted &&
      its.keys.every(
        (spec) => active.filter((k) => k.algorithm === spec.algorithm && k.bits === spec.bits).length === spec.count,
      ) &&
      active.every(
        (key) =>
          isSeen(key) &&
          !isSpoiled(key) &&
          isAcknowledged(snapshot, key) &&
          hasSigned(snapshot, key) &&
          (its.freeze.length > 0 ||
            now - (key.activatedAt ?? 0) < its.rotateEvery * (1 + its.jitter) + its.lead * 6 + 10 * DAY),
      )
    );
  });
}

export function describe(snapshot: Snapshot): string {
  const keys = snapshot.keys
    .filter((key) => key.state !== 'removed')
    .map((key) => `${key.selector} ${key.stream} ${key.algorithm}-${key.bits} ${key.state}`);
  return [...keys, ...snapshot.conditions.map((c) => c.reason)].join(', ');
}

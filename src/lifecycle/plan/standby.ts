/** Keys in waiting: made ahead, published, proved and aged, so that a successor is there when one is needed. */
import { isReleased, isSeen, isSignable, isSpoiled, isStock } from '../facts.ts';
import type { KeySpec } from '../policy.ts';
import { faultOfWithdrawal } from '../rules.ts';
import { mayMove } from '../transitions.ts';
import type { KeyView, Subject } from '../types.ts';
import { plannedWait, quick, urgentWait } from '../waits.ts';
import type { Look } from './look.ts';
import { nextSelector, slotsNeeded } from './selector.ts';
import { dueAt, type Judged, matches } from './stream.ts';

export function planStandby(look: Look, judged: Judged): void {
  if (look.snapshot.domain.removingAt !== null) return;
  for (const key of judged.pipeline) planProgress(look, judged, key);
  dropSpoiled(look, judged);
  if (judged.stream.external !== true) for (const spec of judged.specs) keepStocked(look, judged, spec);
}

/** created → published once the record is written or seen, published → standby once it has been seen for long enough. */
function planProgress(look: Look, judged: Judged, key: KeyView): void {
  if (isSpoiled(key)) return;
  if (key.state === 'created' && (key.written?.kind === 'key' || isSeen(key))) {
    look.decision({ kind: 'move', keyId: key.id, to: 'published', why: 'its record has been written' });
  } else if (
    key.state === 'published' &&
    isSeen(key) &&
    (key.waited >= requiredWait(judged, key) || !look.guards.negativeWait)
  ) {
    look.decision({
      kind: 'move',
      keyId: key.id,
      to: 'standby',
      why: 'every authoritative server has shown its record for long enough',
    });
  }
}

/** The policy's lead, unless the stream signs with nothing that can be relied upon: then as fast as rule 1 allows. */
function requiredWait(judged: Judged, key: KeyView): number {
  if (key.wanted !== undefined) return urgentWait(key);
  const urgent =
    !judged.active.some((active) => !isSpoiled(active)) ||
    judged.needs.some((need) => need.cause === 'emergency' || need.cause === 'failover');
  return urgent && judged.needs.length > 0 ? urgentWait(key) : plannedWait(key, judged.policy);
}

function keepStocked(look: Look, judged: Judged, spec: KeySpec): void {
  const have = judged.pipeline.filter((key) => isStock(key) && matches(key, spec));
  const wanted = wantedOf(look, judged, spec);
  const need = judged.needs.find((n) => n.spec === spec);
  const mayMake = !judged.paused || need?.cause === 'emergency';
  for (let n = have.length; n < wanted && mayMake; n++) {
    const next = nextSelector(look, judged, spec.algorithm);
    if (next === null) {
      reportNoSlot(look, judged, have.length === 0 && need !== undefined);
      break;
    }
    look.effect({
      kind: 'create-key',
      stream: judged.stream.name,
      ...next,
      algorithm: spec.algorithm,
      bits: spec.bits,
    });
  }
  // Never fewer than the standing stock: what is missing for the moment is soon in use, not surplus.
  const tooMany = have.length - Math.max(wanted, judged.policy.standby);
  if (tooMany > 0 && !isBlocked(judged))
    for (const key of leastReady(have).slice(0, tooMany)) drop(look, key, 'surplus');
}

/** `urgent`: not even the successor that is needed now has a selector. */
function reportNoSlot(look: Look, { stream, policy }: Judged, urgent: boolean): void {
  const subject: Subject = { kind: 'stream', id: stream.name };
  const reason = 'no-free-selector';
  if (
    look.conditions.some(
      (other) => other.reason === reason && other.subject.kind === 'stream' && other.subject.id === stream.name,
    )
  )
    return;
  const [has, needed] = [policy.selectors?.length ?? 0, slotsNeeded(policy)];
  look.report({
    subject,
    reason,
    severity: urgent ? 'warning' : 'info',
    message: `Stream ${stream.name} has no free selector for its next key: all ${has} of the policy are in use, or wait for the end of a tombstone. With ${needed} for each stream a rotation need not wait: add names to the policy's selectors, and have their CNAMEs set.`,
  });
}

function wantedOf(look: Look, judged: Judged, spec: KeySpec): number {
  const { policy } = judged;
  if (look.snapshot.domain.kind === 'shadow') return spec.count > 0 ? Math.max(policy.standby, spec.count) : 0;
  if (spec.count === 0) return 0;
  const need = judged.needs.find((n) => n.spec === spec);
  const missing = need?.missing ?? 0;
  if (need?.cause === 'first') return Math.max(0, missing - importedOf(judged, spec)) + policy.standby;
  return Math.max(policy.standby, missing, dueSoon(look, judged, spec));
}

/** Imported keys, and those asked for, enter by themselves; a first key need not be made beside them. */
function importedOf(judged: Judged, spec: KeySpec): number {
  const isComing = (key: KeyView): boolean => key.wanted !== undefined || (key.imported && key.kept === undefined);
  return judged.pipeline.filter((key) => isComing(key) && matches(key, spec) && !isSpoiled(key)).length;
}

/** Active keys whose turn comes within the time that a new key needs to become standby. */
function dueSoon(look: Look, judged: Judged, spec: KeySpec): number {
  let soon = 0;
  for (const key of judged.active) {
    if (!matches(key, spec)) continue;
    const ahead = plannedWait({ ...key, imported: false }, judged.policy) * 1.3 + quick(judged.policy) * 10;
    const start = dueAt(key, judged.policy) - ahead;
    if (look.now >= start) soon++;
    else look.again(start);
  }
  return soon;
}

/** Keys that must not or can no longer be used: compromised ones, kinds that the policy has given up, and what was kept and is let go. */
function dropSpoiled(look: Look, judged: Judged): void {
  for (const key of judged.pipeline) {
    if (isSpoiled(key)) drop(look, key, 'it was compromised before its first use');
    else if (isReleased(key)) letGo(look, judged, key);
    else if (key.imported || key.kept === true || key.wanted !== undefined) continue;
    else if (!judged.policy.keys.some((spec) => spec.count > 0 && matches(key, spec)) && !isBlocked(judged))
      drop(look, key, 'the policy has no use for its kind');
    else if (!isSignable(look.snapshot, judged.stream.name, key.algorithm) && !isBlocked(judged))
      drop(look, key, 'no signer can sign with its kind');
  }
}

/** One that signed elsewhere before it was taken over waits for the mail on its way. */
function letGo(look: Look, judged: Judged, key: KeyView): void {
  if (isBlocked(judged) || faultOfWithdrawal(look.snapshot, key, 'revoked', look.policy, look.guards) !== null) return;
  drop(look, key, 'it is no longer kept');
}

function drop(look: Look, key: KeyView, why: string): void {
  if (mayMove(key.state, 'revoked')) look.decision({ kind: 'move', keyId: key.id, to: 'revoked', why });
}

function isBlocked(judged: Judged): boolean {
  return judged.paused || judged.frozen !== null;
}

const READINESS = { created: 0, published: 1, standby: 2 } as const;

function leastReady(keys: readonly KeyView[]): readonly KeyView[] {
  const rank = (key: KeyView): number => READINESS[key.state as keyof typeof READINESS] ?? 0;
  return keys.toSorted((a, b) => rank(a) - rank(b) || b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1));
}

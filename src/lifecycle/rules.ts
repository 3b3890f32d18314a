/**
 * What must always hold, as predicates. The planner asks them before it proposes a step, the running program asks them again
 * before it carries one out, and the simulation asks them at every instant. Rule numbers are those of docs/lifecycle.md.
 */
import {
  findKey,
  findStream,
  hasSigned,
  isAbsentEverywhere,
  isAcknowledged,
  isFreshlySeen,
  isSeen,
  isSignable,
  isSpoiled,
  mayEnter,
  policyOf,
  stoodBeforeUs,
} from './facts.ts';
import type { Policy } from './policy.ts';
import { hasBeenActive } from './transitions.ts';
import type { KeyView, Outcome, Snapshot, Step } from './types.ts';
import { negativeWait } from './waits.ts';

export interface Violation {
  readonly rule: 1 | 2 | 3 | 4 | 5;
  readonly keyId: string | null;
  readonly message: string;
}

/** The clauses of the rules, one by one. All are on; a test switches each off to show that the simulation notices. */
export interface Guards {
  /** Rule 1: fresh proof from every authoritative server. */
  readonly freshProof: boolean;
  /** Rule 1: the wait for negative caches. */
  readonly negativeWait: boolean;
  /** Rule 2: another healthy key of the stream is active. */
  readonly successor: boolean;
  /** Rule 2: every signer acknowledged it. */
  readonly acknowledgement: boolean;
  /** Rule 2: a signature of it has been seen. */
  readonly signature: boolean;
  /** Rule 3: every signer acknowledged the key's absence. */
  readonly absence: boolean;
  /** Rule 3: the overlap since the last signature is over. */
  readonly overlap: boolean;
  /** Rule 4: one look credits no more than a share of a wait. */
  readonly creditCap: boolean;
  /** Rule 4: the decision to revoke is stored before the record is touched. */
  readonly decisionFirst: boolean;
  /** Rule 4: a record that was handed to another domain is left alone. */
  readonly handed: boolean;
}

export const allGuards: Guards = {
  freshProof: true,
  negativeWait: true,
  successor: true,
  acknowledgement: true,
  signature: true,
  absence: true,
  overlap: true,
  creditCap: true,
  decisionFirst: true,
  handed: true,
};

const NONE: readonly Violation[] = [];

/**
 * Every rule that this outcome would break if it happened now, given what is known before it. Facts that nobody decides (a
 * proof, a signature) break none. `policy` is the domain's; streams may have their own. Empty when all is well.
 */
export function check(before: Snapshot, outcome: Outcome, policy: Policy, now: number): readonly Violation[] {
  switch (outcome.kind) {
    case 'active-changed':
      return [
        ...checkEntering(before, outcome.enter, policy, now),
        ...checkLeaving(before, outcome.leave, policy, now),
        ...checkStanding(before, outcome.enter, outcome.leave),
      ];
    case 'moved':
      return outcome.to === 'revoked' || outcome.to === 'removed'
        ? checkWithdrawal(before, outcome.keyId, outcome.to, policy)
        : NONE;
    case 'record-written':
      return checkWrite(before, outcome.keyId, outcome.record);
    default:
      return NONE;
  }
}

/** The same question, asked of a step before it is carried out. */
export function checkStep(before: Snapshot, step: Step, policy: Policy, now: number): readonly Violation[] {
  switch (step.kind) {
    case 'change-active':
      return check(before, { kind: 'active-changed', at: now, enter: step.enter, leave: step.leave }, policy, now);
    case 'move':
      return check(before, { kind: 'moved', at: now, keyId: step.keyId, to: step.to }, policy, now);
    case 'write-record':
      return checkWrite(before, step.keyId, step.record);
    default:
      return NONE;
  }
}

/** Rule 1: a key becomes active only while there is fresh proof of its record, after the negative-cache wait. */
export function checkEntering(
  before: Snapshot,
  enter: readonly string[],
  policy: Policy,
  now: number,
  guards: Guards = allGuards,
): readonly Violation[] {
  if (enter.length === 0) return NONE;
  const found: Violation[] = [];
  for (const id of enter) {
    const key = findKey(before, id);
    const fault = key === undefined ? 'is not known' : faultOfEntering(before, key, policy, now, guards);
    if (fault !== null)
      found.push({ rule: 1, keyId: id, message: `${nameOf(key, id)} must not sign yet: it ${fault}` });
  }
  return found;
}

/** Why the key may not become active, as the end of a sentence that begins with "it"; null where it may. */
export function faultOfEntering(
  before: Snapshot,
  key: KeyView,
  policy: Policy,
  now: number,
  guards: Guards = allGuards,
): string | null {
  if (key.ownership === 'external') return 'belongs to somebody else';
  if (key.handedTo !== undefined) return `is ${key.handedTo}'s`;
  if (!mayEnter(before, key)) return `is ${key.state}`;
  if (isSpoiled(key)) return 'is compromised or was rejected';
  const its = policyOf(findStream(before, key.stream), policy);
  if (!isSeen(key)) return `was last found ${key.proof?.verdict ?? 'not at all'}`;
  if (guards.freshProof && !isFreshlySeen(key, its, now)) return 'has no fresh proof';
  if (guards.negativeWait && !isPastNegativeCaches(key)) return 'may still be remembered as missing by resolvers';
  return null;
}

/**
 * Resolvers that asked before the record was there have forgotten it. An imported key's record was there before us
 * unless we had to write it, and so was that of a key that signs or retires, unless it has been away since: then one that signs, or is
 * kept, is waited for anew.
 */
export function isPastNegativeCaches(key: KeyView): boolean {
  if (key.provedSince === null) return false;
  if (key.state === 'retiring' || key.state === 'active') {
    if (key.activatedAt !== null && key.provedSince <= key.activatedAt) return true;
    return (key.state === 'active' || key.kept === true) && key.waited >= negativeWait(key);
  }
  return stoodBeforeUs(key) || key.waited >= negativeWait(key);
}

/** Whether a rollback may count on a key that has left: no resolver remembers its record as missing, as far as is known. */
export function mayComeBack(key: KeyView): boolean {
  return key.proof === null || isPastNegativeCaches(key);
}

/**
 * Rule 2: a key leaves the active set only when another healthy key of its stream stays, every signer has acknowledged it, and
 * a signature of it has been seen. A domain that is being removed lets its keys go.
 */
export function checkLeaving(
  before: Snapshot,
  leave: readonly string[],
  policy: Policy,
  now: number,
  guards: Guards = allGuards,
): readonly Violation[] {
  if (leave.length === 0 || before.domain.removingAt !== null) return NONE;
  const found: Violation[] = [];
  for (const id of leave) {
    const key = findKey(before, id);
    if (key === undefined || key.state !== 'active') {
      found.push({ rule: 2, keyId: id, message: `${nameOf(key, id)} is not active` });
    } else if (guards.successor && !hasStandIn(before, key, leave, policy, now, guards)) {
      found.push({
        rule: 2,
        keyId: id,
        message: `${key.selector} must not leave: no healthy key would be in its place`,
      });
    }
  }
  return found;
}

/** A healthy key of the same stream remains, and receivers who could use the leaving key can use it. */
function hasStandIn(
  before: Snapshot,
  key: KeyView,
  leave: readonly string[],
  policy: Policy,
  now: number,
  guards: Guards,
): boolean {
  return before.keys.some(
    (other) =>
      other.stream === key.stream &&
      !leave.includes(other.id) &&
      covers(before, other, key, policy) &&
      isHealthy(before, other, policy, now, guards, leave),
  );
}

/**
 * Many receivers cannot verify Ed25519 (RFC 8463): an RSA key stands in for any, an Ed25519 key for Ed25519 only, unless the
 * policy has given up RSA on purpose, or no signer of the stream can sign with RSA: such a key is missed by nobody.
 */
export function covers(before: Snapshot, other: KeyView, key: KeyView, policy: Policy): boolean {
  if (other.algorithm === 'rsa' || key.algorithm === 'ed25519') return true;
  if (!isSignable(before, key.stream, key.algorithm)) return true;
  return !policyOf(findStream(before, key.stream), policy).keys.some(
    (spec) => spec.algorithm === 'rsa' && spec.count > 0,
  );
}

/**
 * Active, freshly proved, fit for use, loaded by every signer that can sign with it, and seen to sign with each that signs with it (once
 * the keys in `leave` have left: a signer that takes only so many then signs with others).
 */
export function isHealthy(
  before: Snapshot,
  key: KeyView,
  policy: Policy,
  now: number,
  guards: Guards = allGuards,
  leave: readonly string[] = [],
): boolean {
  if (key.state !== 'active' || key.ownership === 'external' || isSpoiled(key)) return false;
  const its = policyOf(findStream(before, key.stream), policy);
  return (
    (guards.freshProof ? isFreshlySeen(key, its, now) : true) &&
    (guards.acknowledgement ? isAcknowledged(before, key) : true) &&
    (guards.signature ? hasSigned(before, key, leave) : true)
  );
}

/**
 * Rule 3: a record is revoked only when every signer has acknowledged the key's absence and the overlap since its last
 * signature is over. A compromised key has no overlap; one that never signed needs none.
 */
export function checkWithdrawal(
  before: Snapshot,
  keyId: string,
  to: 'revoked' | 'removed',
  policy: Policy,
  guards: Guards = allGuards,
): readonly Violation[] {
  const key = findKey(before, keyId);
  const fault = key === undefined ? 'is not known' : faultOfWithdrawal(before, key, to, policy, guards);
  return fault === null ? NONE : [{ rule: 3, keyId, message: `${nameOf(key, keyId)} must stay in DNS: it ${fault}` }];
}

/** Why the key may not be revoked (or removed), as the end of a sentence; null where it may. */
export function faultOfWithdrawal(
  before: Snapshot,
  key: KeyView,
  to: 'revoked' | 'removed',
  policy: Policy,
  guards: Guards = allGuards,
): string | null {
  if (key.ownership === 'external') return 'belongs to somebody else';
  const its = policyOf(findStream(before, key.stream), policy);
  if (to === 'removed') {
    if (key.state !== 'revoked') return `is ${key.state}`;
    if (key.handedTo !== undefined) return null;
    return isSeen(key, 'absent') ? null : 'is not proved to be gone';
  }
  if (key.state === 'active') return 'is active';
  if (guards.absence && !isAbsentEverywhere(before, key)) return 'may still be in use by a signer';
  if (!hasBeenActive(key) || key.compromisedAt !== null) return null;
  return guards.overlap && key.waited < its.overlap ? 'signed mail that is still on its way' : null;
}

/** Rules 3 and 4: only the record of a key whose end has been decided, and stored, is emptied or taken away; none that was handed over is touched. */
export function checkWrite(
  before: Snapshot,
  keyId: string,
  record: 'key' | 'revoked' | 'absent',
  guards: Guards = allGuards,
): readonly Violation[] {
  const key = findKey(before, keyId);
  if (guards.handed && key?.handedTo !== undefined)
    return [{ rule: 4, keyId, message: `the record of ${key.selector} is ${key.handedTo}'s: it is left alone` }];
  if (record === 'key' || key?.state === 'revoked' || key?.state === 'removed') return NONE;
  return [{ rule: 3, keyId, message: `${nameOf(key, keyId)} must stay in DNS: its end has not been decided` }];
}

/** Rule 5: a stream that signs goes on signing: its last active key does not leave while the domain stays. */
export function checkStanding(
  before: Snapshot,
  enter: readonly string[],
  leave: readonly string[],
): readonly Violation[] {
  if (leave.length === 0 || before.domain.removingAt !== null) return NONE;
  const found: Violation[] = [];
  for (const id of leave) {
    const key = findKey(before, id);
    if (key === undefined) continue;
    const stays = before.keys.some(
      (other) =>
        other.stream === key.stream &&
        !leave.includes(other.id) &&
        (other.state === 'active' || enter.includes(other.id)),
    );
    if (!stays) found.push({ rule: 5, keyId: id, message: `${key.selector} is the last key of stream ${key.stream}` });
  }
  return found;
}

const ORDER = ['created', 'published', 'standby', 'active', 'retiring', 'revoked', 'removed'] as const;

/**
 * Rule 4, between any two snapshots of one domain: the generation never goes back, a key never goes back in its life (except
 * from retiring to active, in a rollback), never vanishes, and keeps its selector and its public half.
 */
export function checkContinuity(before: Snapshot, after: Snapshot): readonly Violation[] {
  const found: Violation[] = [];
  const blame = (keyId: string | null, message: string) => found.push({ rule: 4, keyId, message });
  if (after.domain.generation < before.domain.generation) blame(null, 'the generation went back');
  if (before.domain.firstActiveAt !== null && after.domain.firstActiveAt === null)
    blame(null, 'the domain forgot that its mail must be signed');
  if (before.keys === after.keys) return found;
  for (const [i, key] of before.keys.entries()) {
    // Keys are only ever added at the end, so that most are found where they were.
    const same = after.keys[i];
    if (same === key) continue;
    const now = same?.id === key.id ? same : findKey(after, key.id);
    if (now === undefined) blame(key.id, `${key.selector} vanished`);
    else if (now.selector !== key.selector || now.publicKey !== key.publicKey)
      blame(key.id, `${key.selector} changed what it is`);
    else if (
      ORDER.indexOf(now.state) < ORDER.indexOf(key.state) &&
      !(key.state === 'retiring' && now.state === 'active')
    )
      blame(key.id, `${key.selector} went back from ${key.state} to ${now.state}`);
  }
  return found;
}

function nameOf(key: KeyView | undefined, id: string): string {
  return key?.selector ?? id;
}

/** The record that each key should have, and when to write it (again). */
import {
  choosersOf,
  countedSigners,
  findStream,
  isAcknowledged,
  isPipeline,
  isSeen,
  isSpoiled,
  policyOf,
  stoodBeforeUs,
} from '../facts.ts';
import { frozenAt } from '../freeze.ts';
import type { Policy } from '../policy.ts';
import { faultOfWithdrawal } from '../rules.ts';
import { hasBeenActive } from '../transitions.ts';
import type { KeyView, RecordKind, Verdict } from '../types.ts';
import { growing, retryAt } from '../waits.ts';
import { type Look, standingSince } from './look.ts';
import { brokenReason } from './retirement.ts';

/** What should stand at the key's name; null where that is nobody's business any more. */
export function desiredRecord(look: Look, key: KeyView): RecordKind | null {
  if (key.state === 'removed' || key.ownership === 'external') return null;
  if (key.handedTo !== undefined && look.guards.handed) return null;
  if (key.state === 'retiring' && !look.guards.decisionFirst && isFreeToGo(look, key)) return 'revoked';
  if (key.state !== 'revoked') return 'key';
  const stream = findStream(look.snapshot, key.stream);
  const policy = policyOf(stream, look.policy);
  // A key that never signed leaves nothing to explain: its record goes at once.
  if (!hasBeenActive(key)) return 'absent';
  const over = key.waited >= policy.tombstone || key.written?.kind === 'absent';
  if (!over) return 'revoked';
  const held =
    look.snapshot.domain.pausedAt !== null ||
    (stream?.pausedAt ?? null) !== null ||
    frozenAt(policy, look.now) !== null;
  return held && key.written?.kind !== 'absent' ? 'revoked' : 'absent';
}

function isFreeToGo(look: Look, key: KeyView): boolean {
  return faultOfWithdrawal(look.snapshot, key, 'revoked', look.policy, look.guards) === null;
}

export function planRecords(look: Look, key: KeyView): void {
  if (key.ownership === 'external') return;
  if (key.state === 'removed') {
    if (key.privateKeyDestroyedAt === null) look.effect({ kind: 'destroy-private-key', keyId: key.id });
    return;
  }
  if (key.handedTo !== undefined && key.state === 'revoked' && look.guards.handed) {
    look.decision({ kind: 'move', keyId: key.id, to: 'removed', why: `its record is ${key.handedTo}'s` });
    return;
  }
  const record = desiredRecord(look, key);
  if (record === null) return;
  if (key.state === 'revoked' && record === 'absent' && isSeen(key, 'absent')) {
    look.decision({ kind: 'move', keyId: key.id, to: 'removed', why: 'its record is gone everywhere' });
    return;
  }
  const policy = policyOf(findStream(look.snapshot, key.stream), look.policy);
  const ttl = desiredTtl(look, key, policy);
  const why = reasonToWrite(look, key, record, ttl, policy);
  if (why === null || waitsToRetry(look, key, policy)) return;
  look.effect({ kind: 'write-record', keyId: key.id, record, ttl, why });
}

/** Short while a change is ahead: until the key is settled in the active set, and again before its revocation. */
function desiredTtl(look: Look, key: KeyView, policy: Policy): number {
  if (isPipeline(key) || key.state === 'revoked') return policy.ttlAhead;
  if (key.state === 'retiring') {
    if (key.kept === true && !isSpoiled(key)) return policy.ttl;
    // The old TTL must have run out in caches when the revocation comes.
    const ahead = Math.max(policy.ttl * 2000, policy.overlap / 10);
    return policy.overlap - key.waited <= ahead || key.compromisedAt !== null ? policy.ttlAhead : policy.ttl;
  }
  if (key.compromisedAt !== null || key.rejectedAt !== null) return policy.ttlAhead;
  const isTried = choosersOf(look.snapshot, key).every((signer) => key.signaturesSeen[signer.id] !== undefined);
  const settled = isAcknowledged(look.snapshot, key) && isTried;
  return settled && countedSigners(look.snapshot).length > 0 ? policy.ttl : policy.ttlAhead;
}

/**
 * Why the record must be written now, or null where it stands as it should, for all we know. The record of an imported key is
 * looked for before it is written: only so is it known whether it stood there before us.
 */
function reasonToWrite(look: Look, key: KeyView, record: RecordKind, ttl: number, policy: Policy): string | null {
  const seen = isSeen(key, record);
  const { written, proof } = key;
  if (record === 'key' && stoodBeforeUs(key) && (proof === null || isSilent(proof.verdict))) return null;
  if (written === null || written.kind !== record) return seen ? null : WRITE[record];
  // A person who sets records by hand is not asked to change a TTL: what was never written by us has none of ours.
  if (record !== 'absent' && written.ttl !== ttl) return 'its TTL is to change';
  if (seen || proof === null || proof.expected !== record) return null;
  if (isSilent(proof.verdict)) return null;
  // The servers lag, or the publisher did not do what it said: write again, at growing intervals.
  const since = standingSince(look.snapshot, { kind: 'key', id: key.id }, brokenReason(key)) ?? look.now;
  const next = written.at + growing(Math.min(since, written.at), look.now, policy);
  if (written.at <= look.now && next > look.now) {
    look.again(next);
    return null;
  }
  return `it was last found ${proof.verdict}`;
}

/** Nothing is known of what stands there. */
function isSilent(verdict: Verdict): boolean {
  return verdict === 'unreachable' || verdict === 'bogus';
}

const WRITE: Readonly<Record<RecordKind, string>> = {
  key: 'the key is to be published',
  revoked: 'the key is revoked',
  absent: 'the record is to go',
};

function waitsToRetry(look: Look, key: KeyView, policy: Policy): boolean {
  if (key.retry === null || key.retry.at > look.now) return false;
  const at = retryAt(key.retry.at, key.retry.failures, policy);
  if (at <= look.now) return false;
  look.again(at);
  return true;
}

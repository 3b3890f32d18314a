/** When to ask the servers: often while something waits for the answer, now and then for what stands. */
import { findStream, isPipeline, isSeen, policyOf } from '../facts.ts';
import type { Policy } from '../policy.ts';
import type { KeyView, RecordKind } from '../types.ts';
import { growing, plannedWait, presentWait, quick, urgentWait, waitStep } from '../waits.ts';
import { type Look, standingSince } from './look.ts';
import { desiredRecord } from './records.ts';
import { isRegaining } from './waiting.ts';

export function planProofs(look: Look, key: KeyView): void {
  if (key.state === 'removed') return;
  const expected =
    key.ownership === 'external' || (key.handedTo !== undefined && isPipeline(key)) ? 'key' : desiredRecord(look, key);
  if (expected === null || isBeingWritten(look, key) || !isWorthAsking(key)) return;
  const policy = policyOf(findStream(look.snapshot, key.stream), look.policy);
  const pause = interval(look, key, expected, policy);
  const at = nextProofAt(look, key, expected, pause, policy);
  // What is nearly due goes along: fewer looks, and the keys of a domain fall into step.
  if (at === Number.POSITIVE_INFINITY) return;
  const early = look.wantProof.has(key.id) ? 0 : pause * NEARLY;
  if (at - early > look.now) look.again(at);
  else {
    look.steps.push({ kind: 'prove', keyId: key.id, expected });
    // A step waits for a wanted proof: its answer is looked at soon, while it is fresh.
    look.again(look.now + (look.wantProof.has(key.id) ? quick(policy) : Math.max(pause, quick(policy))));
  }
}

/** The share of a pause that a proof may come early. */
const NEARLY = 0.15;

/** Before anything was written there is nothing to find; a record set by hand may come at any time after it was asked for. */
function isWorthAsking(key: KeyView): boolean {
  return (
    key.ownership === 'external' ||
    key.handedTo !== undefined ||
    key.imported ||
    key.written !== null ||
    key.retry !== null ||
    key.proof !== null
  );
}

function isBeingWritten(look: Look, key: KeyView): boolean {
  return look.steps.some(
    (step) => step.kind === 'write-record' && step.keyId === key.id && step.record !== key.written?.kind,
  );
}

function nextProofAt(look: Look, key: KeyView, expected: RecordKind, pause: number, policy: Policy): number {
  const { proof } = key;
  if (proof === null || proof.expected !== expected || proof.at > look.now) return Number.NEGATIVE_INFINITY;
  if (look.wantProof.has(key.id)) return proof.at + Math.min(quick(policy), policy.proofFresh / 2);
  return proof.at + pause;
}

function interval(look: Look, key: KeyView, expected: RecordKind, policy: Policy): number {
  const { proof, state } = key;
  if (proof === null) return quick(policy);
  if (key.ownership === 'external') return policy.watchEvery;
  if (!isSeen(key, expected)) {
    const begun = standingSince(look.snapshot, { kind: 'key', id: key.id }, `record-${proof.verdict}`) ?? look.now;
    const since = Math.min(begun, state === 'created' ? key.createdAt : look.now);
    return Math.min(policy.watchEvery, growing(since, look.now, policy));
  }
  // A key that somebody else holds must not come back: by an old copy of the zone, or by a write that was long on its way.
  if (state === 'revoked') return key.compromisedAt === null ? Number.POSITIVE_INFINITY : policy.watchEvery;
  if (isRegaining(key)) return Math.min(policy.watchEvery, waitStep(urgentWait(key)));
  if (isPipeline(key) && key.waited < plannedWait(key, policy))
    return Math.min(policy.watchEvery, waitStep(presentWait(key, policy)));
  return policy.watchEvery;
}

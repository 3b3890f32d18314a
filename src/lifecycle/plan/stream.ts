/** What a stream should be and is: which of its active keys are due and why, what is missing, and what stands in the way. */
import { isPipeline, isSignable, isSpoiled, policyOf, spread } from '../facts.ts';
import { type Frozen, frozenAt } from '../freeze.ts';
import type { KeySpec, Policy } from '../policy.ts';
import { mayComeBack } from '../rules.ts';
import type { KeyView, StreamView } from '../types.ts';
import { clamp } from '../waits.ts';
import { specsFor } from './abilities.ts';
import type { Look } from './look.ts';

/** Why an active key is to be replaced. `surplus` keys go without a successor. */
export type Due = 'compromised' | 'rejected' | 'broken' | 'policy' | 'unsigned' | 'requested' | 'age' | 'surplus';

/** How a key kind stands: how many fresh keys are missing, and the most pressing reason. */
export interface Need {
  readonly spec: KeySpec;
  readonly missing: number;
  readonly cause: 'emergency' | 'failover' | 'planned' | 'first';
}

export interface Judged {
  readonly stream: StreamView;
  readonly policy: Policy;
  /** What the policy asks for, as far as the signers of the stream can sign with it; in the policy's order. */
  readonly specs: readonly KeySpec[];
  /** Our keys of the stream that are not closed. */
  readonly keys: readonly KeyView[];
  readonly active: readonly KeyView[];
  readonly pipeline: readonly KeyView[];
  readonly due: ReadonlyMap<string, Due>;
  readonly needs: readonly Need[];
  readonly paused: boolean;
  readonly frozen: Frozen | null;
}

export function judge(look: Look, stream: StreamView): Judged {
  const policy = policyOf(stream, look.policy);
  const keys = look.keys.filter((key) => key.stream === stream.name && key.ownership === 'ours');
  const active = keys.filter((key) => key.state === 'active');
  const specs = specsFor(look.snapshot, stream, policy);
  const due = dueKeys(look, stream, policy, specs, active);
  return {
    stream,
    policy,
    specs,
    keys,
    active,
    pipeline: keys.filter(isPipeline),
    due,
    needs: needsOf(look, stream, specs, active, due),
    paused: look.snapshot.domain.pausedAt !== null || stream.pausedAt !== null,
    frozen: frozenAt(policy, look.now),
  };
}

/** The key is of this kind, or was asked for in place of one: its length is then its own. */
export function matches(key: KeyView, spec: KeySpec): boolean {
  return key.algorithm === spec.algorithm && (key.bits === spec.bits || key.wanted !== undefined);
}

/** Those that entered last first, and of those that entered together in the order of the keyring: signers that take only so many choose so. */
export function inOrderOfEntry(keys: readonly KeyView[]): readonly KeyView[] {
  return keys.toSorted((a, b) => (b.enteredGeneration ?? 0) - (a.enteredGeneration ?? 0));
}

/**
 * More keys of the kind are due than it has: the rotation before is not over, for a signer has not taken it up. The next one waits, or a
 * signer that is away for years would have every message bear dozens of signatures.
 */
export function isUnfinished({ active, due }: Pick<Judged, 'active' | 'due'>, spec: KeySpec): boolean {
  const waiting = active.filter(
    (key) => matches(key, spec) && (due.get(key.id) === 'age' || due.get(key.id) === 'requested'),
  );
  return waiting.length > spec.count;
}

/** Proof says that the record is not what it must be (and not merely that nobody answered). */
export function isBroken(key: KeyView): boolean {
  if (key.proof === null || key.proof.expected !== 'key') return false;
  const { verdict } = key.proof;
  return verdict === 'missing' || verdict === 'mismatched' || verdict === 'revoked' || verdict === 'several';
}

/** When a key's turn comes by age: its activation (or when it was asked for), the policy's period, and a spread that is its own. */
export function dueAt(key: KeyView, policy: Policy): number {
  const share = clamp(policy.jitter, 0, 0.5) * spread(key.id);
  return usedSince(key) + policy.rotateEvery * (1 + share);
}

function usedSince({ activatedAt, wanted }: KeyView): number {
  return activatedAt === null ? Number.POSITIVE_INFINITY : Math.max(activatedAt, wanted?.at ?? activatedAt);
}

function dueKeys(
  look: Look,
  stream: StreamView,
  policy: Policy,
  specs: readonly KeySpec[],
  active: readonly KeyView[],
): ReadonlyMap<string, Due> {
  const due = new Map<string, Due>();
  const asked = stream.rotateRequestedGeneration;
  const aged = active.some((key) => look.now >= dueAt(key, policy));
  // Keys whose turn comes within the same spread go together: one change, one delivery.
  const together = policy.rotateEvery * (1 - clamp(policy.jitter, 0, 0.5));
  for (const key of active) {
    if (key.compromisedAt !== null) due.set(key.id, 'compromised');
    else if (key.rejectedAt !== null) due.set(key.id, 'rejected');
    else if (isBroken(key)) due.set(key.id, 'broken');
    else if (!isSignable(look.snapshot, stream.name, key.algorithm)) due.set(key.id, 'unsigned');
    else if (key.wanted === undefined && !policy.keys.some((spec) => spec.count > 0 && matches(key, spec)))
      due.set(key.id, 'policy');
    else if (asked !== null && (key.enteredGeneration ?? 0) <= asked) due.set(key.id, 'requested');
    else if (aged && look.now >= Math.min(usedSince(key), look.now) + together) due.set(key.id, 'age');
    if (!due.has(key.id)) look.again(dueAt(key, policy));
  }
  for (const spec of specs) {
    // A kind that no counted signer signs with is not missed either, and not given up: a signer may be back.
    if (spec.count === 0) continue;
    const fit = active.filter((key) => matches(key, spec) && !due.has(key.id));
    const oldestFirst = fit.toSorted(
      (a, b) =>
        Number(a.wanted !== undefined) - Number(b.wanted !== undefined) ||
        Number(b.imported) - Number(a.imported) ||
        (a.enteredGeneration ?? 0) - (b.enteredGeneration ?? 0),
    );
    for (const key of oldestFirst.slice(0, Math.max(0, fit.length - spec.count))) due.set(key.id, 'surplus');
  }
  return due;
}

function needsOf(
  look: Look,
  stream: StreamView,
  specs: readonly KeySpec[],
  active: readonly KeyView[],
  due: ReadonlyMap<string, Due>,
): readonly Need[] {
  if (look.snapshot.domain.kind === 'shadow' || look.snapshot.domain.removingAt !== null) return [];
  if (stream.external === true) return [];
  const needs: Need[] = [];
  for (const spec of specs) {
    const fit = active.filter((key) => matches(key, spec) && !due.has(key.id)).length;
    const missing = spec.count - fit;
    if (missing > 0) needs.push({ spec, missing, cause: causeOf(spec, active, due) });
  }
  return needs;
}

function causeOf(spec: KeySpec, active: readonly KeyView[], due: ReadonlyMap<string, Due>): Need['cause'] {
  if (active.length === 0) return 'first';
  const reasons = new Set<Due | undefined>();
  for (const key of active) if (key.algorithm === spec.algorithm) reasons.add(due.get(key.id));
  if (reasons.has('compromised')) return 'emergency';
  if (reasons.has('broken')) return 'failover';
  // No key of any kind can be relied upon: whatever this kind is, it is needed now.
  if (active.every((key) => key.compromisedAt !== null)) return 'emergency';
  return 'planned';
}

/**
 * The keys that a rollback has yet to bring back: those that left when, or after, the rejected ones entered. One whose record has
 * been away meanwhile cannot come back: resolvers may remember that.
 */
export function returning(judged: Judged): readonly KeyView[] {
  const rejected = judged.active.filter((key) => key.rejectedAt !== null);
  if (rejected.length === 0) return [];
  const firstIn = Math.min(...rejected.map((key) => key.enteredGeneration ?? 0));
  return judged.keys.filter(
    (key) => key.state === 'retiring' && !isSpoiled(key) && (key.leftGeneration ?? 0) >= firstIn && mayComeBack(key),
  );
}

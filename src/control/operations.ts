/**
 * What operators ask for, from whichever side they come (command line now, HTTP later): each operation is folded by the
 * lifecycle, journalled under the operator's name, and wakes the reconciler, which does the rest.
 */
import type { Refusal } from '../lifecycle/apply.ts';
import type { Clock } from '../lifecycle/clock.ts';
import { newDomain } from '../lifecycle/new-domain.ts';
import type { Policy } from '../lifecycle/policy.ts';
import type { DomainView, OperatorOutcome, Outcome, Snapshot } from '../lifecycle/types.ts';
import type { NewSecret, PolicyRef, Store, StoredDomain } from '../store/store.ts';
import { type Binding, signerOutcomes } from './bindings.ts';
import { type Actor, plain } from './events.ts';
import { fold } from './fold.ts';

export interface Operator {
  readonly store: Store;
  readonly clock: Clock;
  readonly actor: Actor;
  /** Says what would be without doing it. */
  readonly dryRun?: boolean;
}

/** The domain as it is after the operation, or why it was not done. */
export type OperationResult =
  | { readonly kind: 'done'; readonly snapshot: Snapshot; readonly policy: Policy }
  | { readonly kind: 'refused'; readonly why: Refusal }
  | { readonly kind: 'unknown-domain' };

/** Attempts against other writers; each lost race means that somebody else got on. */
const attempts = 50;

/** Carries out one operation on a domain, all of it or nothing. Its outcomes are made from the domain as it is, again after each lost race. */
export async function operate(
  { store, clock, actor, dryRun = false }: Operator,
  name: string,
  outcomes: (domain: StoredDomain, now: number) => readonly Outcome[],
  secrets: readonly NewSecret[] = [],
): Promise<OperationResult> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const stored = await store.snapshot(name);
    if (stored === null) return { kind: 'unknown-domain' };
    const now = clock.now();
    const { snapshot, events, refused } = fold(stored.snapshot, outcomes(stored, now), actor);
    const refusal = refused[0];
    if (refusal !== undefined) return { kind: 'refused', why: refusal.why };
    if (dryRun || snapshot === stored.snapshot) return { kind: 'done', snapshot, policy: stored.policy };
    const result = await store.commit(
      { name, version: stored.version },
      { before: stored.snapshot, after: snapshot, events, nextLookAt: now, secrets },
    );
    if (result.kind !== 'stale') return { kind: 'done', snapshot, policy: stored.policy };
    if (result.why === 'gone') return { kind: 'unknown-domain' };
  }
  throw new Error(`${name} is being changed by others without a pause: nothing was done, try again`);
}

/** An operator's mark at this moment. */
export type Mark = OperatorOutcome extends infer Each
  ? Each extends { at: number }
    ? Omit<Each, 'at'>
    : never
  : never;

/** {@link operate} for the operations that are one mark of the lifecycle. */
export function mark(operator: Operator, name: string, given: Mark): Promise<OperationResult> {
  return operate(operator, name, (_domain, at) => [{ ...given, at } as OperatorOutcome]);
}

/** Adds a stream; the signers whose binding fits sign it. */
export function addStream(
  operator: Operator,
  name: string,
  stream: string,
  policy: Policy | null,
  bindings: readonly Binding[],
): Promise<OperationResult> {
  return operate(operator, name, ({ snapshot }, at) => {
    const added: Outcome = { kind: 'stream-added', at, stream, policy };
    return [added, ...signerOutcomes(fold(snapshot, [added], operator.actor).snapshot, bindings, at)];
  });
}

export type AddDomainResult =
  | { readonly kind: 'added'; readonly snapshot: Snapshot; readonly policy: Policy }
  | { readonly kind: 'exists' }
  | { readonly kind: 'no-such-policy' };

/**
 * Adds a domain under a named policy, signed by the signers whose binding fits. The first look makes its first keys.
 * Shadow domains hold keys and sign nothing, so they have no signers.
 */
export async function addDomain(
  { store, clock, actor, dryRun = false }: Operator,
  domain: {
    readonly name: string;
    readonly kind: DomainView['kind'];
    /** The main domain of a shadow; use `addShadow`, which tells it. */
    readonly shadowOf?: string;
    readonly policy: string;
    /** Signers that may sign it; those whose binding fits do. */
    readonly bindings: readonly Binding[];
    /** More of it in the same transaction: streams, imported keys. */
    readonly also?: (now: number) => readonly Outcome[];
    readonly secrets?: readonly NewSecret[];
  },
): Promise<AddDomainResult> {
  const policy = await store.policy(domain.policy);
  if (policy === null) return { kind: 'no-such-policy' };
  const now = clock.now();
  const made = fold(newDomain(domain.name, domain.kind, now, domain.shadowOf), domain.also?.(now) ?? [], actor);
  const bound = fold(made.snapshot, signerOutcomes(made.snapshot, domain.bindings, now), actor);
  const { snapshot } = bound;
  const events = [...made.events, ...bound.events];
  if (dryRun) {
    const there = await store.snapshot(domain.name);
    return there === null ? { kind: 'added', snapshot, policy } : { kind: 'exists' };
  }
  const added = await store.addDomain({
    snapshot,
    policy: { kind: 'named', name: domain.policy },
    events: [
      {
        actor: actor.name,
        source: actor.source,
        domain: domain.name,
        kind: 'domain-added',
        details: {
          kind: domain.kind,
          policy: domain.policy,
          ...(domain.shadowOf === undefined ? {} : { shadowOf: domain.shadowOf }),
        },
        at: now,
      },
      ...events,
    ],
    nextLookAt: now,
    ...(domain.secrets === undefined ? {} : { secrets: domain.secrets }),
  });
  if (added.kind === 'exists' || added.kind === 'no-such-policy') return added;
  return { kind: 'added', snapshot, policy };
}

/** Puts a domain under another policy: a named one, or one of its own. */
export async function followPolicy(
  { store, clock, actor, dryRun = false }: Operator,
  name: string,
  ref: PolicyRef,
): Promise<OperationResult | { readonly kind: 'no-such-policy' }> {
  const policy = ref.kind === 'own' ? ref.policy : await store.policy(ref.name);
  if (policy === null) return { kind: 'no-such-policy' };
  for (let attempt = 0; attempt < attempts; attempt++) {
    const stored = await store.snapshot(name);
    if (stored === null) return { kind: 'unknown-domain' };
    if (dryRun) return { kind: 'done', snapshot: stored.snapshot, policy };
    const now = clock.now();
    const details = plain(ref.kind === 'own' ? { policy } : { policy: ref.name });
    const result = await store.commit(
      { name, version: stored.version },
      {
        before: stored.snapshot,
        after: stored.snapshot,
        policy: ref,
        events: [{ actor: actor.name, source: actor.source, domain: name, kind: 'policy-followed', details, at: now }],
        nextLookAt: now,
      },
    );
    if (result.kind !== 'stale') return { kind: 'done', snapshot: stored.snapshot, policy };
  }
  throw new Error(`${name} is being changed by others without a pause: nothing was done, try again`);
}

/** Makes the named policies of the configuration those of the store, and sees that `default` is there. Idempotent. */
export async function syncPolicies(
  { store, clock, actor }: Operator,
  policies: Readonly<Record<string, Policy>>,
  fallback: Policy,
): Promise<void> {
  const named = { ...((await store.policy('default')) === null ? { default: fallback } : {}), ...policies };
  for (const [name, policy] of Object.entries(named)) {
    const now = clock.now();
    const event = { actor: actor.name, source: actor.source, domain: null, kind: 'policy-put', at: now };
    await store.putPolicy(name, policy, [{ ...event, details: plain({ name, policy }) }], now);
  }
}

/** One look at a domain: what is looked at, and what the planner's parts gather while they look. */
import type { Policy } from '../policy.ts';
import type { Guards } from '../rules.ts';
import type { Condition, KeyView, Snapshot, Step, Subject } from '../types.ts';
import { LONGEST_SLEEP, quick } from '../waits.ts';

export interface Look {
  readonly snapshot: Snapshot;
  readonly policy: Policy;
  readonly now: number;
  readonly guards: Guards;
  /** The keys that are not at their end. */
  readonly keys: readonly KeyView[];
  readonly steps: Step[];
  readonly conditions: Condition[];
  readonly waits: Record<string, number>;
  readonly enter: string[];
  readonly leave: string[];
  readonly changeReasons: string[];
  /** Keys of which something waits for a fresh proof. */
  readonly wantProof: Set<string>;
  /** Selectors given out by this very plan. */
  readonly selectors: Set<string>;
  next: number;
  /** Look again at this time, unless something asks for an earlier one. */
  again(at: number): void;
  /** Adds an effect: its outcome should be back soon, and if it is lost the look after this pause asks for it again. */
  effect(step: Step): void;
  /** Adds a decision, which can be stored at once. */
  decision(step: Step): void;
  /** Reports a condition; one that stood at the last look keeps its `since`. */
  report(condition: Omit<Condition, 'since'>): void;
}

/** Nothing more will ever be done about it. */
export function isClosed(key: KeyView): boolean {
  return key.state === 'removed' && (key.privateKeyDestroyedAt !== null || key.ownership === 'external');
}

export function openLook(snapshot: Snapshot, policy: Policy, now: number, guards: Guards): Look {
  const pause = quick(policy);
  const look: Look = {
    snapshot,
    policy,
    now,
    guards,
    keys: snapshot.keys.filter((key) => !isClosed(key)),
    steps: [],
    conditions: [],
    waits: {},
    enter: [],
    leave: [],
    changeReasons: [],
    wantProof: new Set(),
    selectors: new Set(),
    next: now + LONGEST_SLEEP,
    again(at) {
      if (at < look.next) look.next = at;
    },
    effect(step) {
      look.steps.push(step);
      look.again(now + pause);
    },
    decision(step) {
      look.steps.push(step);
      look.again(now);
    },
    report(condition) {
      const since = standingSince(snapshot, condition.subject, condition.reason);
      // A condition from the future (the clock jumped back since) began now, as far as anybody can tell.
      look.conditions.push({ ...condition, since: since === null || since > now ? now : since });
    },
  };
  return look;
}

/** Since when a condition stands that was there at the last look; null where it is new. */
export function standingSince(snapshot: Snapshot, subject: Subject, reason: string): number | null {
  for (const condition of snapshot.conditions)
    if (condition.reason === reason && sameSubject(condition.subject, subject)) return condition.since;
  return null;
}

function sameSubject(a: Subject, b: Subject): boolean {
  return a.kind === b.kind && (a.kind === 'domain' || b.kind === 'domain' || a.id === b.id);
}

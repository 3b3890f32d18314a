/** For tests: a domain that lives through simulated time, in a world that does what it should unless a test says otherwise. */
import { apply } from './apply.ts';
import { idealOutcomes } from './ideal.ts';
import { newDomain } from './new-domain.ts';
import { looked, plan } from './plan.ts';
import { defaultPolicy, type Policy } from './policy.ts';
import { check } from './rules.ts';
import type { DomainView, KeyView, Outcome, Snapshot, Step } from './types.ts';

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;
/** Tuesday, 24 November 2026. */
export const START = Date.UTC(2026, 10, 24);

/** What the world answers to a step, in place of the ideal outcome; undefined leaves it ideal, [] answers nothing. */
export type Answer = (step: Step, now: number, snapshot: Snapshot) => readonly Outcome[] | undefined;

export interface Life {
  snapshot: Snapshot;
  now: number;
  policy: Policy;
  readonly steps: { readonly at: number; readonly step: Step }[];
  /** Rules broken on the way; a test expects none. */
  readonly violations: string[];
  answer: Answer;
  /** Folds something that happens now. */
  happen(outcome: Outcome): void;
  /** Lives on for so many milliseconds. */
  live(duration: number): void;
  /** Lives on until the condition holds, for at most that long; throws when it never does. */
  until(holds: (snapshot: Snapshot) => boolean, most: number): void;
  keys(state?: KeyView['state']): readonly KeyView[];
  key(selectorOrId: string): KeyView;
  reasons(): readonly string[];
}

/** A new domain with one signer, `mta`, at {@link START}. */
export function newLife(
  policy: Partial<Policy> = {},
  kind: DomainView['kind'] = 'mail',
  answer: Answer = () => undefined,
): Life {
  let made = 0;
  const life: Life = {
    snapshot: newDomain('example.test', kind, START),
    now: START,
    policy: { ...defaultPolicy, jitter: 0, ...policy },
    steps: [],
    violations: [],
    answer,
    happen(outcome) {
      for (const fault of check(life.snapshot, outcome, life.policy, life.now)) life.violations.push(fault.message);
      life.snapshot = apply(life.snapshot, outcome).snapshot;
    },
    live: (duration) => liveTo(life.now + duration, () => false),
    until(holds, most) {
      const limit = life.now + most;
      liveTo(limit, () => holds(life.snapshot));
      if (!holds(life.snapshot)) throw new Error(`it did not come to that in ${most} ms: ${life.reasons().join(', ')}`);
    },
    keys: (state) => life.snapshot.keys.filter((key) => state === undefined || key.state === state),
    key(name) {
      const found = life.snapshot.keys.find((key) => key.selector === name || key.id === name);
      if (found === undefined) throw new Error(`no key ${name}`);
      return found;
    },
    reasons: () => life.snapshot.conditions.map((condition) => condition.reason),
  };
  life.happen({ kind: 'signer-added', at: START, signerId: 'mta', streams: ['default'] });
  return life;

  function liveTo(end: number, done: () => boolean): void {
    for (let looks = 0; ; looks++) {
      if (looks > 30_000) throw new Error(`it looks without end: ${JSON.stringify(life.steps.slice(-3))}`);
      const next = plan(life.snapshot, life.policy, life.now);
      life.happen(looked(next, life.now));
      for (const step of next.steps) {
        life.steps.push({ at: life.now, step });
        if (step.kind === 'forget-domain') return;
        if (step.kind === 'create-key') made++;
        const outcomes = life.answer(step, life.now, life.snapshot) ?? idealOutcomes(step, life.now, made, 300);
        for (const outcome of outcomes) life.happen(outcome);
      }
      if (done()) return;
      const then = Math.max(next.nextLookAt, life.now + 1);
      if (then > end) {
        life.now = Math.max(life.now, end);
        return;
      }
      life.now = then;
    }
  }
}

/** Lives until the first keys sign and are settled. */
export function settledLife(policy: Partial<Policy> = {}): Life {
  const life = newLife(policy);
  life.until((snapshot) => isSettled(snapshot), 3 * DAY);
  life.live(life.policy.lead * 3);
  return life;
}

function isSettled(snapshot: Snapshot): boolean {
  const active = snapshot.keys.filter((key) => key.state === 'active');
  return active.length > 0 && active.every((key) => key.signaturesSeen.mta !== undefined);
}

/** The dated future of a domain: the planner, run on itself in a world where everything succeeds at once. */
import { apply } from './apply.ts';
import { explain } from './explain.ts';
import { findKey } from './facts.ts';
import { idealOutcomes } from './ideal.ts';
import { looked, plan } from './plan.ts';
import type { Policy } from './policy.ts';
import type { KeyState, Snapshot, Step } from './types.ts';

export interface DatedEvent {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly kind: 'key-created' | 'key-moved' | 'condition' | 'domain-forgotten';
  readonly stream: string | null;
  /** Null for events that concern no key. Keys that do not exist yet have ids of the form `future-1`. */
  readonly keyId: string | null;
  readonly selector: string | null;
  /** The state that the key reaches; null for events of other kinds. */
  readonly state: KeyState | null;
  /** One sentence for people. */
  readonly text: string;
}

/** Assumed for a zone that has never been asked, in seconds. */
const USUAL_NEGATIVE_TTL = 300;
/** A future that is longer than this is nobody's plan. */
const MOST_LOOKS = 200_000;

/**
 * What will happen from `from` to `to` (epoch milliseconds), if the world does what it should and nobody gives a command.
 * `policy` is the domain's. The dates of keys that do not exist yet are near their later real ones: their spread comes from
 * an id that is not known.
 */
export function timeline(snapshot: Snapshot, policy: Policy, from: number, to: number): readonly DatedEvent[] {
  const events: DatedEvent[] = [];
  let current = snapshot;
  let now = from;
  let made = 0;
  const negativeTtl = Math.max(0, ...snapshot.keys.map((key) => key.proof?.negativeTtl ?? 0)) || USUAL_NEGATIVE_TTL;
  const told = new Set(snapshot.conditions.map((c) => `${c.reason} ${JSON.stringify(c.subject)}`));
  for (let looks = 0; now <= to && looks < MOST_LOOKS; looks++) {
    const next = plan(current, policy, now);
    current = apply(current, looked(next, now)).snapshot;
    for (const condition of next.conditions) {
      const name = `${condition.reason} ${JSON.stringify(condition.subject)}`;
      if (told.has(name) || !DATED_CONDITIONS.has(condition.reason)) continue;
      told.add(name);
      const stream = condition.subject.kind === 'stream' ? condition.subject.id : null;
      events.push({
        at: now,
        kind: 'condition',
        stream,
        keyId: null,
        selector: null,
        state: null,
        text: condition.message,
      });
    }
    for (const step of next.steps) {
      if (step.kind === 'forget-domain') {
        events.push({ at: now, kind: 'domain-forgotten', ...NOBODY, text: `${explain(step, current)}` });
        return events;
      }
      const before = current;
      if (step.kind === 'create-key') made++;
      for (const outcome of idealOutcomes(step, now, made, negativeTtl)) current = apply(current, outcome).snapshot;
      events.push(...changesBetween(before, current, now, step));
    }
    now = Math.max(next.nextLookAt, next.steps.length > 0 ? now : now + 1);
  }
  return events;
}

const NOBODY = { stream: null, keyId: null, selector: null, state: null } as const;
/** Conditions that are part of the plan, not of the moment. */
const DATED_CONDITIONS: ReadonlySet<string> = new Set(['approval-awaited', 'frozen', 'no-signer', 'rotation-held']);

function changesBetween(before: Snapshot, after: Snapshot, at: number, step: Step): readonly DatedEvent[] {
  if (before.keys === after.keys) return [];
  const events: DatedEvent[] = [];
  for (const key of after.keys) {
    const old = findKey(before, key.id);
    if (old === key || (old !== undefined && old.state === key.state)) continue;
    const kind = old === undefined ? 'key-created' : 'key-moved';
    const why = 'why' in step ? `: ${step.why}` : '';
    const text = `${key.selector} ${BECOMES[key.state]}${why}.`;
    events.push({ at, kind, stream: key.stream, keyId: key.id, selector: key.selector, state: key.state, text });
  }
  return events;
}

const BECOMES: Readonly<Record<KeyState, string>> = {
  created: 'is made',
  published: 'is in DNS',
  standby: 'stands by',
  active: 'begins to sign',
  retiring: 'stops signing; its record stays',
  revoked: 'is revoked',
  removed: 'is removed',
};

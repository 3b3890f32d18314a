/** Folds outcomes into a snapshot one after the other and keeps what the journal is to be told. */
import { apply, type Refusal } from '../lifecycle/apply.ts';
import type { Outcome, Snapshot } from '../lifecycle/types.ts';
import type { NewEvent } from '../store/journal.ts';
import { type Actor, outcomeEvents } from './events.ts';

export interface Folded {
  readonly snapshot: Snapshot;
  readonly events: readonly NewEvent[];
  /** Outcomes that changed nothing, and why: repeated, late, or against a rule. */
  readonly refused: ReadonlyArray<{ readonly outcome: Outcome; readonly why: Refusal }>;
}

export function fold(start: Snapshot, outcomes: readonly Outcome[], actor: Actor): Folded {
  let snapshot = start;
  const events: NewEvent[] = [];
  const refused: Array<{ outcome: Outcome; why: Refusal }> = [];
  for (const outcome of outcomes) {
    const applied = apply(snapshot, outcome);
    if (applied.refused !== undefined) refused.push({ outcome, why: applied.refused });
    events.push(...outcomeEvents(snapshot, applied.snapshot, outcome, actor));
    snapshot = applied.snapshot;
  }
  return { snapshot, events, refused };
}

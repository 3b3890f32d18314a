/**
 * The reducer: folds what happened into the snapshot. Facts (a record was written, a proof came back) are always taken,
 * decisions (moves, changes of the active set) only where the transition is still open: so an outcome that comes twice, late
 * or out of order changes nothing that matters. Unchanged entities keep their identity, and an outcome that changes nothing
 * answers the very same snapshot: the store writes what is not identical.
 */
import { applyDecision } from './apply/decisions.ts';
import { applyLook } from './apply/look.ts';
import { applyOperator } from './apply/operator.ts';
import { applyReport } from './apply/reports.ts';
import { allGuards, type Guards } from './rules.ts';
import type { Outcome, Snapshot } from './types.ts';

/** What became of an outcome; `refused` says why it was not folded in (a stable code), and the snapshot is then unchanged. */
export interface Applied {
  readonly snapshot: Snapshot;
  readonly refused?: Refusal;
}

export type Refusal =
  | 'unknown-key'
  | 'unknown-stream'
  | 'unknown-signer'
  | 'selector-taken'
  | 'wrong-state'
  | 'not-ours'
  | 'no-successor'
  | 'unknown-generation'
  | 'stale'
  | 'nothing-to-roll-back'
  | 'removing'
  | 'signs-nothing'
  | 'not-its-shadow'
  | 'handed-over'
  | 'already-so';

/** Folds one outcome into the snapshot. Never throws, never changes its argument. `guards` as in plan. */
export function apply(snapshot: Snapshot, outcome: Outcome, guards: Guards = allGuards): Applied {
  switch (outcome.kind) {
    case 'looked':
      return { snapshot: applyLook(snapshot, outcome) };
    case 'moved':
    case 'active-changed':
      return applyDecision(snapshot, outcome, guards);
    case 'key-created':
    case 'key-not-created':
    case 'key-imported':
    case 'key-copied':
    case 'record-written':
    case 'record-not-written':
    case 'proved':
    case 'acknowledged':
    case 'not-acknowledged':
    case 'signature-seen':
    case 'self-test-failed':
    case 'drift-found':
    case 'drift-gone':
    case 'private-key-destroyed':
      return applyReport(snapshot, outcome);
    default:
      return applyOperator(snapshot, outcome);
  }
}

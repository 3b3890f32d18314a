/** Proofs in full: the latest of each key, and as history each change of what was seen, the last twenty. */
import type { RecordKind, Verdict } from '../lifecycle/types.ts';
import type { Json } from './json.ts';

export interface NewProof {
  readonly keyId: string;
  readonly at: number;
  readonly expected: RecordKind;
  readonly verdict: Verdict;
  /** The whole proof as plain data: every server's answer. */
  readonly detail: Json;
}

export interface ProofRow extends NewProof {
  /** Since when proofs without a break have had this expectation and verdict; `at` is the last of them. */
  readonly since: number;
  /** How many proofs this row stands for. */
  readonly times: number;
}

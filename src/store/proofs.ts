/** Proofs in full: the latest of each key, and as history each change of what was seen. They stay when the key and its domain have gone. */
import type { RecordKind, Verdict } from '../lifecycle/types.ts';
import { canonicalJson, type Json } from './json.ts';
import { padded } from './read.ts';
import type { Db, ProofTable, Trx } from './tables.ts';

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

/** A proof that says what the last one said takes its place: a healthy key has one row, however often it is proved. */
export async function saveProofs(trx: Trx, proofs: readonly NewProof[]): Promise<void> {
  if (proofs.length === 0) return;
  const rows = await trx
    .selectFrom('proof_runs as run')
    .select(['run.key_id', 'run.seq', 'run.expected', 'run.verdict'])
    .where('run.key_id', 'in', padded(proofs.map((proof) => proof.keyId)))
    .where('run.seq', '=', (eb) =>
      eb
        .selectFrom('proof_runs as any_run')
        .select((e) => e.fn.max('any_run.seq').as('seq'))
        .whereRef('any_run.key_id', '=', 'run.key_id'),
    )
    .execute();
  const last = new Map(rows.map((row) => [row.key_id, row]));
  for (const proof of proofs) last.set(proof.keyId, await saveProof(trx, proof, last.get(proof.keyId)));
}

type Last = Pick<ProofTable, 'key_id' | 'seq' | 'expected' | 'verdict'>;

async function saveProof(trx: Trx, proof: NewProof, last: Last | undefined): Promise<Last> {
  const { keyId, at, expected, verdict } = proof;
  const detail = canonicalJson(proof.detail);
  if (last && last.expected === expected && last.verdict === verdict) {
    await trx
      .updateTable('proof_runs')
      .set((eb) => ({ at, detail, times: eb('times', '+', 1) }))
      .where('key_id', '=', keyId)
      .where('seq', '=', last.seq)
      .execute();
    return last;
  }
  const seq = (last?.seq ?? 0) + 1;
  await trx
    .insertInto('proof_runs')
    .values({ key_id: keyId, seq, since: at, at, times: 1, expected, verdict, detail })
    .execute();
  return { key_id: keyId, seq, expected, verdict };
}

/** Newest first, `limit` at most. */
export async function loadProofs(db: Db, keyId: string, limit: number): Promise<readonly ProofRow[]> {
  const rows = await db
    .selectFrom('proof_runs')
    .selectAll()
    .where('key_id', '=', keyId)
    .orderBy('seq', 'desc')
    .limit(limit)
    .execute();
  return rows.map(proofFromRow);
}

export function proofFromRow({ key_id, since, at, times, expected, verdict, detail }: ProofTable): ProofRow {
  return { keyId: key_id, since, at, times, expected, verdict, detail: JSON.parse(detail) as Json };
}

/** Proofs in full: the latest of each key, and as history each change of what was seen, the last twenty. */
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

const KEPT = 20;

/** A proof that says what the last one said takes its place: a healthy key has one row, however often it is proved. */
export async function saveProofs(trx: Trx, proofs: readonly NewProof[]): Promise<void> {
  if (proofs.length === 0) return;
  const rows = await trx
    .selectFrom('proofs')
    .select(['key_id', 'seq', 'expected', 'verdict'])
    .where('key_id', 'in', padded(proofs.map((proof) => proof.keyId)))
    .orderBy('key_id')
    .orderBy('seq')
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
      .updateTable('proofs')
      .set((eb) => ({ at, detail, times: eb('times', '+', 1) }))
      .where('key_id', '=', keyId)
      .where('seq', '=', last.seq)
      .execute();
    return last;
  }
  const seq = (last?.seq ?? 0) + 1;
  await trx
    .insertInto('proofs')
    .values({ key_id: keyId, seq, since: at, at, times: 1, expected, verdict, detail })
    .execute();
  if (seq > KEPT) {
    await trx
      .deleteFrom('proofs')
      .where('key_id', '=', keyId)
      .where('seq', '<=', seq - KEPT)
      .execute();
  }
  return { key_id: keyId, seq, expected, verdict };
}

export async function loadProofs(db: Db, keyId: string): Promise<readonly ProofRow[]> {
  const rows = await db.selectFrom('proofs').selectAll().where('key_id', '=', keyId).orderBy('seq', 'desc').execute();
  return rows.map(({ since, at, times, expected, verdict, detail }) => ({
    keyId,
    since,
    at,
    times,
    expected,
    verdict,
    detail: JSON.parse(detail) as Json,
  }));
}

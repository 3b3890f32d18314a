/** What a store is: for operators, before and after they move, restore or reseal one. */
import { journalHead } from './journal.ts';
import { schemaVersion } from './migrations.ts';
import type { Keks } from './sealing.ts';
import type { Db } from './tables.ts';

export interface StoreStatus {
  readonly schemaVersion: number;
  readonly journal: { readonly entries: number; readonly head: string };
  /** The key-encryption key that seals, by its id, which tells nothing about it. */
  readonly kek: string;
  /** Private keys, those made ahead included, counted by the id of the key-encryption key that sealed them. */
  readonly sealedBy: Readonly<Record<string, number>>;
}

/** Reads an index of the private keys; nothing is opened. */
export async function storeStatus(db: Db, keks: Keks, journalKey: Uint8Array): Promise<StoreStatus> {
  const sealedBy: Record<string, number> = {};
  for (const from of ['private_keys', 'pool'] as const) {
    const rows = await db
      .selectFrom(from)
      .select(({ fn }) => ['kek_id', fn.countAll<number>().as('keys')])
      .groupBy('kek_id')
      .execute();
    for (const { kek_id, keys } of rows) sealedBy[kek_id] = (sealedBy[kek_id] ?? 0) + Number(keys);
  }
  return {
    schemaVersion: await schemaVersion(db),
    journal: await journalHead(db, journalKey),
    kek: keks.current.id,
    sealedBy,
  };
}

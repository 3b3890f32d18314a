/** What a store is: for operators, before and after they move, restore or reseal one. */
import type { StoreDialect } from './dialect.ts';
import { journalHead } from './journal.ts';
import { newestSchema, schemaVersion } from './migrate.ts';
import type { Keks } from './sealing.ts';
import type { Db } from './tables.ts';

export interface StoreStatus {
  readonly database: {
    readonly kind: StoreDialect['name'];
    /** The file, or the address without a password. */
    readonly place: string;
    readonly octets: number;
  };
  readonly schemaVersion: number;
  /** What this Keyturn works with. */
  readonly newestSchemaVersion: number;
  readonly journal: { readonly entries: number; readonly head: string };
  /** The key-encryption key that seals, by its id, which tells nothing about it. */
  readonly kek: string;
  /** Private keys, those made ahead included, counted by the id of the key-encryption key that sealed them. */
  readonly sealedBy: Readonly<Record<string, number>>;
}

/** Reads an index of the private keys; nothing is opened. */
export async function storeStatus(
  db: Db,
  dialect: StoreDialect,
  keks: Keks,
  journalKey: Uint8Array,
): Promise<StoreStatus> {
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
    database: { kind: dialect.name, place: dialect.place, octets: await dialect.size(db) },
    schemaVersion: await schemaVersion(db),
    newestSchemaVersion: newestSchema,
    journal: await journalHead(db, journalKey),
    kek: keks.current.id,
    sealedBy,
  };
}

/** A store that is being copied into is not one yet: what opens it meanwhile must not take it for new and empty. */
import { sql } from 'kysely';
import type { StoreDialect } from './dialect.ts';
import { StoreError } from './errors.ts';
import type { Db } from './tables.ts';

const MARK = 'copy-begun';

/** Where the copy that was begun comes from; null where none was. */
export async function copyBegun(db: Db): Promise<string | null> {
  const row = await db.selectFrom('meta').select('value').where('name', '=', MARK).executeTakeFirst();
  return row?.value ?? null;
}

export async function markCopy(db: Db, from: string): Promise<void> {
  await sql`replace into meta (name, value) values (${MARK}, ${from})`.execute(db);
}

export async function unmarkCopy(db: Db): Promise<void> {
  await db.deleteFrom('meta').where('name', '=', MARK).execute();
}

export async function refuseUnfinishedCopy(db: Db, { place }: StoreDialect): Promise<void> {
  const from = await copyBegun(db);
  if (from === null) return;
  throw new StoreError(
    'unfinished-copy',
    `The store ${place} is being copied from ${from}, or such a copy was broken off.`,
    'Let it end, or start it again: keyturn store copy.',
  );
}

/** The key of the journal's MACs: sealed in the store, so that its opening shows that the key-encryption key is the store's. */
import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { defaultPolicy } from '../lifecycle/policy.ts';
import type { StoreDialect } from './dialect.ts';
import { hasCode, StoreError } from './errors.ts';
import { beginChain } from './journal.ts';
import { canonicalJson } from './json.ts';
import { type Keks, type Place, seal, unseal } from './sealing.ts';
import type { Db } from './tables.ts';

const PLACE: Place = { purpose: 'journal-key', domain: '', selector: '', id: '' };

/** Whether the store was sealed before: its key-encryption key can then only be brought, never made anew. */
export async function hasJournalKey(db: Db): Promise<boolean> {
  return (await selectKey(db).executeTakeFirst()) !== undefined;
}

/** The key, made with the beginning of the journal where the store is new. Throws `StoreError` `wrong-kek`. */
export async function loadJournalKey(db: Db, dialect: StoreDialect, keks: Keks): Promise<Uint8Array> {
  const known = await readJournalKey(db, keks);
  if (known) return known;
  return await db.transaction().execute(async (trx) => {
    // Another process may have been first, or may be about to be.
    const version = trx.selectFrom('meta').select('value').where('name', '=', 'schema-version');
    await (dialect.oneWriter ? version : version.forUpdate()).execute();
    const meanwhile = await readJournalKey(trx, keks);
    if (meanwhile) return meanwhile;
    const key = randomBytes(32);
    await saveJournalKey(trx, keks, key);
    await beginChain(trx, key);
    await sql`replace into policies (name, policy) values ('default', ${canonicalJson(defaultPolicy)})`.execute(trx);
    return key;
  });
}

export async function readJournalKey(db: Db, keks: Keks): Promise<Uint8Array | undefined> {
  const row = await selectKey(db).executeTakeFirst();
  if (row === undefined) return undefined;
  try {
    return unseal(keks, PLACE, Buffer.from(row.value, 'base64'));
  } catch (error) {
    if (!hasCode(error, 'wrong-kek')) throw error;
    throw new StoreError(
      'wrong-kek',
      error.message.slice(0, -error.advice.length - 1),
      'Bring back the key file (or KEYTURN_KEK) that belongs to this store: every machine that shares a database has the same one. Or name it as an old key.',
      error,
    );
  }
}

export async function saveJournalKey(db: Db, keks: Keks, key: Uint8Array): Promise<void> {
  const sealed = seal(keks, PLACE, key).toString('base64');
  await sql`replace into meta (name, value) values ('journal-key', ${sealed})`.execute(db);
}

function selectKey(db: Db) {
  return db.selectFrom('meta').select('value').where('name', '=', 'journal-key');
}

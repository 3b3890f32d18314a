/** Opens a store: connects, brings the schema up to date, proves that the key-encryption key is the right one. */
import { randomBytes } from 'node:crypto';
import { Kysely, sql } from 'kysely';
import { type Clock, systemClock } from '../lifecycle/clock.ts';
import { defaultPolicy } from '../lifecycle/policy.ts';
import { addDomain, commit } from './change.ts';
import { createCoalescer } from './coalesce.ts';
import type { StoreDialect } from './dialect.ts';
import { beginChain, createJournal } from './journal.ts';
import { canonicalJson, type Json } from './json.ts';
import { temporaryKeks } from './kek.ts';
import { allKeyrings, loadKeyrings } from './keyrings.ts';
import { claimDue, nextDueAt, releaseLease, releaseOwner, renewLease, wake } from './leases.ts';
import { findKey, listDomains, listKeys } from './listing.ts';
import { migrate } from './migrations.ts';
import { listPolicies, loadPolicy, putPolicy, removePolicy } from './policies.ts';
import { createPool } from './pool.ts';
import { loadProofs } from './proofs.ts';
import { loadDomains } from './read.ts';
import { reseal } from './reseal.ts';
import { type Keks, type Place, seal, unseal } from './sealing.ts';
import { createSecrets } from './secrets.ts';
import { sqliteDialect } from './sqlite.ts';
import { storeStatus } from './status.ts';
import type { Store } from './store.ts';
import type { Db, Tables } from './tables.ts';
import { loadCounts } from './tally.ts';
import { createWriter } from './writer.ts';
import { createZones } from './zones.ts';

export interface OpenOptions {
  /** The SQLite file; `:memory:` for a store that goes with the process. Its folder must exist. */
  readonly path: string;
  /** From `loadKeks`. */
  readonly keks: Keks;
  readonly clock?: Clock;
  /** How long to wait for another process's write lock, in milliseconds; 10 s by default. */
  readonly lockWait?: number;
  /** Called with every statement. */
  readonly trace?: (statement: string, parameters: readonly unknown[]) => void;
}

/**
 * Opens a store in a file, and makes it if it is not there. Throws `StoreError`: `wrong-kek` when the key-encryption
 * key is not the store's, `newer-schema`, `cannot-open`, `read-only`, `corrupt`, `locked`, `disk-full`.
 *
 * @example
 * const keks = loadKeks({ file: 'data/kek', environment: process.env });
 * await using store = await openStore({ path: 'data/keyturn.sqlite', keks });
 */
export async function openStore(options: OpenOptions): Promise<Store> {
  const { path, keks, clock = systemClock, lockWait = 10_000, trace } = options;
  return await openWith(sqliteDialect({ path, lockWait, ...(trace ? { trace } : {}) }), keks, clock);
}

/** A store that lives as long as the process, under a key that nobody keeps. */
export async function openMemoryStore(clock: Clock = systemClock): Promise<Store> {
  return await openStore({ path: ':memory:', keks: temporaryKeks(), clock });
}

/** The same store over any dialect. */
export async function openWith(dialect: StoreDialect, keks: Keks, clock: Clock): Promise<Store> {
  const db: Db = new Kysely<Tables>({ dialect: dialect.kysely });
  try {
    await migrate(db, dialect);
    const journalKey = await loadJournalKey(db, keks);
    return createStore(db, dialect, keks, journalKey, clock);
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

const JOURNAL_KEY_PLACE: Place = { purpose: 'journal-key', domain: '', selector: '', id: '' };

/** The journal's MAC key is sealed in the store; that it opens shows at the same time that the key-encryption key fits. */
async function loadJournalKey(db: Db, keks: Keks): Promise<Uint8Array> {
  const known = await readJournalKey(db, keks);
  if (known) return known;
  return await db.transaction().execute(async (trx) => {
    // Another process may have been first.
    const meanwhile = await readJournalKey(trx, keks);
    if (meanwhile) return meanwhile;
    const key = randomBytes(32);
    await saveJournalKey(trx, keks, key);
    await beginChain(trx, key);
    await sql`replace into policies (name, policy) values ('default', ${canonicalJson(defaultPolicy)})`.execute(trx);
    return key;
  });
}

async function readJournalKey(db: Db, keks: Keks): Promise<Uint8Array | undefined> {
  const row = await db.selectFrom('meta').select('value').where('name', '=', 'journal-key').executeTakeFirst();
  return row ? unseal(keks, JOURNAL_KEY_PLACE, Buffer.from(row.value, 'base64')) : undefined;
}

async function saveJournalKey(db: Db, keks: Keks, key: Uint8Array): Promise<void> {
  const sealed = seal(keks, JOURNAL_KEY_PLACE, key).toString('base64');
  await sql`replace into meta (name, value) values ('journal-key', ${sealed})`.execute(db);
}

function createStore(db: Db, dialect: StoreDialect, keks: Keks, journalKey: Uint8Array, clock: Clock): Store {
  const writer = createWriter(db, journalKey, clock);
  const secrets = createSecrets(keks);
  const close = async () => {
    await writer.drain();
    await db.destroy();
  };
  return {
    claimDue: (request) => claimDue(db, writer, dialect, request),
    renew: (claim, until) => renewLease(writer, claim, until),
    release: (claim, nextLookAt) => releaseLease(writer, claim, nextLookAt),
    releaseOwner: (owner) => releaseOwner(writer, owner),
    wake: (name, at) => wake(writer, name, at),
    nextDueAt: () => nextDueAt(db),

    snapshot: createCoalescer((names) => loadDomains(db, names)),
    snapshots: (names) => loadDomains(db, names),
    addDomain: (domain) => addDomain(writer, secrets, clock, domain),
    commit: (guard, change) => commit(writer, secrets, clock, guard, change),
    listDomains: (filter, page) => listDomains(db, filter, page),
    listKeys: (filter, page) => listKeys(db, filter, page),
    findKey: (keyId) => findKey(db, keyId),
    counts: () => loadCounts(db),

    policy: (name) => loadPolicy(db, name),
    policies: () => listPolicies(db),
    putPolicy: (name, policy, events, now) => putPolicy(db, writer, { name, policy, events, now }),
    removePolicy: (name, events) => removePolicy(writer, name, events),

    async loadPrivateKey(keyId) {
      const key = await findKey(db, keyId);
      return key ? ((await secrets.load(db, [key])).get(keyId) ?? null) : null;
    },
    keyring: createCoalescer((names) => loadKeyrings(db, secrets, names)),
    keyrings: () => allKeyrings(db, secrets),
    pool: createPool(db, writer, keks, clock),
    async reseal() {
      await writer.write(({ trx }) => saveJournalKey(trx, keks, journalKey));
      return await reseal(writer, keks);
    },

    status: () => storeStatus(db, keks, journalKey),

    proofs: (keyId) => loadProofs(db, keyId),
    journal: createJournal(db, writer, journalKey),
    zones: createZones(db, writer),

    async earlierResult(key) {
      const row = await db.selectFrom('results').select('result').where('key', '=', key).executeTakeFirst();
      return row ? (JSON.parse(row.result) as Json) : undefined;
    },
    forgetResults: (before) =>
      writer.write(async ({ trx }) => {
        const { numDeletedRows } = await trx.deleteFrom('results').where('at', '<', before).executeTakeFirst();
        return Number(numDeletedRows);
      }),

    close,
    [Symbol.asyncDispose]: close,
  };
}

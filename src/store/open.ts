/** Opens a store: connects, brings the schema up to date, proves that the key-encryption key is the right one. */
import { Kysely } from 'kysely';
import { type Clock, systemClock } from '../lifecycle/clock.ts';
import { setPatience } from './again.ts';
import { addDomain, commit } from './change.ts';
import { createCoalescer } from './coalesce.ts';
import { refuseUnfinishedCopy } from './copy-mark.ts';
import type { StoreDialect } from './dialect.ts';
import { keyHistory } from './history.ts';
import { createInstances } from './instances.ts';
import { createJournal } from './journal.ts';
import { hasJournalKey, loadJournalKey, saveJournalKey } from './journal-key.ts';
import type { Json } from './json.ts';
import { temporaryKeks } from './kek.ts';
import { allKeyrings, loadKeyrings } from './keyrings.ts';
import { claimDue, nextDueAt, releaseLease, releaseOwner, renewLease, wake } from './leases.ts';
import { findKey, listDomains, listKeys } from './listing.ts';
import { migrate } from './migrate.ts';
import { type MysqlOptions, mysqlDialect } from './mysql.ts';
import { listPolicies, loadPolicy, putPolicy, removePolicy } from './policies.ts';
import { createPool } from './pool.ts';
import { loadProofs } from './proofs.ts';
import { loadDomains } from './read.ts';
import { reseal } from './reseal.ts';
import type { Keks } from './sealing.ts';
import { createSecrets } from './secrets.ts';
import { sqliteDialect } from './sqlite.ts';
import { storeStatus } from './status.ts';
import type { Store } from './store.ts';
import type { Db, Tables } from './tables.ts';
import { loadCounts } from './tally.ts';
import { createWriter } from './writer.ts';
import { createZones } from './zones.ts';

/**
 * The key-encryption keys, or where they are to be had from: `made` says that the database was sealed before, so that no key may be made
 * anew for it.
 */
export type KeksSource = Keks | ((made: boolean) => Keks);

export interface OpenOptions {
  /** The SQLite file; `:memory:` for a store that goes with the process. Its folder must exist. */
  readonly path: string;
  /** From `loadKeks`. */
  readonly keks: KeksSource;
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

export interface OpenMysqlOptions extends MysqlOptions {
  readonly keks: KeksSource;
  readonly clock?: Clock;
}

/**
 * Opens a store in a MySQL or MariaDB database, which must be there, and makes its tables. Throws `StoreError`, besides those above:
 * `unreachable`, `access-denied`, `tls`, `too-many-connections`.
 */
export async function openMysqlStore({ keks, clock = systemClock, ...options }: OpenMysqlOptions): Promise<Store> {
  return await openWith(mysqlDialect(options), keks, clock);
}

/** The same store over any dialect. */
export async function openWith(dialect: StoreDialect, source: KeksSource, clock: Clock): Promise<Store> {
  const db: Db = new Kysely<Tables>({ dialect: dialect.kysely });
  try {
    setPatience(db, dialect.patience);
    await migrate(db, dialect);
    await dialect.prepare(db);
    await refuseUnfinishedCopy(db, dialect);
    const keks = typeof source === 'function' ? source(await hasJournalKey(db)) : source;
    const journalKey = await loadJournalKey(db, dialect, keks);
    return createStore(db, dialect, keks, journalKey, clock);
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

function createStore(db: Db, dialect: StoreDialect, keks: Keks, journalKey: Uint8Array, clock: Clock): Store {
  const writer = createWriter({ db, dialect, journalKey, clock });
  const secrets = createSecrets(keks);
  const journal = createJournal(db, writer, journalKey);
  const close = async () => {
    await writer.drain();
    await db.destroy();
  };
  return {
    ...createInstances(db, writer),
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

    status: () => storeStatus(db, dialect, keks, journalKey),

    proofs: (keyId, limit = 20) => loadProofs(db, keyId, limit),
    keyHistory: (domain, selector) => keyHistory(db, journal, domain, selector),
    journal,
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

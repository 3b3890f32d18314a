/** The journal: what happened, by whom, in a chain of hashes in which nothing can be altered, dropped or moved unnoticed. */
import { sql } from 'kysely';
import { readTogether } from './again.ts';
import { checkpointMac, entryHash, GENESIS, type Head, readHead, sameBytes, writeHead } from './chain.ts';
import { StoreError } from './errors.ts';
import { canonicalJson, type Json } from './json.ts';
import { pageLimit } from './paging.ts';
import type { Page, PageRequest } from './store.ts';
import type { Db, JournalTable, Trx } from './tables.ts';
import type { Batch, Writer } from './writer.ts';

export interface NewEvent {
  /** Who: an operator's user name, or `keyturn` for the reconciler. */
  readonly actor: string;
  /** By which way: `cli`, `api`, `reconcile`, `milter` … */
  readonly source: string;
  /** Null for what concerns no single domain. */
  readonly domain: string | null;
  /** Stable kebab-case code: `key-created`, `record-written` … */
  readonly kind: string;
  /** Plain data, never key material. */
  readonly details: Json;
  /** Epoch milliseconds; the store's clock where left out. */
  readonly at?: number;
}

export interface JournalEvent extends Required<NewEvent> {
  /** From 1, without gaps. */
  readonly seq: number;
  /** SHA-256 over the entry and the hash before it, in hexadecimal. */
  readonly hash: string;
}

export type JournalVerdict =
  /** `noted`: the entry whose hash was noted earlier, where one was asked for (0: before the first). */
  | { readonly kind: 'intact'; readonly entries: number; readonly head: string; readonly noted?: number }
  /** Every entry fits, but the head that was noted earlier is not among them: this is another chain, or a copy from before. */
  | { readonly kind: 'another-chain'; readonly entries: number; readonly head: string; readonly message: string }
  | {
      readonly kind: 'broken';
      /** The first entry that is not as it was written. */
      readonly seq: number;
      readonly what: 'altered' | 'dropped' | 'appended' | 'head-altered';
      readonly message: string;
    };

export interface JournalFilter {
  /** Null: what concerns no single domain. */
  readonly domain?: string | null;
  readonly kind?: string;
  /** `newest` (first) by default. */
  readonly order?: 'newest' | 'oldest';
}

export interface VerifyOptions {
  /** Told the entries read so far. */
  readonly progress?: (entries: number) => void;
  /**
   * A head noted earlier, in hexadecimal. Who has both the database and the key-encryption key could write the whole journal anew:
   * a head that was kept elsewhere shows it.
   */
  readonly noted?: string;
}

export interface JournalStore {
  append(events: readonly NewEvent[]): Promise<void>;
  list(filter: JournalFilter, page?: PageRequest): Promise<Page<JournalEvent>>;
  /** Reads the whole chain, streaming, and reports the first entry that does not fit. */
  verify(options?: VerifyOptions): Promise<JournalVerdict>;
}

/** An event that is known to be storable. */
export interface PreparedEvent extends Omit<Required<NewEvent>, 'details'> {
  /** Canonical JSON. */
  readonly details: string;
}

const HEAD = 'journal-head';
const ROWS_PER_INSERT = 50;
const ROWS_PER_READ = 2000;

export function createJournal(db: Db, writer: Writer, key: Uint8Array): JournalStore {
  return {
    async append(events) {
      await writer.write(async (batch) => {
        batch.events.push(...events);
      });
    },
    list: (filter, page) => listEvents(db, filter, page),
    verify: (options) => verifyChain(db, key, options),
  };
}

/** Throws `StoreError` `invalid` for details that are not plain data. */
export function prepareEvent(event: NewEvent, now: number): PreparedEvent {
  const { actor, source, domain, kind, at = now } = event;
  return { actor, source, domain, kind, at, details: canonicalJson(event.details) };
}

/** Chains the events of one transaction; the writer calls it last, once a transaction. */
export async function appendToChain(
  trx: Trx,
  locked: Batch['locked'],
  key: Uint8Array,
  events: readonly PreparedEvent[],
): Promise<void> {
  if (events.length === 0) return;
  let head = readLoaded(await locked(selectHead(trx)).executeTakeFirst(), key);
  const rows: JournalTable[] = events.map((event) => {
    const entry = { seq: head.seq + 1, ...event };
    const hash = entryHash(entry, head.hash);
    head = { seq: entry.seq, hash };
    return { ...entry, hash, mac: null };
  });
  const last = rows.at(-1);
  if (last) last.mac = checkpointMac(key, head);
  for (let i = 0; i < rows.length; i += ROWS_PER_INSERT) {
    await trx
      .insertInto('journal')
      .values(rows.slice(i, i + ROWS_PER_INSERT))
      .execute();
  }
  await trx
    .updateTable('meta')
    .set({ value: writeHead(key, head) })
    .where('name', '=', HEAD)
    .execute();
}

/** A store begins with a head of its own, so that one without a head is known to have lost it. */
export async function beginChain(db: Db, key: Uint8Array): Promise<void> {
  const head = writeHead(key, { seq: 0, hash: GENESIS });
  await sql`replace into meta (name, value) values (${HEAD}, ${head})`.execute(db);
}

/** The last entry's number and hash, without reading the chain. Throws `StoreError` `corrupt` where the head was altered. */
export async function journalHead(db: Db, key: Uint8Array): Promise<{ entries: number; head: string }> {
  const { seq, hash } = await loadHead(db, key);
  return { entries: seq, head: hash.toString('hex') };
}

async function loadHead(db: Db, key: Uint8Array): Promise<Head> {
  return readLoaded(await selectHead(db).executeTakeFirst(), key);
}

function selectHead(db: Db) {
  return db.selectFrom('meta').select('value').where('name', '=', HEAD);
}

function readLoaded(row: { readonly value: string } | undefined, key: Uint8Array): Head {
  const head = row && readHead(key, row.value);
  if (!head) {
    throw new StoreError(
      'corrupt',
      "The journal's head was altered: nothing is written to it any more.",
      'Run `keyturn audit verify`, and find out who writes to the database.',
    );
  }
  return head;
}

async function listEvents(db: Db, filter: JournalFilter, page: PageRequest = {}): Promise<Page<JournalEvent>> {
  const limit = pageLimit(page);
  const oldestFirst = filter.order === 'oldest';
  let query = db
    .selectFrom('journal')
    .selectAll()
    .orderBy('seq', oldestFirst ? 'asc' : 'desc')
    .limit(limit + 1);
  if (filter.domain === null) query = query.where('domain', 'is', null);
  else if (filter.domain !== undefined) query = query.where('domain', '=', filter.domain);
  if (filter.kind !== undefined) query = query.where('kind', '=', filter.kind);
  if (page.after) query = query.where('seq', oldestFirst ? '>' : '<', Number(page.after));
  const rows = await query.execute();
  const items = rows.slice(0, limit).map(({ seq, at, actor, source, domain, kind, details, hash }) => ({
    seq,
    at,
    actor,
    source,
    domain,
    kind,
    details: JSON.parse(details) as Json,
    hash: hash.toString('hex'),
  }));
  return { items, next: rows.length > limit ? String(items.at(-1)?.seq) : null };
}

/** Reads the whole chain; see {@link JournalStore.verify}. */
export async function verifyChain(
  db: Db,
  key: Uint8Array,
  { progress, noted }: VerifyOptions = {},
): Promise<JournalVerdict> {
  const wanted = noted === undefined ? null : Buffer.from(noted, 'hex');
  // The head first: entries that are written meanwhile come after it, and are not judged.
  const stored = await db.selectFrom('meta').select('value').where('name', '=', HEAD).executeTakeFirst();
  const head = stored && readHead(key, stored.value);
  const sealedEnd = head?.seq ?? Number.MAX_SAFE_INTEGER;
  let at: Head = { seq: 0, hash: GENESIS };
  /** The last entry whose MAC was checked: what lies behind it cannot have been recomputed. */
  let checked = 0;
  let found = wanted !== null && sameBytes(wanted, GENESIS) ? 0 : null;
  for (;;) {
    const rows = await db
      .selectFrom('journal')
      .selectAll()
      .where('seq', '>', at.seq)
      .where('seq', '<=', sealedEnd)
      .orderBy('seq')
      .limit(ROWS_PER_READ)
      .execute();
    for (const row of rows) {
      const expected = at.seq + 1;
      if (row.seq !== expected)
        return broken(expected, 'dropped', `Entry ${expected} is missing; entry ${row.seq} follows on ${at.seq}.`);
      if (!sameBytes(entryHash(row, at.hash), row.hash)) {
        return broken(
          expected,
          'altered',
          `Entry ${expected} does not match its hash: it, or the entry before it, was altered or put in another's place.`,
        );
      }
      at = { seq: row.seq, hash: row.hash };
      if (wanted !== null && sameBytes(wanted, row.hash)) found = row.seq;
      if (row.mac) {
        if (!sameBytes(checkpointMac(key, at), row.mac)) {
          return broken(
            checked + 1,
            'altered',
            `Between the entries ${checked + 1} and ${row.seq} one was altered and the hashes after it were computed anew.`,
          );
        }
        checked = row.seq;
      }
    }
    progress?.(at.seq);
    if (rows.length < ROWS_PER_READ) break;
    // A long chain is read beside other work.
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (!head)
    return broken(
      at.seq,
      'head-altered',
      `The head of the journal was altered or does not open; the chain itself fits up to entry ${at.seq}.`,
    );
  if (at.seq < head.seq)
    return broken(
      at.seq + 1,
      'dropped',
      `The journal ends with entry ${at.seq}, but ${head.seq} were written: its end was cut off.`,
    );
  if (!sameBytes(at.hash, head.hash))
    return broken(checked + 1, 'altered', `Entry ${head.seq} is not the one that was written last.`);
  const appended = await findAppended(db, key, head);
  if (appended !== undefined) return appended;
  const chain = { entries: head.seq, head: head.hash.toString('hex') };
  if (wanted === null) return { kind: 'intact', ...chain };
  if (found !== null) return { kind: 'intact', ...chain, noted: found };
  const message =
    'The chain fits, but the head that was noted earlier is not in it: it was written anew, or restored from a copy of before.';
  return { kind: 'another-chain', ...chain, message };
}

/** An entry behind the head was not written by us; unless the head has moved on meanwhile, which is read in the same transaction. */
async function findAppended(db: Db, key: Uint8Array, verified: Head): Promise<JournalVerdict | undefined> {
  return await readTogether(db, async (trx) => {
    const head = await loadHead(trx, key);
    const beyond = await trx
      .selectFrom('journal')
      .select('seq')
      .where('seq', '>', Math.max(head.seq, verified.seq))
      .orderBy('seq')
      .limit(1)
      .executeTakeFirst();
    const before = await trx.selectFrom('journal').select('seq').where('seq', '<', 1).limit(1).executeTakeFirst();
    const stray = before ?? beyond;
    if (!stray) return undefined;
    return broken(stray.seq, 'appended', `Entry ${stray.seq} lies outside the chain: it was not written by Keyturn.`);
  });
}

function broken(
  seq: number,
  what: 'altered' | 'dropped' | 'appended' | 'head-altered',
  message: string,
): JournalVerdict {
  return { kind: 'broken', seq, what, message };
}

/**
 * Copies a store into another database, whole: every table but those that tell of running processes. What is read is one moment of the
 * source; what was written is counted, and the journal's chain verified, before the copy is a store. One that was broken off begins anew.
 */
import { type Expression, Kysely, type SqlBool, sql } from 'kysely';
import { setPatience } from './again.ts';
import { copyBegun, markCopy, refuseUnfinishedCopy, unmarkCopy } from './copy-mark.ts';
import type { StoreDialect } from './dialect.ts';
import { StoreError } from './errors.ts';
import { verifyChain } from './journal.ts';
import { hasJournalKey, readJournalKey } from './journal-key.ts';
import { migrate } from './migrate.ts';
import type { KeksSource } from './open.ts';
import type { Db, Tables, Trx } from './tables.ts';

export interface CopyOptions {
  readonly from: StoreDialect;
  readonly to: StoreDialect;
  /** Of the source; the copy is sealed under the same. */
  readonly keks: KeksSource;
  readonly now: number;
  /** Also where instances are at work on the source: what they write meanwhile is not copied. */
  readonly force: boolean;
  /** Told after each page. */
  readonly progress?: (table: string, rows: number, of: number) => void;
}

export interface CopyReport {
  /** Rows by table. */
  readonly tables: Readonly<Record<string, number>>;
  readonly journal: { readonly entries: number; readonly head: string };
}

/** Tables with their primary keys, each after those that it refers to. `meta` is copied apart; `instances` and `writers` belong to processes. */
export const copiedTables = {
  policies: ['name'],
  domains: ['name'],
  streams: ['domain', 'name'],
  keys: ['domain', 'id'],
  former_keys: ['domain', 'id', 'left_at'],
  signers: ['domain', 'id'],
  conditions: ['domain', 'ord'],
  private_keys: ['key_id'],
  pool: ['id'],
  proof_runs: ['key_id', 'seq'],
  journal: ['seq'],
  counters: ['name'],
  results: ['key'],
  zones: ['apex'],
  zone_records: ['apex', 'name'],
} as const satisfies { readonly [T in keyof Tables]?: ReadonlyArray<keyof Tables[T]> };

/** Tables that are not copied row by row. */
export const otherTables: ReadonlyArray<keyof Tables> = ['meta', 'instances', 'writers'];

type Copied = keyof typeof copiedTables;
const order = Object.keys(copiedTables) as readonly Copied[];

const ROWS_PER_PAGE = 200;
/** Of the `meta` table, what belongs to a database and not to the store in it. */
const NOT_COPIED = ['schema-version', 'copy-begun'];

/**
 * Throws `StoreError`: `invalid` where the target holds a store or instances are at work on the source, `corrupt` where what was written
 * is not what was read, and whatever either database says.
 */
export async function copyStore({ from, to, keks, now, force, progress }: CopyOptions): Promise<CopyReport> {
  const source: Db = new Kysely<Tables>({ dialect: from.kysely });
  const target: Db = new Kysely<Tables>({ dialect: to.kysely });
  setPatience(source, from.patience);
  setPatience(target, to.patience);
  try {
    const journalKey = await openSource(source, from, keks);
    if (!force) await refuseWhileAtWork(source, from, now);
    await migrate(target, to);
    await emptyTarget(target, to, from);
    // One moment of the source. It is not read again where its connection is lost: the copy is then begun anew.
    const tables = await source
      .transaction()
      .setAccessMode('read only')
      .execute(async (trx) => {
        const counts: Record<string, number> = {};
        for (const table of order) counts[table] = await copyTable(trx, target, table, progress);
        await copyMeta(trx, target);
        return counts;
      });
    for (const table of order) {
      const found = await countRows(target, table);
      if (found !== tables[table])
        throw damaged(to, `the table ${table} has ${found} rows there and ${tables[table]} at its source`);
    }
    const verdict = await verifyChain(target, journalKey);
    if (verdict.kind !== 'intact') throw damaged(to, verdict.message);
    await unmarkCopy(target);
    return { tables, journal: { entries: verdict.entries, head: verdict.head } };
  } finally {
    await source.destroy();
    await target.destroy();
  }
}

/** Brings the source to our version, for only then have both the same tables; and proves the key-encryption key. */
async function openSource(source: Db, from: StoreDialect, keks: KeksSource): Promise<Uint8Array> {
  await migrate(source, from);
  await refuseUnfinishedCopy(source, from);
  const journalKey = await readJournalKey(source, typeof keks === 'function' ? keks(true) : keks);
  if (journalKey) return journalKey;
  throw new StoreError('invalid', `There is no store at ${from.place}.`, 'Correct --from.');
}

async function refuseWhileAtWork(source: Db, from: StoreDialect, now: number): Promise<void> {
  const alive = await source.selectFrom('instances').select(['name', 'host']).where('expires_at', '>', now).execute();
  if (alive.length === 0) return;
  const names = alive.map(({ name, host }) => `${name} on ${host}`).join(', ');
  throw new StoreError(
    'invalid',
    `At work on ${from.place}: ${names}; what they write during the copy would be missing in it.`,
    'Stop them first. With --force the copy is made all the same, of this moment.',
  );
}

/** A target is new and empty, or has what an earlier attempt left, which goes. */
async function emptyTarget(target: Db, to: StoreDialect, from: StoreDialect): Promise<void> {
  const begun = await copyBegun(target);
  if (begun === null && ((await hasJournalKey(target)) || (await countRows(target, 'domains')) > 0)) {
    throw new StoreError(
      'invalid',
      `There is a store at ${to.place} already.`,
      'Nothing was written. Name an empty database, or a file that is not there yet.',
    );
  }
  await markCopy(target, from.place);
  if (begun === null) return;
  for (const table of order.toReversed()) await target.deleteFrom(table).execute();
  await target.deleteFrom('meta').where('name', 'not in', NOT_COPIED).execute();
}

async function copyTable(source: Trx, target: Db, table: Copied, progress: CopyOptions['progress']): Promise<number> {
  const of = await countRows(source, table);
  const key: readonly string[] = copiedTables[table];
  let rows = 0;
  for (let last: Row | undefined; ; ) {
    const page = await readPage(source, table, key, last);
    if (page.length > 0) await target.transaction().execute((trx) => insert(trx, table, page));
    rows += page.length;
    progress?.(table, rows, of);
    last = page.at(-1);
    if (page.length < ROWS_PER_PAGE || last === undefined) return rows;
  }
}

type Row = Readonly<Record<string, string | number | Buffer | null>>;

/** The next rows in the order of the primary key, which is spelled out column by column: no database minds that. */
async function readPage(db: Db, table: Copied, key: readonly string[], last: Row | undefined): Promise<readonly Row[]> {
  const after = last === undefined ? sql<SqlBool>`1 = 1` : behind(key, last);
  const columns = sql.join(key.map((column) => sql.ref(column)));
  const { rows } = await sql<Row>`
    select * from ${sql.table(table)} where ${after} order by ${columns} limit ${ROWS_PER_PAGE}
  `.execute(db);
  return rows;
}

function behind([column, ...rest]: readonly string[], last: Row): Expression<SqlBool> {
  if (column === undefined) return sql<SqlBool>`1 = 0`;
  const [here, value] = [sql.ref(column), last[column]];
  if (rest.length === 0) return sql<SqlBool>`${here} > ${value}`;
  return sql<SqlBool>`${here} >= ${value} and (${here} > ${value} or (${behind(rest, last)}))`;
}

async function insert(trx: Trx, table: Copied, rows: readonly Row[]): Promise<void> {
  // The rows are those of the same table in a store of the same version: Kysely cannot see that, we can.
  await trx
    .insertInto(table as 'policies')
    .values(rows as unknown as Array<Tables['policies']>)
    .execute();
}

async function copyMeta(source: Trx, target: Db): Promise<void> {
  const rows = await source.selectFrom('meta').selectAll().where('name', 'not in', NOT_COPIED).execute();
  await target.transaction().execute(async (trx) => {
    for (const row of rows) await trx.replaceInto('meta').values(row).execute();
  });
}

async function countRows(db: Db, table: Copied): Promise<number> {
  const row = await db
    .selectFrom(table as 'policies')
    .select((eb) => eb.fn.countAll<number>().as('rows'))
    .executeTakeFirst();
  return Number(row?.rows ?? 0);
}

function damaged({ place }: StoreDialect, what: string): StoreError {
  return new StoreError(
    'corrupt',
    `The copy at ${place} is not what was read: ${what}.`,
    'It will not be opened. See that nothing else writes to either database, and start the copy again.',
  );
}

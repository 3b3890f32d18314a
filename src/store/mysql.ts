/**
 * MySQL and MariaDB through mysql2. Kysely's own driver knows no lost connections; this one asks a single question again on another
 * connection, throws a broken one away, bounds every statement in time, and says of a commit whose answer was lost that it is uncertain.
 *
 * Isolation: reads of several statements see one snapshot (REPEATABLE READ, read only). Changes run under READ COMMITTED: what they
 * rest upon is locked when it is read, and there are no gap locks to run into.
 */
import { readFileSync } from 'node:fs';
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  MysqlAdapter,
  MysqlIntrospector,
  MysqlQueryCompiler,
  type QueryResult,
  sql,
  type TransactionSettings,
} from 'kysely';
import { createPool, type Pool, type PoolConnection } from 'mysql2';
import { again } from './again.ts';
import type { StoreDialect } from './dialect.ts';
import { hasCode, StoreError } from './errors.ts';
import { errorNumber, translate } from './mysql-errors.ts';

export interface MysqlOptions {
  /** `mysql://user@host:port/database`; a password in it is used where none is given apart. */
  readonly url: string;
  readonly password?: string;
  /** Path of a UNIX socket, instead of host and port. */
  readonly socket?: string;
  readonly tls?: MysqlTls;
  /** At most so many at once; 8 by default. */
  readonly connections?: number;
  /** How long one statement may take, in milliseconds; 60 s by default. */
  readonly statementTimeout?: number;
  /** How long a lock, or a server that has gone, is waited for, in milliseconds; 10 s by default. */
  readonly patience?: number;
  /** Called with every statement. */
  readonly trace?: (statement: string, parameters: readonly unknown[]) => void;
}

/** Absolute paths of PEM files. */
export interface MysqlTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** False: any certificate will do, which keeps out nobody who stands in between. */
  readonly verify?: boolean;
}

interface Settings extends MysqlOptions {
  readonly place: string;
  readonly patience: number;
  readonly statementTimeout: number;
}

/** Throws `StoreError` `cannot-open` for a URL that is none, or a file of `tls` that cannot be read. */
export function mysqlDialect(options: MysqlOptions): StoreDialect {
  const url = readUrl(options.url);
  const { patience = 10_000, statementTimeout = 60_000 } = options;
  const settings: Settings = { ...options, place: placeOf(url), patience, statementTimeout };
  const pool = openPool(url, settings);
  let skipLocked = false;
  return {
    name: 'mysql',
    place: settings.place,
    kysely: {
      createDriver: () => createDriver(pool, settings),
      createQueryCompiler: () => new MysqlQueryCompiler(),
      createAdapter: () => new MysqlAdapter(),
      createIntrospector: (db) => new MysqlIntrospector(db),
    },
    table: (table) => table.modifyEnd(TABLE),
    clustered: (table) => table.modifyEnd(TABLE),
    sparse: (index) => index,
    types: { text: sql`mediumtext`, sequence: 'bigint' },
    async step(step) {
      try {
        await step.execute();
      } catch (error) {
        if (!THERE_ALREADY.has(errorNumber(error))) throw error;
      }
    },
    isMissingTable: (error) => errorNumber(error) === NO_TABLE,
    oneWriter: false,
    async prepare(db) {
      // TiDB takes no SKIP LOCKED: there, two that claim at the same time wait for each other.
      const probe = sql`select name from meta where name = '' for update skip locked`.execute(db);
      skipLocked = await probe.then(
        () => true,
        (error: unknown) => {
          if (errorNumber(error) === SYNTAX || errorNumber(error) === UNSUPPORTED) return false;
          throw error;
        },
      );
    },
    skipLocked: () => skipLocked,
    patience,
    async size(db) {
      const { rows } = await sql<{ octets: number | string | null }>`
        select sum(data_length + index_length) as octets from information_schema.tables where table_schema = database()
      `.execute(db);
      return Number(rows[0]?.octets ?? 0);
    },
  };
}

/** Names compare byte by byte, as they do in SQLite. */
const TABLE = sql`engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin`;
/** A table, a column, an index, a foreign key that is there already. */
const THERE_ALREADY: ReadonlySet<number> = new Set([1050, 1060, 1061, 1826]);
const NO_TABLE = 1146;
const SYNTAX = 1064;
const UNSUPPORTED = 1235;
const TLS_FILES = ['ca', 'cert', 'key'] as const;

function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  const database = url?.pathname.slice(1) ?? '';
  if (url !== null && /^(?:mysql|mariadb):$/.test(url.protocol) && database !== '' && !database.includes('/'))
    return url;
  throw new StoreError(
    'cannot-open',
    'The address of the database is not of the form mysql://user@host:3306/database.',
    'Correct `store.url`; characters such as @ and / in a name are written %40 and %2F.',
  );
}

function placeOf(url: URL): string {
  return `mysql://${url.username === '' ? '' : `${url.username}@`}${url.host}${url.pathname}`;
}

function openPool(url: URL, settings: Settings): Pool {
  const password = settings.password ?? decodeURIComponent(url.password);
  return createPool({
    ...(settings.socket === undefined
      ? { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? 3306 : Number(url.port) }
      : { socketPath: settings.socket }),
    user: decodeURIComponent(url.username),
    password,
    database: decodeURIComponent(url.pathname.slice(1)),
    ...(settings.tls === undefined ? {} : { ssl: tlsOptions(settings.tls) }),
    charset: 'UTF8MB4_BIN',
    connectionLimit: settings.connections ?? 8,
    idleTimeout: 60_000,
    connectTimeout: Math.min(10_000, settings.statementTimeout),
    enableKeepAlive: true,
  });
}

function tlsOptions(tls: MysqlTls) {
  const files = TLS_FILES.flatMap((name) => {
    const path = tls[name];
    if (path === undefined) return [];
    try {
      return [[name, readFileSync(path, 'utf8')] as const];
    } catch (error) {
      throw new StoreError(
        'tls',
        `The file of store.tls.${name} cannot be read (${error instanceof Error ? error.message : String(error)}).`,
        'It must be readable by the user that runs Keyturn.',
      );
    }
  });
  const verify = tls.verify !== false;
  return { ...Object.fromEntries(files), rejectUnauthorized: verify, verifyIdentity: verify };
}

interface Session extends DatabaseConnection {
  begin(settings: TransactionSettings): Promise<void>;
  commit(): Promise<void>;
  rollback(): Promise<void>;
  release(): void;
}

function createDriver(pool: Pool, settings: Settings): Driver {
  const open = new Set<PoolConnection>();
  pool.on('connection', (raw) => {
    open.add(raw);
    raw.once('end', () => open.delete(raw));
    // What is the matter is said to whoever asks next.
    raw.on('error', () => open.delete(raw));
  });
  const sessionOf = (connection: DatabaseConnection): Session => connection as Session;
  return {
    async init() {},
    acquireConnection: async () => createSession(pool, settings),
    beginTransaction: (c, how) => sessionOf(c).begin(how),
    commitTransaction: (c) => sessionOf(c).commit(),
    rollbackTransaction: (c) => sessionOf(c).rollback(),
    releaseConnection: async (c) => sessionOf(c).release(),
    async destroy() {
      // A server that says nothing must not keep us.
      const slow = setTimeout(() => {
        for (const raw of open) raw.destroy();
      }, 2000);
      await Promise.race([
        new Promise<void>((resolve) => pool.end(() => resolve())),
        new Promise<void>((resolve) => setTimeout(resolve, 2500).unref()),
      ]);
      clearTimeout(slow);
    },
  };
}

/** Takes its connection when the first statement comes, so that a single question can be asked again on another one. */
function createSession(pool: Pool, settings: Settings): Session {
  let raw: PoolConnection | undefined;
  let state: 'single' | 'transaction' | 'over' = 'single';

  async function run(text: string, parameters: readonly unknown[] = []): Promise<Answer> {
    if (state === 'over') throw lost(settings.place);
    settings.trace?.(text, parameters);
    try {
      raw ??= await acquire(pool, settings);
      return await send(raw, text, parameters, settings.statementTimeout);
    } catch (error) {
      const told = translate(error, settings.place);
      if (hasCode(told, 'unreachable')) discard();
      // The server has undone the whole transaction: what came after would be committed by itself.
      if (state === 'transaction' && (hasCode(told, 'unreachable') || hasCode(told, 'conflict'))) state = 'over';
      throw told;
    }
  }

  function discard(): void {
    raw?.destroy();
    raw = undefined;
  }

  return {
    async executeQuery<R>({ sql: text, parameters }: CompiledQuery): Promise<QueryResult<R>> {
      const repeatable = state === 'single' && /^select/i.test(text);
      const answer = repeatable
        ? await again(settings.patience, () => run(text, parameters))
        : await run(text, parameters);
      if (!('affectedRows' in answer)) return { rows: answer as R[] };
      return { rows: [], numAffectedRows: BigInt(answer.affectedRows), insertId: BigInt(answer.insertId) };
    },
    // Long reads go by pages, so that none holds a connection for long.
    // biome-ignore lint/correctness/useYield: the interface wants a generator
    async *streamQuery() {
      throw new Error('the store reads by pages, never by streams');
    },
    async begin({ accessMode }) {
      if (accessMode === 'read only') await run('start transaction read only');
      else {
        await run('set transaction isolation level read committed');
        await run('start transaction');
      }
      state = 'transaction';
    },
    async commit() {
      try {
        await run('commit');
        state = 'single';
      } catch (error) {
        if (!hasCode(error, 'unreachable')) throw error;
        throw new StoreError(
          'uncertain',
          `The connection to the database was lost while a change was being committed (${settings.place}).`,
          'Look whether it took effect before it is made again.',
          error,
        );
      }
    },
    async rollback() {
      const undone = state === 'over' ? raw === undefined : false;
      state = 'single';
      // A connection that is gone takes its transaction with it.
      if (!undone && raw !== undefined) await run('rollback').catch(discard);
    },
    release() {
      if (state !== 'single') discard();
      raw?.release();
      raw = undefined;
    },
  };
}

type Answer = readonly unknown[] | { readonly affectedRows: number; readonly insertId: number };

const prepared = new WeakSet<PoolConnection>();

async function acquire(pool: Pool, settings: Settings): Promise<PoolConnection> {
  const raw = await new Promise<PoolConnection>((resolve, reject) => {
    pool.getConnection((error, connection) => (error ? reject(error) : resolve(connection)));
  });
  if (prepared.has(raw)) return raw;
  const seconds = Math.max(1, Math.ceil(settings.patience / 1000));
  try {
    for (const text of [
      `set session sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', autocommit = 1, wait_timeout = 300, innodb_lock_wait_timeout = ${seconds}`,
      'set session transaction isolation level repeatable read',
    ]) {
      await send(raw, text, [], settings.statementTimeout);
    }
  } catch (error) {
    raw.destroy();
    throw error;
  }
  prepared.add(raw);
  return raw;
}

/** Changes of the schema take the time that they take; everything else is over after `timeout` milliseconds. */
function send(raw: PoolConnection, text: string, values: readonly unknown[], timeout: number): Promise<Answer> {
  const bounded = /^(?:create|alter|drop) /i.test(text) ? {} : { timeout };
  return new Promise((resolve, reject) => {
    raw.query({ sql: text, values: [...values], ...bounded }, (error, answer) => {
      if (error) reject(error);
      else resolve(answer as unknown as Answer);
    });
  });
}

function lost(place: string): StoreError {
  return new StoreError(
    'unreachable',
    `The transaction is over: the database undid it, or the connection to it was lost (${place}).`,
    'The work goes on by itself once the database answers.',
  );
}

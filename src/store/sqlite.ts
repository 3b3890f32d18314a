/**
 * SQLite through better-sqlite3. Kysely's own driver prepares each statement anew and begins transactions that fail
 * when they come to write; this one keeps its statements, takes the write lock at the beginning and waits for it
 * without holding up the event loop.
 */
import { closeSync, openSync, statSync } from 'node:fs';
import SqliteDatabase from 'better-sqlite3';
import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
  type TransactionSettings,
} from 'kysely';
import type { StoreDialect } from './dialect.ts';
import { StoreError } from './errors.ts';

export interface SqliteOptions {
  /** `:memory:` for a store that lives as long as the process. */
  readonly path: string;
  /** How long a writer waits for another process's lock, in milliseconds. */
  readonly lockWait: number;
  /** Further settings of the connection, such as `max_page_count = 100000`. */
  readonly pragmas?: readonly string[];
  /** Called with every statement, for tests and for looking into slow queries. */
  readonly trace?: (statement: string, parameters: readonly unknown[]) => void;
}

export function sqliteDialect(options: SqliteOptions): StoreDialect {
  return {
    name: 'sqlite',
    place: options.path,
    kysely: {
      createDriver: () => createDriver(options),
      createQueryCompiler: () => new SqliteQueryCompiler(),
      createAdapter: () => new SqliteAdapter(),
      createIntrospector: (db) => new SqliteIntrospector(db),
    },
    table: (table) => table,
    clustered: (table) => table.modifyEnd(sql`without rowid`),
    sparse: (index, column) => index.where(sql.ref(column), 'is not', null),
    types: { text: 'text', sequence: 'integer' },
    step: async (step) => {
      await step.execute();
    },
    isMissingTable: (error) => error instanceof StoreError && /no such table/.test(error.message),
    oneWriter: true,
    prepare: async () => {},
    skipLocked: () => false,
    patience: options.lockWait,
    size: async () => (options.path === ':memory:' ? 0 : statSync(options.path).size),
  };
}

const KEPT_STATEMENTS = 400;
/** Milliseconds that SQLite itself may block the thread before we take over waiting. */
const BLOCKING_WAIT = 20;

function createDriver(options: SqliteOptions): Driver {
  let database: SqliteDatabase.Database | undefined;
  let connection: DatabaseConnection | undefined;
  return {
    async init() {
      database ??= connect(options);
      connection ??= createConnection(database, options);
    },
    async acquireConnection() {
      if (!connection) throw new Error('the SQLite driver is not initialised');
      return connection;
    },
    async beginTransaction(c, settings) {
      await begin(c, settings, options);
    },
    async commitTransaction(c) {
      await c.executeQuery(CompiledQuery.raw('commit'));
    },
    async rollbackTransaction(c) {
      // After a full disk or an I/O error SQLite has rolled back by itself.
      if (database?.inTransaction) await c.executeQuery(CompiledQuery.raw('rollback'));
    },
    async releaseConnection() {},
    async destroy() {
      database?.close();
      database = undefined;
      connection = undefined;
    },
  };
}

function connect(options: SqliteOptions): SqliteDatabase.Database {
  let database: SqliteDatabase.Database | undefined;
  try {
    if (options.path !== ':memory:') makePrivate(options.path);
    database = new SqliteDatabase(options.path, { timeout: options.lockWait });
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    database.pragma('foreign_keys = ON');
    database.pragma('cache_size = -65536');
    database.pragma('temp_store = MEMORY');
    database.pragma(`busy_timeout = ${BLOCKING_WAIT}`);
    for (const pragma of options.pragmas ?? []) database.pragma(pragma);
    return database;
  } catch (error) {
    database?.close();
    throw translate(error, options.path);
  }
}

/** SQLite would make the file by the umask, and gives its -wal and -shm the mode of the file. */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'ax', 0o600));
  } catch {
    // It is there already, or SQLite will say what is the matter.
  }
}

async function begin(c: DatabaseConnection, settings: TransactionSettings, options: SqliteOptions): Promise<void> {
  if (settings.accessMode === 'read only') {
    await c.executeQuery(CompiledQuery.raw('begin'));
    return;
  }
  const started = performance.now();
  for (;;) {
    try {
      await c.executeQuery(CompiledQuery.raw('begin immediate'));
      return;
    } catch (error) {
      const locked = error instanceof StoreError && error.code === 'locked';
      if (!locked || performance.now() - started > options.lockWait) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 20));
    }
  }
}

function createConnection(database: SqliteDatabase.Database, options: SqliteOptions): DatabaseConnection {
  const statements = new Map<string, SqliteDatabase.Statement>();

  function prepare(text: string): SqliteDatabase.Statement {
    const kept = statements.get(text);
    if (kept) return kept;
    if (statements.size >= KEPT_STATEMENTS) statements.clear();
    const made = database.prepare(text);
    statements.set(text, made);
    return made;
  }

  return {
    async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
      options.trace?.(query.sql, query.parameters);
      try {
        const statement = prepare(query.sql);
        if (statement.reader) return { rows: statement.all(...query.parameters) as R[] };
        const { changes, lastInsertRowid } = statement.run(...query.parameters);
        return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
      } catch (error) {
        throw translate(error, options.path);
      }
    },
    // Long reads go by pages, so that no read holds the one connection for long.
    // biome-ignore lint/correctness/useYield: the interface wants a generator
    async *streamQuery() {
      throw new Error('the store reads by pages, never by streams');
    },
  };
}

/** SQLite's result codes, told to a person. Anything that is not SQLite's passes unchanged. */
function translate(error: unknown, path: string): unknown {
  if (!(error instanceof SqliteDatabase.SqliteError)) {
    if (error instanceof TypeError && /directory does not exist/.test(error.message)) {
      return new StoreError(
        'cannot-open',
        `Cannot open the store ${path}: its folder does not exist.`,
        'Make the folder, or correct the path of the store.',
        error,
      );
    }
    return error;
  }
  const told = (code: StoreError['code'], what: string, advice: string) =>
    new StoreError(code, `${what} (${path}: ${error.code}, ${error.message}).`, advice, error);
  const { code } = error;
  if (code === 'SQLITE_FULL') {
    return told(
      'disk-full',
      'The store could not be written: no space is left',
      'Free some space; nothing was lost, and the work goes on by itself.',
    );
  }
  if (code.startsWith('SQLITE_READONLY')) {
    return told(
      'read-only',
      'The store cannot be written',
      'Check the owner and the permissions of the file and of its folder, and that the file system is not mounted read-only.',
    );
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return told(
      'locked',
      'Another process holds the write lock of the store',
      'Try again; if this stays, find the process that has the file open (fuser or lsof) and end it.',
    );
  }
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return told(
      'corrupt',
      'The store is damaged, or is not a Keyturn store',
      'Stop every Keyturn process, keep a copy of the file with its -wal and -shm, and restore the last backup.',
    );
  }
  if (code.startsWith('SQLITE_CANTOPEN') || code === 'SQLITE_PERM' || code === 'SQLITE_AUTH') {
    return told(
      'cannot-open',
      'The store cannot be opened',
      'Check that the folder exists and that this user may read and write it.',
    );
  }
  return told(
    'failed',
    'The store could not do its work',
    'Look for disk errors in the system log; if the file is sound, report this.',
  );
}

/**
 * Both kinds of store for one suite of tests: `describe.each(stores)('… on $name', ({ open }) => …)` runs it over SQLite and over a real
 * MariaDB, which one file of tests shares, a fresh database for each store.
 */
import { afterAll } from 'vitest';
import { type Clock, systemClock } from '../../src/lifecycle/clock.ts';
import { temporaryKeks } from '../../src/store/kek.ts';
import { type KeksSource, openMysqlStore, openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { type Mariadb, startMariadb } from '../support/mariadb.ts';
import { need } from '../support/need.ts';
import { type TempDir, tempDir } from '../support/temp.ts';

export interface OpenForTest {
  readonly keks?: KeksSource;
  readonly clock?: Clock;
  readonly trace?: (statement: string, parameters: readonly unknown[]) => void;
}

/** A database that outlives the stores that are opened on it. */
export interface Place {
  open(options?: OpenForTest): Promise<Store>;
  /** Runs statements behind the store's back; the rows of the last. Values are written as `?`. */
  run(statement: string, ...values: readonly unknown[]): Promise<ReadonlyArray<Record<string, unknown>>>;
}

export interface Kind {
  readonly name: 'SQLite' | 'MariaDB';
  /** How many of `runs` random runs this kind is worth: a question to MariaDB costs more than the whole run on SQLite. */
  runs(runs: number): number;
  /** A store of its own, with nothing in it. */
  open(options?: OpenForTest): Promise<Store>;
  /** A new, empty database. */
  place(): Promise<Place>;
}

let mariadb: Promise<Mariadb> | undefined;
let folder: TempDir | undefined;
let files = 0;
afterAll(async () => {
  await (await mariadb)?.stop();
  folder?.remove();
});

/** The file's own MariaDB, started by the first who asks. */
export function sharedMariadb(): Promise<Mariadb> {
  mariadb ??= startMariadb();
  return mariadb;
}

const sqlite: Kind = {
  name: 'SQLite',
  runs: (runs) => runs,
  open: ({ keks = temporaryKeks(), clock = systemClock, ...rest } = {}) =>
    openStore({ path: ':memory:', keks, clock, ...rest }),
  async place() {
    const { default: SqliteDatabase } = await import('better-sqlite3');
    folder ??= tempDir('store');
    files += 1;
    const path = folder.join(`${files}.sqlite`);
    return {
      open: ({ keks = temporaryKeks(), clock = systemClock, ...rest } = {}) =>
        openStore({ path, keks, clock, ...rest }),
      async run(statement, ...values) {
        const database = new SqliteDatabase(path);
        try {
          const prepared = database.prepare<unknown[], Record<string, unknown>>(statement);
          if (prepared.reader) return prepared.all(...values);
          prepared.run(...values);
          return [];
        } finally {
          database.close();
        }
      },
    };
  },
};

const mysql: Kind = {
  name: 'MariaDB',
  runs: (runs) => Math.ceil(runs / 8),
  open: async (options = {}) => (await mysql.place()).open(options),
  async place() {
    const server = await sharedMariadb();
    const { url, password, name } = await server.database();
    return {
      open: ({ keks = temporaryKeks(), clock = systemClock, ...rest } = {}) =>
        openMysqlStore({ url, password, keks, clock, ...rest }),
      run: (statement, ...values) => server.ask(name, statement, values),
    };
  },
};

/** SQLite always; MariaDB where it is installed (see `need`). */
export const stores: readonly Kind[] = need('mariadbd', 'mariadb-server') ? [sqlite, mysql] : [sqlite];

/** From the first schema to the newest, also where a crash broke it off at any step, and where two begin at once. */
import { Kysely, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { sharedMariadb } from '../../tests/store/stores.ts';
import { need } from '../../tests/support/need.ts';
import { tempDir } from '../../tests/support/temp.ts';
import { systemClock } from '../lifecycle/clock.ts';
import type { StoreDialect } from './dialect.ts';
import { temporaryKeks } from './kek.ts';
import { migrate, newestSchema, schemaVersion } from './migrate.ts';
import { migrations } from './migrations.ts';
import { mysqlDialect } from './mysql.ts';
import { openWith } from './open.ts';
import { sqliteDialect } from './sqlite.ts';
import type { Db, Tables } from './tables.ts';

const keks = temporaryKeks();
const connect = (dialect: StoreDialect): Db => new Kysely<Tables>({ dialect: dialect.kysely });

/** A store as the first version of the schema has it, with a key that was proved. */
async function makeFirst(dialect: StoreDialect): Promise<void> {
  const db = connect(dialect);
  await dialect
    .table(db.schema.createTable('meta'))
    .addColumn('name', 'varchar(64)', (c) => c.primaryKey())
    .addColumn('value', dialect.types.text, (c) => c.notNull())
    .execute();
  await migrations[0]?.(db as unknown as Kysely<never>, dialect);
  await sql`insert into meta (name, value) values ('schema-version', '1')`.execute(db);
  await sql`insert into domains (name, kind, created_at, generation, facts, version, severity, next_look_at, due_at, lease_token)
    values ('a.example', 'mail', 1, 0, '{}', 1, 0, 0, 0, 0)`.execute(db);
  await db
    .insertInto('keys')
    .values({
      ...{ domain: 'a.example', id: 'k', ord: 0, stream: 'default', selector: 's', algorithm: 'rsa', bits: 2048 },
      ...{ public_key: 'AA', state: 'active', ownership: 'ours', imported: 0, created_at: 1, facts: '{}' },
    })
    .execute();
  await sql`insert into proofs (key_id, seq, since, at, times, expected, verdict, detail)
    values ('k', 1, 5, 9, 4, 'key', 'seen', '{}')`.execute(db);
  await db.destroy();
}

async function expectNewest(dialect: StoreDialect): Promise<void> {
  await using store = await openWith(dialect, keks, systemClock);
  expect((await store.status()).schemaVersion).toBe(newestSchema);
  expect(await store.proofs('k')).toMatchObject([{ since: 5, at: 9, times: 4, verdict: 'seen' }]);
  expect(await store.findKey('k')).toMatchObject({ domain: 'a.example', selector: 's' });
  await store.journal.append([{ actor: 'a', source: 's', domain: null, kind: 'k', details: {} }]);
}

test('SQLite: a store of the first version keeps what it has', async () => {
  using dir = tempDir('migrate');
  const dialect = () => sqliteDialect({ path: dir.join('store.sqlite'), lockWait: 1_000 });
  await makeFirst(dialect());
  await expectNewest(dialect());
});

describe.skipIf(!need('mariadbd', 'mariadb-server'))('MariaDB', () => {
  const place = async () => {
    const { url, password } = await (await sharedMariadb()).database();
    return () => mysqlDialect({ url, password });
  };

  test('a store of the first version keeps what it has', async () => {
    const dialect = await place();
    await makeFirst(dialect());
    await expectNewest(dialect());
  });

  /** Migrates again and again, each time one step further, until nothing breaks it off any more. */
  async function crashEverywhere(dialect: () => StoreDialect): Promise<number> {
    for (let crashes = 0; ; crashes += 1) {
      const inner = dialect();
      let steps = 0;
      const crashing: StoreDialect = {
        ...inner,
        async step(step) {
          await inner.step(step);
          steps += 1;
          if (steps > crashes) throw new Error('crashed');
        },
      };
      const db = connect(crashing);
      const outcome = await migrate(db, crashing).then(
        () => 'done',
        (error: unknown) => String(error),
      );
      await db.destroy();
      if (outcome === 'done') return crashes;
      expect(outcome).toBe('Error: crashed');
    }
  }

  test('a crash after any step is made good by the next start', async () => {
    const fresh = await place();
    // As many as the first version has steps: tables and indexes.
    expect(await crashEverywhere(fresh)).toBeGreaterThan(25);
    const whole = await place();
    await (await openWith(whole(), keks, systemClock)).close();
    expect(await definitions(fresh())).toStrictEqual(await definitions(whole()));

    const before = await place();
    await makeFirst(before());
    expect(await crashEverywhere(before)).toBeGreaterThan(1);
    await expectNewest(before());
  });

  test('of four that start on an empty database at once, each finds one whole store', async () => {
    const dialect = await place();
    const opened = await Promise.all(Array.from({ length: 4 }, () => openWith(dialect(), keks, systemClock)));
    await Promise.all(
      opened.map((store, n) =>
        store.journal.append([{ actor: 'a', source: 's', domain: null, kind: 'k', details: n }]),
      ),
    );
    expect(await opened[0]?.journal.verify()).toMatchObject({ kind: 'intact', entries: 4 });
    await Promise.all(opened.map((store) => store.close()));
    const db = connect(dialect());
    expect(await schemaVersion(db)).toBe(newestSchema);
    await db.destroy();
  });
});

/** Every column, index and foreign key. */
async function definitions(dialect: StoreDialect): Promise<unknown> {
  const db = connect(dialect);
  const of = async (query: ReturnType<typeof sql>) => (await query.execute(db)).rows;
  const found = [
    await of(sql`select table_name, column_name, column_type, collation_name from information_schema.columns
      where table_schema = database() order by 1, 2`),
    await of(sql`select table_name, index_name, seq_in_index, column_name, non_unique from information_schema.statistics
      where table_schema = database() order by 1, 2, 3`),
    await of(sql`select table_name, constraint_name, delete_rule from information_schema.referential_constraints
      where constraint_schema = database() order by 1, 2`),
  ];
  await db.destroy();
  return found;
}

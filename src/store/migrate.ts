/** Brings the schema to this program's version, beside other processes that may be doing the same. */
import { Kysely, sql } from 'kysely';
import type { StoreDialect } from './dialect.ts';
import { StoreError } from './errors.ts';
import { migrations } from './migrations.ts';
import type { Db, Tables } from './tables.ts';

/** The schema version that this program works with. */
export const newestSchema = migrations.length;

/**
 * Takes the migrations that are missing. SQLite takes them in one transaction; MySQL commits each step by itself, so that a crash leaves
 * one half taken, which the next start takes again. Throws `StoreError` `newer-schema` for a store of a newer program.
 */
export async function migrate(db: Db, dialect: StoreDialect): Promise<void> {
  const known = await currentVersion(db, dialect);
  if (known === newestSchema) return;
  if (dialect.name === 'sqlite') {
    await db.transaction().execute((trx) => takeMissing(trx, dialect));
    return;
  }
  await db.connection().execute(async (one) => {
    // Spares two processes each other's locks; that they do no harm without it is the steps' own affair.
    await sql`select get_lock(concat('keyturn migrate ', left(database(), 40)), 60)`
      .execute(one)
      .catch(() => undefined);
    try {
      await takeMissing(one, dialect);
    } finally {
      await sql`select release_lock(concat('keyturn migrate ', left(database(), 40)))`
        .execute(one)
        .catch(() => undefined);
    }
  });
}

async function takeMissing(db: Db, dialect: StoreDialect): Promise<void> {
  const version = await schemaVersion(db);
  if (version > newestSchema) {
    throw new StoreError(
      'newer-schema',
      `The store has schema version ${version}; this Keyturn knows versions up to ${newestSchema}.`,
      'Use the newer Keyturn that made it, or restore the backup from before the upgrade.',
    );
  }
  for (const [index, migration] of migrations.entries()) {
    if (index < version) continue;
    await migration(db as unknown as Kysely<never>, dialect);
    await sql`replace into meta (name, value) values ('schema-version', ${String(index + 1)})`.execute(db);
  }
}

/** The version, in a table that is made for it where nothing is there yet: only then is the right to make tables needed. */
async function currentVersion(db: Db, dialect: StoreDialect): Promise<number> {
  try {
    // In a transaction, so that a server that is not there is not waited for: whoever opens a store wants to know at once.
    return await db.transaction().setAccessMode('read only').execute(schemaVersion);
  } catch (error) {
    if (!dialect.isMissingTable(error)) throw error;
  }
  await dialect
    .table(db.schema.createTable('meta').ifNotExists())
    .addColumn('name', 'varchar(64)', (c) => c.primaryKey())
    .addColumn('value', dialect.types.text, (c) => c.notNull())
    .execute();
  return await schemaVersion(db);
}

export async function schemaVersion(db: Db): Promise<number> {
  const row = await db.selectFrom('meta').select('value').where('name', '=', 'schema-version').executeTakeFirst();
  return row ? Number(row.value) : 0;
}

export interface SchemaVersions {
  /** 0 where there is no store yet. */
  readonly before: number;
  readonly after: number;
}

/** Migrates by itself, without opening the store; with `dryRun` it only looks. */
export async function migrateStore(dialect: StoreDialect, dryRun: boolean): Promise<SchemaVersions> {
  const db: Db = new Kysely<Tables>({ dialect: dialect.kysely });
  try {
    const tables = await db.introspection.getTables();
    const before = tables.some(({ name }) => name === 'meta') ? await schemaVersion(db) : 0;
    if (dryRun) return { before, after: before };
    await migrate(db, dialect);
    return { before, after: await schemaVersion(db) };
  } finally {
    await db.destroy();
  }
}

/** The schema, version by version. A migration that was released is never edited: the next one changes what it made. */
import { type Kysely, sql } from 'kysely';
import type { StoreDialect } from './dialect.ts';
import { StoreError } from './errors.ts';
import type { Db } from './tables.ts';

type Migration = (db: Kysely<never>, dialect: StoreDialect) => Promise<void>;

const NAME = 'varchar(253)';
const ID = 'varchar(64)';
const CODE = 'varchar(64)';

const migrations: readonly Migration[] = [
  async (db, dialect) => {
    const { schema } = db;
    await schema
      .createTable('policies')
      .addColumn('name', ID, (c) => c.primaryKey())
      .addColumn('policy', 'text', (c) => c.notNull())
      .execute();

    await dialect
      .clustered(schema.createTable('domains'))
      .addColumn('name', NAME, (c) => c.primaryKey())
      .addColumn('kind', 'varchar(8)', (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .addColumn('generation', 'bigint', (c) => c.notNull())
      .addColumn('first_active_at', 'bigint')
      .addColumn('paused_at', 'bigint')
      .addColumn('removing_at', 'bigint')
      .addColumn('last_look_at', 'bigint')
      .addColumn('facts', 'text', (c) => c.notNull())
      .addColumn('version', 'bigint', (c) => c.notNull())
      .addColumn('policy_name', ID, (c) => c.references('policies.name'))
      .addColumn('policy_own', 'text')
      .addColumn('severity', 'integer', (c) => c.notNull())
      .addColumn('next_look_at', 'bigint', (c) => c.notNull())
      .addColumn('due_at', 'bigint', (c) => c.notNull())
      .addColumn('wake_at', 'bigint')
      .addColumn('lease_owner', ID)
      .addColumn('lease_token', 'bigint', (c) => c.notNull())
      .addColumn('lease_until', 'bigint')
      .execute();
    await schema.createIndex('domains_due').on('domains').column('due_at').execute();
    const held = schema.createIndex('domains_held').on('domains').column('lease_owner');
    await dialect.sparse(held, 'lease_owner').execute();
    await schema.createIndex('domains_kind').on('domains').columns(['kind', 'name']).execute();
    await schema.createIndex('domains_policy').on('domains').columns(['policy_name', 'name']).execute();

    await dialect
      .clustered(schema.createTable('streams'))
      .addColumn('domain', NAME, (c) => c.notNull().references('domains.name').onDelete('cascade'))
      .addColumn('name', ID, (c) => c.notNull())
      .addColumn('ord', 'integer', (c) => c.notNull())
      .addColumn('policy', 'text')
      .addColumn('facts', 'text', (c) => c.notNull())
      .addPrimaryKeyConstraint('streams_pk', ['domain', 'name'] as never)
      .execute();

    await dialect
      .clustered(schema.createTable('keys'))
      .addColumn('domain', NAME, (c) => c.notNull().references('domains.name').onDelete('cascade'))
      .addColumn('id', ID, (c) => c.notNull())
      .addColumn('ord', 'integer', (c) => c.notNull())
      .addColumn('stream', ID, (c) => c.notNull())
      .addColumn('selector', NAME, (c) => c.notNull())
      .addColumn('algorithm', 'varchar(16)', (c) => c.notNull())
      .addColumn('bits', 'integer', (c) => c.notNull())
      .addColumn('public_key', 'text', (c) => c.notNull())
      .addColumn('state', 'varchar(16)', (c) => c.notNull())
      .addColumn('ownership', 'varchar(16)', (c) => c.notNull())
      .addColumn('imported', 'integer', (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .addColumn('published_at', 'bigint')
      .addColumn('activated_at', 'bigint')
      .addColumn('retired_at', 'bigint')
      .addColumn('revoked_at', 'bigint')
      .addColumn('removed_at', 'bigint')
      .addColumn('compromised_at', 'bigint')
      .addColumn('rejected_at', 'bigint')
      .addColumn('private_key_destroyed_at', 'bigint')
      .addColumn('facts', 'text', (c) => c.notNull())
      .addPrimaryKeyConstraint('keys_pk', ['domain', 'id'] as never)
      .execute();
    await schema.createIndex('keys_id').unique().on('keys').column('id').execute();
    await schema.createIndex('keys_state').on('keys').columns(['state', 'domain', 'id']).execute();
    await schema.createIndex('keys_age').on('keys').columns(['state', 'activated_at', 'domain', 'id']).execute();

    await dialect
      .clustered(schema.createTable('signers'))
      .addColumn('domain', NAME, (c) => c.notNull().references('domains.name').onDelete('cascade'))
      .addColumn('id', ID, (c) => c.notNull())
      .addColumn('ord', 'integer', (c) => c.notNull())
      .addColumn('streams', 'text', (c) => c.notNull())
      .addColumn('acknowledged_generation', 'bigint', (c) => c.notNull())
      .addColumn('acknowledged_at', 'bigint')
      .addColumn('set_aside_at', 'bigint')
      .addColumn('facts', 'text', (c) => c.notNull())
      .addPrimaryKeyConstraint('signers_pk', ['domain', 'id'] as never)
      .execute();

    await dialect
      .clustered(schema.createTable('conditions'))
      .addColumn('domain', NAME, (c) => c.notNull().references('domains.name').onDelete('cascade'))
      .addColumn('ord', 'integer', (c) => c.notNull())
      .addColumn('subject', 'varchar(8)', (c) => c.notNull())
      .addColumn('subject_id', ID, (c) => c.notNull())
      .addColumn('reason', CODE, (c) => c.notNull())
      .addColumn('severity', 'varchar(8)', (c) => c.notNull())
      .addColumn('message', 'text', (c) => c.notNull())
      .addColumn('since', 'bigint', (c) => c.notNull())
      .addColumn('facts', 'text', (c) => c.notNull())
      .addPrimaryKeyConstraint('conditions_pk', ['domain', 'ord'] as never)
      .execute();
    await schema.createIndex('conditions_reason').on('conditions').columns(['reason', 'domain']).execute();
    await schema.createIndex('conditions_severity').on('conditions').columns(['severity', 'domain']).execute();

    await schema
      .createTable('private_keys')
      .addColumn('key_id', ID, (c) => c.primaryKey().references('keys.id').onDelete('cascade'))
      .addColumn('sealed', 'blob', (c) => c.notNull())
      .addColumn('kek_id', 'varchar(16)', (c) => c.notNull())
      .execute();
    await schema.createIndex('private_keys_kek').on('private_keys').column('kek_id').execute();

    await schema
      .createTable('pool')
      .addColumn('id', ID, (c) => c.primaryKey())
      .addColumn('algorithm', 'varchar(16)', (c) => c.notNull())
      .addColumn('bits', 'integer', (c) => c.notNull())
      .addColumn('public_key', 'text', (c) => c.notNull())
      .addColumn('sealed', 'blob', (c) => c.notNull())
      .addColumn('kek_id', 'varchar(16)', (c) => c.notNull())
      .addColumn('made_at', 'bigint', (c) => c.notNull())
      .addColumn('reserved_until', 'bigint', (c) => c.notNull())
      .execute();
    await schema.createIndex('pool_kind').on('pool').columns(['algorithm', 'bits', 'reserved_until']).execute();

    await dialect
      .clustered(schema.createTable('proofs'))
      .addColumn('key_id', ID, (c) => c.notNull().references('keys.id').onDelete('cascade'))
      .addColumn('seq', 'bigint', (c) => c.notNull())
      .addColumn('since', 'bigint', (c) => c.notNull())
      .addColumn('at', 'bigint', (c) => c.notNull())
      .addColumn('times', 'bigint', (c) => c.notNull())
      .addColumn('expected', 'varchar(8)', (c) => c.notNull())
      .addColumn('verdict', 'varchar(16)', (c) => c.notNull())
      .addColumn('detail', 'text', (c) => c.notNull())
      .addPrimaryKeyConstraint('proofs_pk', ['key_id', 'seq'] as never)
      .execute();

    await schema
      .createTable('journal')
      .addColumn('seq', 'integer', (c) => c.primaryKey())
      .addColumn('at', 'bigint', (c) => c.notNull())
      .addColumn('actor', 'varchar(128)', (c) => c.notNull())
      .addColumn('source', ID, (c) => c.notNull())
      .addColumn('domain', NAME)
      .addColumn('kind', CODE, (c) => c.notNull())
      .addColumn('details', 'text', (c) => c.notNull())
      .addColumn('hash', 'blob', (c) => c.notNull())
      .addColumn('mac', 'blob')
      .execute();
    await schema.createIndex('journal_domain').on('journal').columns(['domain', 'seq']).execute();

    await schema
      .createTable('counters')
      .addColumn('name', 'varchar(96)', (c) => c.primaryKey())
      .addColumn('value', 'bigint', (c) => c.notNull())
      .execute();

    await schema
      .createTable('results')
      .addColumn('key', 'varchar(128)', (c) => c.primaryKey())
      .addColumn('at', 'bigint', (c) => c.notNull())
      .addColumn('result', 'text', (c) => c.notNull())
      .execute();
    await schema.createIndex('results_at').on('results').column('at').execute();

    await schema
      .createTable('zones')
      .addColumn('apex', NAME, (c) => c.primaryKey())
      .addColumn('serial', 'bigint', (c) => c.notNull())
      .execute();
    await dialect
      .clustered(schema.createTable('zone_records'))
      .addColumn('apex', NAME, (c) => c.notNull().references('zones.apex').onDelete('cascade'))
      .addColumn('name', NAME, (c) => c.notNull())
      .addColumn('value', 'text', (c) => c.notNull())
      .addColumn('ttl', 'bigint', (c) => c.notNull())
      .addPrimaryKeyConstraint('zone_records_pk', ['apex', 'name'] as never)
      .execute();
  },
];

/** Brings the schema to this program's version, each step in one transaction. A store of a newer program is refused. */
export async function migrate(db: Db, dialect: StoreDialect): Promise<void> {
  await db.schema
    .createTable('meta')
    .ifNotExists()
    .addColumn('name', 'varchar(64)', (c) => c.primaryKey())
    .addColumn('value', 'text', (c) => c.notNull())
    .execute();
  if ((await schemaVersion(db)) === migrations.length) return;
  await db.transaction().execute(async (trx) => {
    const version = await schemaVersion(trx);
    if (version > migrations.length) {
      throw new StoreError(
        'newer-schema',
        `The store has schema version ${version}; this Keyturn knows versions up to ${migrations.length}.`,
        'Use the newer Keyturn that made it, or restore the backup from before the upgrade.',
      );
    }
    for (const migration of migrations.slice(version)) {
      await migration(trx as unknown as Kysely<never>, dialect);
    }
    await sql`replace into meta (name, value) values ('schema-version', ${String(migrations.length)})`.execute(trx);
  });
}

export async function schemaVersion(db: Db): Promise<number> {
  const row = await db.selectFrom('meta').select('value').where('name', '=', 'schema-version').executeTakeFirst();
  return row ? Number(row.value) : 0;
}

/** The schema, version by version. A migration that was released is never edited: the next one changes what it made. */
import { type Kysely, sql } from 'kysely';
import type { StoreDialect } from './dialect.ts';

/** On MySQL no step is undone by a crash: each must bear being taken again, and `dialect.step` passes over what is there. */
export type Migration = (db: Kysely<never>, dialect: StoreDialect) => Promise<void>;

const NAME = 'varchar(253)';
const ID = 'varchar(64)';
const CODE = 'varchar(64)';

export const migrations: readonly Migration[] = [
  async ({ schema }, dialect) => {
    const { step, table, clustered, types } = dialect;
    await step(
      table(schema.createTable('policies'))
        .addColumn('name', ID, (c) => c.primaryKey())
        .addColumn('policy', types.text, (c) => c.notNull()),
    );

    await step(
      clustered(schema.createTable('domains'))
        .addColumn('name', NAME, (c) => c.primaryKey())
        .addColumn('kind', 'varchar(8)', (c) => c.notNull())
        .addColumn('created_at', 'bigint', (c) => c.notNull())
        .addColumn('generation', 'bigint', (c) => c.notNull())
        .addColumn('first_active_at', 'bigint')
        .addColumn('paused_at', 'bigint')
        .addColumn('removing_at', 'bigint')
        .addColumn('last_look_at', 'bigint')
        .addColumn('facts', types.text, (c) => c.notNull())
        .addColumn('version', 'bigint', (c) => c.notNull())
        .addColumn('policy_name', ID)
        .addColumn('policy_own', types.text)
        .addColumn('severity', 'integer', (c) => c.notNull())
        .addColumn('next_look_at', 'bigint', (c) => c.notNull())
        .addColumn('due_at', 'bigint', (c) => c.notNull())
        .addColumn('wake_at', 'bigint')
        .addColumn('lease_owner', ID)
        .addColumn('lease_token', 'bigint', (c) => c.notNull())
        .addColumn('lease_until', 'bigint')
        .addForeignKeyConstraint('domains_policy_name', ['policy_name'], 'policies', ['name']),
    );
    await step(schema.createIndex('domains_due').on('domains').column('due_at'));
    const held = schema.createIndex('domains_held').on('domains').column('lease_owner');
    await step(dialect.sparse(held, 'lease_owner'));
    await step(schema.createIndex('domains_kind').on('domains').columns(['kind', 'name']));
    await step(schema.createIndex('domains_policy').on('domains').columns(['policy_name', 'name']));

    await step(
      clustered(schema.createTable('streams'))
        .addColumn('domain', NAME, (c) => c.notNull())
        .addColumn('name', ID, (c) => c.notNull())
        .addColumn('ord', 'integer', (c) => c.notNull())
        .addColumn('policy', types.text)
        .addColumn('facts', types.text, (c) => c.notNull())
        .addPrimaryKeyConstraint('streams_pk', ['domain', 'name'])
        .addForeignKeyConstraint('streams_domain', ['domain'], 'domains', ['name'], (f) => f.onDelete('cascade')),
    );

    await step(
      clustered(schema.createTable('keys'))
        .addColumn('domain', NAME, (c) => c.notNull())
        .addColumn('id', ID, (c) => c.notNull())
        .addColumn('ord', 'integer', (c) => c.notNull())
        .addColumn('stream', ID, (c) => c.notNull())
        .addColumn('selector', NAME, (c) => c.notNull())
        .addColumn('algorithm', 'varchar(16)', (c) => c.notNull())
        .addColumn('bits', 'integer', (c) => c.notNull())
        .addColumn('public_key', types.text, (c) => c.notNull())
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
        .addColumn('facts', types.text, (c) => c.notNull())
        .addPrimaryKeyConstraint('keys_pk', ['domain', 'id'])
        .addForeignKeyConstraint('keys_domain', ['domain'], 'domains', ['name'], (f) => f.onDelete('cascade')),
    );
    await step(schema.createIndex('keys_id').unique().on('keys').column('id'));
    await step(schema.createIndex('keys_state').on('keys').columns(['state', 'domain', 'id']));
    await step(schema.createIndex('keys_age').on('keys').columns(['state', 'activated_at', 'domain', 'id']));

    await step(
      clustered(schema.createTable('signers'))
        .addColumn('domain', NAME, (c) => c.notNull())
        .addColumn('id', ID, (c) => c.notNull())
        .addColumn('ord', 'integer', (c) => c.notNull())
        .addColumn('streams', types.text, (c) => c.notNull())
        .addColumn('acknowledged_generation', 'bigint', (c) => c.notNull())
        .addColumn('acknowledged_at', 'bigint')
        .addColumn('set_aside_at', 'bigint')
        .addColumn('facts', types.text, (c) => c.notNull())
        .addPrimaryKeyConstraint('signers_pk', ['domain', 'id'])
        .addForeignKeyConstraint('signers_domain', ['domain'], 'domains', ['name'], (f) => f.onDelete('cascade')),
    );

    await step(
      clustered(schema.createTable('conditions'))
        .addColumn('domain', NAME, (c) => c.notNull())
        .addColumn('ord', 'integer', (c) => c.notNull())
        .addColumn('subject', 'varchar(8)', (c) => c.notNull())
        .addColumn('subject_id', ID, (c) => c.notNull())
        .addColumn('reason', CODE, (c) => c.notNull())
        .addColumn('severity', 'varchar(8)', (c) => c.notNull())
        .addColumn('message', types.text, (c) => c.notNull())
        .addColumn('since', 'bigint', (c) => c.notNull())
        .addColumn('facts', types.text, (c) => c.notNull())
        .addPrimaryKeyConstraint('conditions_pk', ['domain', 'ord'])
        .addForeignKeyConstraint('conditions_domain', ['domain'], 'domains', ['name'], (f) => f.onDelete('cascade')),
    );
    await step(schema.createIndex('conditions_reason').on('conditions').columns(['reason', 'domain']));
    await step(schema.createIndex('conditions_severity').on('conditions').columns(['severity', 'domain']));

    await step(
      table(schema.createTable('private_keys'))
        .addColumn('key_id', ID, (c) => c.primaryKey())
        .addColumn('sealed', 'blob', (c) => c.notNull())
        .addColumn('kek_id', 'varchar(16)', (c) => c.notNull())
        .addForeignKeyConstraint('private_keys_key_id', ['key_id'], 'keys', ['id'], (f) => f.onDelete('cascade')),
    );
    await step(schema.createIndex('private_keys_kek').on('private_keys').column('kek_id'));

    await step(
      table(schema.createTable('pool'))
        .addColumn('id', ID, (c) => c.primaryKey())
        .addColumn('algorithm', 'varchar(16)', (c) => c.notNull())
        .addColumn('bits', 'integer', (c) => c.notNull())
        .addColumn('public_key', types.text, (c) => c.notNull())
        .addColumn('sealed', 'blob', (c) => c.notNull())
        .addColumn('kek_id', 'varchar(16)', (c) => c.notNull())
        .addColumn('made_at', 'bigint', (c) => c.notNull())
        .addColumn('reserved_until', 'bigint', (c) => c.notNull()),
    );
    await step(schema.createIndex('pool_kind').on('pool').columns(['algorithm', 'bits', 'reserved_until']));

    await step(
      clustered(schema.createTable('proofs'))
        .addColumn('key_id', ID, (c) => c.notNull())
        .addColumn('seq', 'bigint', (c) => c.notNull())
        .addColumn('since', 'bigint', (c) => c.notNull())
        .addColumn('at', 'bigint', (c) => c.notNull())
        .addColumn('times', 'bigint', (c) => c.notNull())
        .addColumn('expected', 'varchar(8)', (c) => c.notNull())
        .addColumn('verdict', 'varchar(16)', (c) => c.notNull())
        .addColumn('detail', types.text, (c) => c.notNull())
        .addPrimaryKeyConstraint('proofs_pk', ['key_id', 'seq'])
        .addForeignKeyConstraint('proofs_key_id', ['key_id'], 'keys', ['id'], (f) => f.onDelete('cascade')),
    );

    await step(
      table(schema.createTable('journal'))
        .addColumn('seq', types.sequence, (c) => c.primaryKey())
        .addColumn('at', 'bigint', (c) => c.notNull())
        .addColumn('actor', 'varchar(128)', (c) => c.notNull())
        .addColumn('source', ID, (c) => c.notNull())
        .addColumn('domain', NAME)
        .addColumn('kind', CODE, (c) => c.notNull())
        .addColumn('details', types.text, (c) => c.notNull())
        .addColumn('hash', 'blob', (c) => c.notNull())
        .addColumn('mac', 'blob'),
    );
    await step(schema.createIndex('journal_domain').on('journal').columns(['domain', 'seq']));

    await step(
      table(schema.createTable('counters'))
        .addColumn('name', 'varchar(96)', (c) => c.primaryKey())
        .addColumn('value', 'bigint', (c) => c.notNull()),
    );

    await step(
      table(schema.createTable('results'))
        .addColumn('key', 'varchar(128)', (c) => c.primaryKey())
        .addColumn('at', 'bigint', (c) => c.notNull())
        .addColumn('result', types.text, (c) => c.notNull()),
    );
    await step(schema.createIndex('results_at').on('results').column('at'));

    await step(
      table(schema.createTable('zones'))
        .addColumn('apex', NAME, (c) => c.primaryKey())
        .addColumn('serial', 'bigint', (c) => c.notNull()),
    );
    await step(
      clustered(schema.createTable('zone_records'))
        .addColumn('apex', NAME, (c) => c.notNull())
        .addColumn('name', NAME, (c) => c.notNull())
        .addColumn('value', types.text, (c) => c.notNull())
        .addColumn('ttl', 'bigint', (c) => c.notNull())
        .addPrimaryKeyConstraint('zone_records_pk', ['apex', 'name'])
        .addForeignKeyConstraint('zone_records_apex', ['apex'], 'zones', ['apex'], (f) => f.onDelete('cascade')),
    );
  },
  // Version 2: which processes are alive, under which names; and what each last committed.
  async ({ schema }, { step, table, types }) => {
    await step(
      table(schema.createTable('instances'))
        .addColumn('name', ID, (c) => c.primaryKey())
        .addColumn('boot', ID, (c) => c.notNull())
        .addColumn('host', NAME, (c) => c.notNull())
        .addColumn('pid', 'bigint', (c) => c.notNull())
        .addColumn('started_at', 'bigint', (c) => c.notNull())
        .addColumn('seen_at', 'bigint', (c) => c.notNull())
        .addColumn('expires_at', 'bigint', (c) => c.notNull())
        .addColumn('roles', types.text, (c) => c.notNull()),
    );
    await step(
      table(schema.createTable('writers'))
        .addColumn('id', ID, (c) => c.primaryKey())
        .addColumn('mark', 'bigint', (c) => c.notNull())
        .addColumn('at', 'bigint', (c) => c.notNull()),
    );
  },
  // Version 3: what stays of a key when it is removed and when its domain leaves: the proofs, and all that is public.
  async (db, { step, clustered, types }) => {
    const { schema } = db;
    await step(
      clustered(schema.createTable('former_keys'))
        .addColumn('domain', NAME, (c) => c.notNull())
        .addColumn('id', ID, (c) => c.notNull())
        .addColumn('left_at', 'bigint', (c) => c.notNull())
        .addColumn('ord', 'integer', (c) => c.notNull())
        .addColumn('stream', ID, (c) => c.notNull())
        .addColumn('selector', NAME, (c) => c.notNull())
        .addColumn('algorithm', 'varchar(16)', (c) => c.notNull())
        .addColumn('bits', 'integer', (c) => c.notNull())
        .addColumn('public_key', types.text, (c) => c.notNull())
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
        .addColumn('facts', types.text, (c) => c.notNull())
        .addPrimaryKeyConstraint('former_keys_pk', ['domain', 'id', 'left_at']),
    );
    await step(
      clustered(schema.createTable('proof_runs'))
        .addColumn('key_id', ID, (c) => c.notNull())
        .addColumn('seq', 'bigint', (c) => c.notNull())
        .addColumn('since', 'bigint', (c) => c.notNull())
        .addColumn('at', 'bigint', (c) => c.notNull())
        .addColumn('times', 'bigint', (c) => c.notNull())
        .addColumn('expected', 'varchar(8)', (c) => c.notNull())
        .addColumn('verdict', 'varchar(16)', (c) => c.notNull())
        .addColumn('detail', types.text, (c) => c.notNull())
        .addPrimaryKeyConstraint('proof_runs_pk', ['key_id', 'seq']),
    );
    const tables = await db.introspection.getTables();
    if (!tables.some(({ name }) => name === 'proofs')) return;
    await sql`replace into proof_runs (key_id, seq, since, at, times, expected, verdict, detail)
      select key_id, seq, since, at, times, expected, verdict, detail from proofs`.execute(db);
    await step(schema.dropTable('proofs').ifExists());
  },
];

/** Named policies, shared by many domains. */
import { sql } from 'kysely';
import type { Policy } from '../lifecycle/policy.ts';
import type { NewEvent } from './journal.ts';
import { canonicalJson } from './json.ts';
import type { Db } from './tables.ts';
import type { Writer } from './writer.ts';

const WOKEN_AT_ONCE = 5000;

export async function loadPolicy(db: Db, name: string): Promise<Policy | null> {
  const row = await db.selectFrom('policies').select('policy').where('name', '=', name).executeTakeFirst();
  return row ? (JSON.parse(row.policy) as Policy) : null;
}

export async function listPolicies(db: Db): Promise<ReadonlyArray<{ name: string; policy: Policy; domains: number }>> {
  const rows = await db
    .selectFrom('policies')
    .select((eb) => [
      'policies.name',
      'policies.policy',
      eb
        .selectFrom('domains')
        .select((e) => e.fn.countAll<number>().as('n'))
        .whereRef('domains.policy_name', '=', 'policies.name')
        .as('domains'),
    ])
    .orderBy('policies.name')
    .execute();
  return rows.map(({ name, policy, domains }) => ({
    name,
    policy: JSON.parse(policy) as Policy,
    domains: Number(domains ?? 0),
  }));
}

export async function putPolicy(
  db: Db,
  writer: Writer,
  change: { name: string; policy: Policy; events: readonly NewEvent[]; now: number },
): Promise<'made' | 'changed' | 'unchanged'> {
  const { name, policy, events, now } = change;
  const text = canonicalJson(policy);
  const result = await writer.write(async (batch) => {
    const known = batch.trx.selectFrom('policies').select('policy').where('name', '=', name);
    const row = await batch.locked(known).executeTakeFirst();
    if (row?.policy === text) return 'unchanged';
    batch.events.push(...events);
    if (row) {
      await batch.trx.updateTable('policies').set({ policy: text }).where('name', '=', name).execute();
      return 'changed';
    }
    await batch.trx.insertInto('policies').values({ name, policy: text }).execute();
    return 'made';
  });
  if (result === 'changed') await wakeFollowers(db, writer, name, now);
  return result;
}

/** In portions, so that a policy of a million domains does not keep the store from its other work. */
async function wakeFollowers(db: Db, writer: Writer, policy: string, now: number): Promise<void> {
  let after = '';
  for (;;) {
    const rows = await db
      .selectFrom('domains')
      .select('name')
      .where('policy_name', '=', policy)
      .where('name', '>', after)
      .orderBy('name')
      .limit(WOKEN_AT_ONCE)
      .execute();
    const last = rows.at(-1)?.name;
    if (last === undefined) return;
    await writer.write(async ({ trx }) => {
      const from = after;
      const part = trx
        .updateTable('domains')
        .where('policy_name', '=', policy)
        .where('name', '>', from)
        .where('name', '<=', last);
      await part
        .set({ next_look_at: now, due_at: now })
        .where('lease_until', 'is', null)
        .where('next_look_at', '>', now)
        .execute();
      await part
        .set({ wake_at: now })
        .where('lease_until', 'is not', null)
        .where((eb) => eb.or([eb('wake_at', 'is', null), eb('wake_at', '>', now)]))
        .execute();
    });
    after = last;
  }
}

export async function removePolicy(
  writer: Writer,
  name: string,
  events: readonly NewEvent[],
): Promise<'removed' | 'in-use' | 'missing'> {
  return await writer.write(async (batch) => {
    const used = await batch.trx
      .selectFrom('domains')
      .select(sql<number>`1`.as('one'))
      .where('policy_name', '=', name)
      .limit(1)
      .executeTakeFirst();
    if (used) return 'in-use';
    const { numDeletedRows } = await batch.trx.deleteFrom('policies').where('name', '=', name).executeTakeFirst();
    if (numDeletedRows === 0n) return 'missing';
    batch.events.push(...events);
    return 'removed';
  });
}

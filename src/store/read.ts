/** Reads domains whole, many in one consistent read. */

import type { Policy } from '../lifecycle/policy.ts';
import type { Snapshot } from '../lifecycle/types.ts';
import { readTogether } from './again.ts';
import { StoreError } from './errors.ts';
import { conditionFromRow, domainFromRow, keyFromRow, signerFromRow, streamFromRow } from './rows.ts';
import type { PolicyRef, StoredDomain } from './store.ts';
import type { Db, DomainTable, Tables } from './tables.ts';

/** Names in one question: enough to be quick, few enough to leave the database to others in between. */
export const NAMES_PER_READ = 256;

export async function loadDomains(db: Db, names: readonly string[]): Promise<Map<string, StoredDomain>> {
  const found = new Map<string, StoredDomain>();
  for (let i = 0; i < names.length; i += NAMES_PER_READ) {
    const part = padded(names.slice(i, i + NAMES_PER_READ));
    await readTogether(db, (trx) => loadPart(trx, part, found));
  }
  return found;
}

async function loadPart(db: Db, names: readonly string[], found: Map<string, StoredDomain>): Promise<void> {
  const domains = await db.selectFrom('domains').selectAll().where('name', 'in', names).execute();
  if (domains.length === 0) return;
  const streams = await children(db, 'streams', names);
  const keys = await children(db, 'keys', names);
  const signers = await children(db, 'signers', names);
  const conditions = await children(db, 'conditions', names);
  const policies = await loadPolicies(db, domains);
  for (const row of domains) {
    const snapshot: Snapshot = {
      domain: domainFromRow(row),
      streams: (streams.get(row.name) ?? []).map(streamFromRow),
      keys: (keys.get(row.name) ?? []).map(keyFromRow),
      signers: (signers.get(row.name) ?? []).map(signerFromRow),
      conditions: (conditions.get(row.name) ?? []).map(conditionFromRow),
    };
    const { policy, policyRef } = resolvePolicy(row, policies);
    found.set(row.name, { snapshot, version: row.version, policy, policyRef, nextLookAt: row.next_look_at });
  }
}

type Child = 'streams' | 'keys' | 'signers' | 'conditions';

async function children<T extends Child>(
  db: Db,
  table: T,
  names: readonly string[],
): Promise<Map<string, Tables[T][]>> {
  // One query for four tables with the same two columns: Kysely cannot see that they have them, we can.
  const rows = (await db
    .selectFrom(table as Child)
    .selectAll()
    .where('domain', 'in', names)
    .execute()) as unknown as Tables[T][];
  const grouped = new Map<string, Tables[T][]>();
  for (const row of rows) {
    const group = grouped.get(row.domain);
    if (group) group.push(row);
    else grouped.set(row.domain, [row]);
  }
  for (const group of grouped.values()) group.sort((a, b) => a.ord - b.ord);
  return grouped;
}

async function loadPolicies(db: Db, domains: readonly DomainTable[]): Promise<ReadonlyMap<string, Policy>> {
  const names = [...new Set(domains.flatMap((d) => (d.policy_name === null ? [] : [d.policy_name])))];
  if (names.length === 0) return new Map();
  const rows = await db.selectFrom('policies').selectAll().where('name', 'in', padded(names)).execute();
  return new Map(rows.map(({ name, policy }) => [name, JSON.parse(policy) as Policy]));
}

function resolvePolicy(
  row: DomainTable,
  policies: ReadonlyMap<string, Policy>,
): { policy: Policy; policyRef: PolicyRef } {
  if (row.policy_own !== null) {
    const policy = JSON.parse(row.policy_own) as Policy;
    return { policy, policyRef: { kind: 'own', policy } };
  }
  const policy = row.policy_name === null ? undefined : policies.get(row.policy_name);
  if (row.policy_name === null || !policy) {
    throw new StoreError(
      'corrupt',
      `The domain ${row.name} follows a policy that is not there (${row.policy_name}).`,
      'Set a policy for it: keyturn policy set.',
    );
  }
  return { policy, policyRef: { kind: 'named', name: row.policy_name } };
}

/** The list filled up to a power of two with its last entry, so that few statements serve lists of every length. */
export function padded<T>(list: readonly T[]): readonly T[] {
  const last = list.at(-1);
  if (last === undefined) return list;
  const size = 2 ** Math.ceil(Math.log2(list.length));
  return [...list, ...Array.from({ length: size - list.length }, () => last)];
}

/**
 * Lists of domains and keys, in order of name, a page at a time. A page reads one index from its cursor on: that of
 * the filter with the fewest rows (by the counters); the other filters are asked of each candidate.
 */
import type { ExpressionBuilder, SelectQueryBuilder } from 'kysely';
import type { KeyState } from '../lifecycle/types.ts';
import { pageLimit, readCursor, writeCursor } from './paging.ts';
import { padded } from './read.ts';
import { keyFromRow, severityFrom } from './rows.ts';
import type { DomainFilter, DomainRow, KeyFilter, KeyRow, Page, PageRequest } from './store.ts';
import type { Db, KeyTable, Tables } from './tables.ts';
import { counterOf, loadCounters } from './tally.ts';

export async function listDomains(db: Db, filter: DomainFilter, page: PageRequest = {}): Promise<Page<DomainRow>> {
  const limit = pageLimit(page);
  const names = await matching(db, filter, limit + 1, page.after ?? null);
  const shown = names.slice(0, limit);
  return { items: await describe(db, shown), next: names.length > limit ? (shown.at(-1) ?? null) : null };
}

type Driver = 'domains' | 'keys' | 'conditions';

async function matching(db: Db, filter: DomainFilter, limit: number, after: string | null): Promise<readonly string[]> {
  switch (await fewest(db, filter)) {
    case 'keys': {
      let query = db.selectFrom('keys').select('keys.domain as name').distinct().orderBy('keys.domain').limit(limit);
      query = query.where('keys.state', '=', filter.keyState ?? 'active');
      if (after !== null) query = query.where('keys.domain', '>', after);
      if (filter.prefix)
        query = query.where('keys.domain', '>=', filter.prefix).where('keys.domain', '<', endOf(filter.prefix));
      if (filter.reason || filter.severity) query = query.where((eb) => hasCondition(eb, 'keys.domain', filter));
      if (filter.kind || filter.policy) query = query.where((eb) => isDomain(eb, 'keys.domain', filter));
      return (await query.execute()).map((row) => row.name);
    }
    case 'conditions': {
      let query = db
        .selectFrom('conditions')
        .select('conditions.domain as name')
        .distinct()
        .orderBy('conditions.domain')
        .limit(limit);
      if (filter.reason) query = query.where('conditions.reason', '=', filter.reason);
      else if (filter.severity) query = query.where('conditions.severity', '=', filter.severity);
      if (after !== null) query = query.where('conditions.domain', '>', after);
      if (filter.prefix)
        query = query
          .where('conditions.domain', '>=', filter.prefix)
          .where('conditions.domain', '<', endOf(filter.prefix));
      if (filter.reason && filter.severity) query = query.where((eb) => hasCondition(eb, 'conditions.domain', filter));
      if (filter.keyState) query = query.where((eb) => hasKey(eb, 'conditions.domain', filter));
      if (filter.kind || filter.policy) query = query.where((eb) => isDomain(eb, 'conditions.domain', filter));
      return (await query.execute()).map((row) => row.name);
    }
    case 'domains': {
      let query = db.selectFrom('domains').select('domains.name').orderBy('domains.name').limit(limit);
      if (filter.kind) query = query.where('domains.kind', '=', filter.kind);
      if (filter.policy) query = query.where('domains.policy_name', '=', filter.policy);
      if (after !== null) query = query.where('domains.name', '>', after);
      if (filter.prefix)
        query = query.where('domains.name', '>=', filter.prefix).where('domains.name', '<', endOf(filter.prefix));
      if (filter.keyState) query = query.where((eb) => hasKey(eb, 'domains.name', filter));
      if (filter.reason || filter.severity) query = query.where((eb) => hasCondition(eb, 'domains.name', filter));
      return (await query.execute()).map((row) => row.name);
    }
  }
}

/** The table whose rows for this filter are the fewest; a filter by name alone reads the domains themselves. */
async function fewest(db: Db, filter: DomainFilter): Promise<Driver> {
  if (!filter.keyState && !filter.reason && !filter.severity) return 'domains';
  const counters = await loadCounters(db);
  const of = (name: string): number => counters.get(name) ?? 0;
  const domains = filter.kind
    ? of(counterOf.domain(filter.kind))
    : of(counterOf.domain('mail')) + of(counterOf.domain('shadow'));
  const candidates: Array<readonly [Driver, number]> = [['domains', domains]];
  if (filter.keyState) candidates.push(['keys', of(counterOf.key(filter.keyState))]);
  if (filter.reason) candidates.push(['conditions', of(counterOf.reason(filter.reason))]);
  else if (filter.severity) candidates.push(['conditions', of(counterOf.severity(filter.severity))]);
  candidates.sort(([, a], [, b]) => a - b);
  return candidates[0]?.[0] ?? 'domains';
}

type NameColumn = 'domains.name' | 'keys.domain' | 'conditions.domain';
type Scope = ExpressionBuilder<Tables, Driver>;

function hasKey(outer: unknown, name: NameColumn, filter: DomainFilter) {
  const eb = outer as Scope;
  return eb.exists(
    eb
      .selectFrom('keys as k')
      .select(eb.lit(1).as('one'))
      .whereRef('k.domain', '=', name)
      .where('k.state', '=', filter.keyState ?? 'active'),
  );
}

function hasCondition(
  outer: unknown,
  name: NameColumn,
  { reason, severity }: Pick<DomainFilter, 'reason' | 'severity'>,
) {
  const eb = outer as Scope;
  const has = (column: 'reason' | 'severity', value: string) =>
    eb.exists(
      eb
        .selectFrom('conditions as c')
        .select(eb.lit(1).as('one'))
        .whereRef('c.domain', '=', name)
        .where(`c.${column}`, '=', value),
    );
  return eb.and([...(reason ? [has('reason', reason)] : []), ...(severity ? [has('severity', severity)] : [])]);
}

function isDomain(outer: unknown, name: NameColumn, { kind, policy }: DomainFilter) {
  const eb = outer as Scope;
  let query = eb.selectFrom('domains as d').select(eb.lit(1).as('one')).whereRef('d.name', '=', name);
  if (kind) query = query.where('d.kind', '=', kind);
  if (policy) query = query.where('d.policy_name', '=', policy);
  return eb.exists(query);
}

/** The first text after everything that begins with the prefix. */
function endOf(prefix: string): string {
  return `${prefix}\u{10ffff}`;
}

async function describe(db: Db, names: readonly string[]): Promise<readonly DomainRow[]> {
  if (names.length === 0) return [];
  const list = padded(names);
  const domains = await db.selectFrom('domains').selectAll().where('name', 'in', list).execute();
  const keys = await db.selectFrom('keys').select(['domain', 'state']).where('domain', 'in', list).execute();
  const conditions = await db.selectFrom('conditions').select('domain').where('domain', 'in', list).execute();
  const states = new Map<string, Partial<Record<KeyState, number>>>();
  for (const { domain, state } of keys) {
    const of = states.get(domain) ?? {};
    of[state] = (of[state] ?? 0) + 1;
    states.set(domain, of);
  }
  const conditionCount = new Map<string, number>();
  for (const { domain } of conditions) conditionCount.set(domain, (conditionCount.get(domain) ?? 0) + 1);
  const rows = new Map(domains.map((row) => [row.name, row]));
  return names.flatMap((name): DomainRow[] => {
    const row = rows.get(name);
    if (!row) return [];
    return [
      {
        name,
        kind: row.kind,
        createdAt: row.created_at,
        generation: row.generation,
        firstActiveAt: row.first_active_at,
        pausedAt: row.paused_at,
        removingAt: row.removing_at,
        lastLookAt: row.last_look_at,
        nextLookAt: row.next_look_at,
        policy: row.policy_name,
        severity: severityFrom(row.severity),
        keys: states.get(name) ?? {},
        conditions: conditionCount.get(name) ?? 0,
      },
    ];
  });
}

export async function listKeys(db: Db, filter: KeyFilter, page: PageRequest = {}): Promise<Page<KeyRow>> {
  const limit = pageLimit(page);
  if (filter.activatedBefore !== undefined)
    return await listByAge(db, filter, filter.activatedBefore, limit, page.after ?? null);
  let query = db
    .selectFrom('keys')
    .selectAll()
    .orderBy('domain')
    .orderBy('id')
    .limit(limit + 1);
  if (filter.domain !== undefined) query = query.where('domain', '=', filter.domain);
  if (filter.state) query = query.where('state', '=', filter.state);
  if (page.after) {
    const [domain, id] = readCursor(page.after, 2);
    query = query.where((eb) =>
      eb.and([
        eb('domain', '>=', String(domain)),
        eb.or([eb('domain', '>', String(domain)), eb('id', '>', String(id))]),
      ]),
    );
  }
  return keyPage(await query.execute(), limit, (row) => [row.domain, row.id]);
}

async function listByAge(
  db: Db,
  filter: KeyFilter,
  before: number,
  limit: number,
  after: string | null,
): Promise<Page<KeyRow>> {
  let query: SelectQueryBuilder<Tables, 'keys', KeyTable> = db
    .selectFrom('keys')
    .selectAll()
    .where('state', '=', filter.state ?? 'active')
    .where('activated_at', '<', before)
    .orderBy('activated_at')
    .orderBy('domain')
    .orderBy('id')
    .limit(limit + 1);
  if (filter.domain !== undefined) query = query.where('domain', '=', filter.domain);
  if (after) {
    const [at, domain, id] = readCursor(after, 3);
    // Spelled out: MariaDB reads no index by a comparison of several columns at once.
    query = query.where((eb) =>
      eb.and([
        eb('activated_at', '>=', Number(at)),
        eb.or([
          eb('activated_at', '>', Number(at)),
          eb('domain', '>', String(domain)),
          eb.and([eb('domain', '=', String(domain)), eb('id', '>', String(id))]),
        ]),
      ]),
    );
  }
  return keyPage(await query.execute(), limit, (row) => [row.activated_at ?? 0, row.domain, row.id]);
}

function keyPage(
  rows: readonly KeyTable[],
  limit: number,
  cursor: (row: KeyTable) => ReadonlyArray<string | number>,
): Page<KeyRow> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    items: shown.map((row) => ({ ...keyFromRow(row), domain: row.domain })),
    next: rows.length > limit && last ? writeCursor(cursor(last)) : null,
  };
}

export async function findKey(db: Db, keyId: string): Promise<KeyRow | null> {
  const row = await db.selectFrom('keys').selectAll().where('id', '=', keyId).executeTakeFirst();
  return row ? { ...keyFromRow(row), domain: row.domain } : null;
}

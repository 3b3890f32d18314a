/** No question that is asked often may read a table from end to end: asked of the planner, not of a stopwatch. */
import SqliteDatabase from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { plainKey, plainSnapshot } from '../../tests/store/arbitraries.ts';
import { sharedMariadb } from '../../tests/store/stores.ts';
import { add, event, read } from '../../tests/store/support.ts';
import type { Mariadb } from '../../tests/support/mariadb.ts';
import { need } from '../../tests/support/need.ts';
import { tempDir } from '../../tests/support/temp.ts';
import { temporaryKeks } from './kek.ts';
import { openMysqlStore, openStore } from './open.ts';
import type { Store } from './store.ts';

type Asked = { readonly statement: string; readonly parameters: readonly unknown[] };

/** Small by nature: as many rows as there are kinds of counters, policies, zones, processes. */
const SMALL = new Set(['counters', 'policies', 'zones', 'meta', 'writers', 'instances']);

/** Enough rows that reading them all would cost more than an index. */
async function fill(store: Store, domains: number): Promise<void> {
  await Promise.all(
    Array.from({ length: domains }, (_, n) => {
      const keys = [plainKey(`k${n}`, { state: n % 3 ? 'active' : 'standby', activatedAt: n })];
      const subject = { kind: 'domain' } as const;
      const conditions = [{ subject, reason: 'waiting', severity: 'info', message: '', since: 0 }] as const;
      return add(store, plainSnapshot(`d${n}.example`, { keys, conditions }), 1_000 + n);
    }),
  );
}

/** Ticks, looks, commits, wake-ups, lists: everything that is asked often. */
async function work(store: Store): Promise<void> {
  const [claim] = await store.claimDue({ now: 2_000, limit: 1, owner: 'o', leaseMs: 1_000 });
  if (!claim) throw new Error('nothing was due');
  const { snapshot, version } = await read(store, claim.name);
  const proofs = [{ keyId: snapshot.keys[0]?.id ?? '', at: 1, expected: 'key', verdict: 'seen', detail: {} }] as const;
  const after = { ...snapshot, keys: snapshot.keys.map((k) => ({ ...k, waited: 1 })), conditions: [] };
  await store.commit(
    { claim, version },
    { before: snapshot, after, events: [event(claim.name, 'looked')], nextLookAt: 90_000, proofs, release: true },
  );
  await store.wake(claim.name, 5);
  await store.nextDueAt();
  await store.releaseOwner('o');
  await store.snapshots(['d1.example', 'd2.example', 'd3.example']);
  await store.keyring('d1.example');
  for await (const _ of store.keyrings()) break;
  await store.loadPrivateKey('k1');
  await store.proofs('k1');
  for (const filter of [
    {},
    { kind: 'mail' },
    { prefix: 'd1' },
    { policy: 'default' },
    { keyState: 'standby' },
    { keyState: 'revoked', kind: 'mail' },
    { reason: 'waiting' },
    { severity: 'critical', kind: 'mail' },
    { severity: 'info', reason: 'waiting', keyState: 'active' },
  ] as const) {
    await store.listDomains(filter, { limit: 5, after: 'd2.example' });
  }
  await store.listKeys({ state: 'active' }, { limit: 5 });
  const page = await store.listKeys({ activatedBefore: 1e12 }, { limit: 5 });
  await store.listKeys({ activatedBefore: 1e12 }, { limit: 5, after: page.next });
  await store.listKeys({ domain: 'd1.example' });
  await store.journal.list({ domain: 'd1.example' });
  await store.journal.list({});
  await store.counts();
  await store.keyHistory('d1.example');
  await store.pool.reserve({ algorithm: 'rsa', bits: 2048 }, 5, 5);
}

test('SQLite: ticks, looks, commits and lists read by index, and a tick in which nothing is due writes nothing', async () => {
  using dir = tempDir('plans');
  const path = dir.join('store.sqlite');
  const asked: Asked[] = [];
  await using store = await openStore({
    path,
    keks: temporaryKeks(),
    trace: (statement, parameters) => asked.push({ statement, parameters }),
  });
  await fill(store, 300);
  asked.length = 0;

  expect(await store.claimDue({ now: 10, limit: 100, owner: 'o', leaseMs: 1_000 })).toStrictEqual([]);
  expect(asked.length).toBeGreaterThan(0);
  expect(asked.filter(({ statement }) => !/^select/.test(statement))).toStrictEqual([]);
  for (const { statement, parameters } of asked) {
    const plan = planOf(path, statement, parameters);
    expect(plan).toHaveLength(1);
    expect(plan[0]).toMatch(/^SEARCH domains USING INDEX domains_due \(due_at[<>]/);
  }

  await work(store);
  const statements = new Map(asked.map((a) => [a.statement, a]));
  const slow: string[] = [];
  for (const { statement, parameters } of statements.values()) {
    if (!/^(select|update|delete|insert|replace)/.test(statement)) continue;
    for (const line of planOf(path, statement, parameters)) {
      // A scan in the order of an index ends at the page's limit; a sort would have to read everything first.
      const scanned = / limit \?$/.test(statement) ? undefined : /^SCAN (\w+)/.exec(line)?.[1];
      const sorted = /USE TEMP B-TREE/.test(line);
      if (
        (scanned && !SMALL.has(scanned)) ||
        (sorted && !/"(streams|keys|domains)" where "(domain|name)" in/.test(statement))
      ) {
        slow.push(`${line}: ${statement}`);
      }
    }
  }
  expect(slow).toStrictEqual([]);
});

describe.skipIf(!need('mariadbd', 'mariadb-server'))('MariaDB', () => {
  test('ticks, looks, commits and lists read by index', async () => {
    const server = await sharedMariadb();
    const { url, password, name } = await server.database();
    const asked: Asked[] = [];
    await using store = await openMysqlStore({
      url,
      password,
      keks: temporaryKeks(),
      trace: (statement, parameters) => asked.push({ statement, parameters }),
    });
    await fill(store, 400);
    asked.length = 0;
    expect(await store.claimDue({ now: 10, limit: 100, owner: 'o', leaseMs: 1_000 })).toStrictEqual([]);
    expect(asked.filter(({ statement }) => !/^select/.test(statement))).toStrictEqual([]);
    await work(store);
    // Sealed rows that nobody opens, so that an empty table is not taken for a small one.
    await server.ask(name, "insert into private_keys select id, 'sealed', 'kek' from `keys`");
    const tables = 'domains, streams, `keys`, conditions, journal, proof_runs, private_keys, pool, former_keys';
    await server.ask(name, `analyze table ${tables}`);
    const statements = new Map(asked.map((a) => [a.statement, a]));
    expect(statements.size).toBeGreaterThan(40);
    const slow: string[] = [];
    for (const { statement, parameters } of statements.values()) {
      if (!/^(select|update|delete)/.test(statement)) continue;
      for (const row of await explain(server, name, statement, parameters)) {
        const table = String(row.table);
        // A page's list of names is as long as a small table: what matters is that an index could be read, and that few rows are sorted.
        const listed = / in \(/.test(statement) && row.possible_keys !== null;
        // `ALL` is the whole table, `index` a whole index; in the order of an index that ends at the page's limit.
        const whole = !listed && (row.type === 'ALL' || (row.type === 'index' && !/ limit \?/.test(statement)));
        const sorted = !listed && /filesort/.test(String(row.Extra)) && Number(row.rows) > 100;
        if ((whole && !SMALL.has(table)) || sorted) slow.push(`${JSON.stringify(row)}: ${statement}`);
      }
    }
    expect(slow).toStrictEqual([]);
  });
});

function explain(server: Mariadb, database: string, statement: string, parameters: readonly unknown[]) {
  return server.ask(database, `explain ${statement}`, parameters);
}

function planOf(path: string, statement: string, parameters: readonly unknown[]): string[] {
  const database = new SqliteDatabase(path, { readonly: true });
  try {
    return database
      .prepare<unknown[], { detail: string }>(`explain query plan ${statement}`)
      .all(...parameters)
      .map((row) => row.detail);
  } finally {
    database.close();
  }
}

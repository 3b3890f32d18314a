/** No question that is asked often may read a table from end to end: asked of the planner, not of a stopwatch. */
import SqliteDatabase from 'better-sqlite3';
import { expect, test } from 'vitest';
import { plainKey, plainSnapshot } from '../../tests/store/arbitraries.ts';
import { add, event, read } from '../../tests/store/support.ts';
import { tempDir } from '../../tests/support/temp.ts';
import { temporaryKeks } from './kek.ts';
import { openStore } from './open.ts';

type Asked = { readonly statement: string; readonly parameters: readonly unknown[] };

/** Small by nature: as many rows as there are kinds of counters, policies, zones. */
const SMALL = new Set(['counters', 'policies', 'zones', 'meta']);

test('ticks, looks, commits and lists read by index, and a tick in which nothing is due writes nothing', async () => {
  using dir = tempDir('plans');
  const path = dir.join('store.sqlite');
  const asked: Asked[] = [];
  await using store = await openStore({
    path,
    keks: temporaryKeks(),
    trace: (statement, parameters) => asked.push({ statement, parameters }),
  });
  for (let n = 0; n < 300; n++) {
    const name = `d${n}.example`;
    const conditions = [
      { subject: { kind: 'domain' }, reason: 'waiting', severity: 'info', message: '', since: 0 },
    ] as const;
    await add(
      store,
      plainSnapshot(name, {
        keys: [plainKey(`k${n}`, { state: n % 3 ? 'active' : 'standby', activatedAt: n })],
        conditions,
      }),
      1_000 + n,
    );
  }
  asked.length = 0;

  expect(await store.claimDue({ now: 10, limit: 100, owner: 'o', leaseMs: 1_000 })).toStrictEqual([]);
  expect(asked.length).toBeGreaterThan(0);
  expect(asked.filter(({ statement }) => !/^select/.test(statement))).toStrictEqual([]);
  for (const { statement, parameters } of asked) {
    const plan = planOf(path, statement, parameters);
    expect(plan).toHaveLength(1);
    expect(plan[0]).toMatch(/^SEARCH domains USING INDEX domains_due \(due_at[<>]/);
  }

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

/** A store that moves to another database has there all that it had, or is not opened. */
import fc from 'fast-check';
import { Kysely } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { type CopyOptions, copiedTables, copyStore, otherTables } from '../../src/store/copy.ts';
import type { StoreDialect } from '../../src/store/dialect.ts';
import { temporaryKeks } from '../../src/store/kek.ts';
import { mysqlDialect } from '../../src/store/mysql.ts';
import { openWith } from '../../src/store/open.ts';
import { sqliteDialect } from '../../src/store/sqlite.ts';
import type { Store } from '../../src/store/store.ts';
import type { Tables } from '../../src/store/tables.ts';
import { need } from '../support/need.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { anySnapshot, plainKey, plainSnapshot } from './arbitraries.ts';
import { sharedMariadb } from './stores.ts';
import { add, edPair, event, read } from './support.ts';

const keks = temporaryKeks();
const DOMAINS = 30;
type MakeDialect = () => StoreDialect;

let dir: TempDir;
let files = 0;
beforeAll(() => {
  dir = tempDir('copy');
});
afterAll(() => dir.remove());

const sqlite = async (): Promise<MakeDialect> => {
  files += 1;
  const path = dir.join(`${files}.sqlite`);
  return () => sqliteDialect({ path, lockWait: 2_000 });
};
const mariadb = async (): Promise<MakeDialect> => {
  const { url, password } = await (await sharedMariadb()).database();
  return () => mysqlDialect({ url, password });
};
const open = (make: MakeDialect): Promise<Store> => openWith(make(), keks, systemClock);

/** Something in every table; more rows than a page of the largest. */
async function fill(store: Store): Promise<void> {
  const snapshots = fc.sample(fc.tuple(...Array.from({ length: DOMAINS }, (_, n) => anySnapshot(`d${n}.example`))), {
    numRuns: 1,
    seed: 7,
  })[0];
  for (const snapshot of snapshots ?? []) await add(store, snapshot);
  const pair = edPair();
  const key = plainKey('with-secret', { publicKey: pair.publicKey, state: 'active' });
  const { snapshot, version } = await add(store, plainSnapshot('secret.example'));
  await store.commit(
    { name: 'secret.example', version },
    {
      before: snapshot,
      after: { ...snapshot, keys: [key] },
      events: [event('secret.example', 'key-created', { key: 'with-secret', note: 'ümlaut 🔑 \\ \' " \0' })],
      secrets: [{ keyId: key.id, from: 'der', pkcs8: pair.pkcs8 }],
      proofs: [{ keyId: key.id, at: 5, expected: 'key', verdict: 'seen', detail: { answers: [] } }],
      once: { key: 'POST once', result: { done: true } },
    },
  );
  const gone = await add(store, plainSnapshot('gone.example', { keys: [plainKey('former')] }));
  await store.commit(
    { name: 'gone.example', version: gone.version },
    { before: gone.snapshot, after: null, events: [] },
  );
  await store.pool.put({ algorithm: 'ed25519', bits: 256, ...edPair() });
  await store.zones.ensure('zone.example', 7);
  await store.zones.set({ apex: 'zone.example', name: 'a.zone.example', desired: { value: 'v', ttl: 60 }, ours: [] });
  await store.journal.append(Array.from({ length: 450 }, (_, n) => event(null, 'noted', { n })));
}

/** All that a reader of a store can see of it. */
async function seen(store: Store): Promise<unknown> {
  const domains = [];
  for (const { name } of (await store.listDomains({}, { limit: 1000 })).items) domains.push(await read(store, name));
  return {
    domains,
    counts: await store.counts(),
    journal: (await store.journal.list({ order: 'oldest' }, { limit: 1000 })).items,
    verdict: await store.journal.verify(),
    secret: (await store.loadPrivateKey('with-secret'))?.toString(),
    pooled: await store.pool.size({ algorithm: 'ed25519', bits: 256 }),
    history: await store.keyHistory('gone.example'),
    proofs: await store.proofs('with-secret'),
    zone: await store.zones.zone('zone.example'),
    once: await store.earlierResult('POST once'),
    policies: await store.policies(),
  };
}

const copy = (from: MakeDialect, to: MakeDialect, rest: Partial<CopyOptions> = {}) =>
  copyStore({ from: from(), to: to(), keks, now: 1_000, force: false, ...rest });

test('every table of a store is copied, or known not to be', async () => {
  const make = await sqlite();
  await (await open(make)).close();
  const db = new Kysely<Tables>({ dialect: make().kysely });
  const tables = (await db.introspection.getTables()).map(({ name }) => name);
  await db.destroy();
  expect([...Object.keys(copiedTables), ...otherTables].toSorted()).toStrictEqual(tables.toSorted());
});

describe.skipIf(!need('mariadbd', 'mariadb-server'))('with MariaDB', () => {
  test('from SQLite to MariaDB and back: nothing is lost and nothing is different', async () => {
    const [first, middle, last] = [await sqlite(), await mariadb(), await sqlite()];
    let original: unknown;
    {
      await using store = await open(first);
      await fill(store);
      original = await seen(store);
    }
    const pages: string[] = [];
    const report = await copy(first, middle, { progress: (table, rows, of) => pages.push(`${table} ${rows}/${of}`) });
    expect(report.tables).toMatchObject({
      domains: DOMAINS + 1,
      private_keys: 1,
      former_keys: 1,
      journal: DOMAINS + 3 + 450,
    });
    expect(pages).toContain('journal 400/483');
    {
      await using store = await open(middle);
      expect(await seen(store)).toStrictEqual(original);
    }
    expect(await copy(middle, last)).toStrictEqual(report);
    await using store = await open(last);
    expect(await seen(store)).toStrictEqual(original);
    await add(store, plainSnapshot('goes-on.example'));
    expect((await store.journal.verify()).kind).toBe('intact');
  });

  test.each([
    ['SQLite', 'MariaDB', sqlite, mariadb],
    ['MariaDB', 'SQLite', mariadb, sqlite],
  ])('a copy from %s to %s that was broken off is no store, and begins anew', async (_from, _to, makeFrom, makeTo) => {
    const [from, to] = [await makeFrom(), await makeTo()];
    let original: unknown;
    {
      await using store = await open(from);
      await fill(store);
      original = await seen(store);
    }
    const broken = (at: string) => (table: string) => {
      if (table === at) throw new Error('broken off');
    };
    for (const at of ['keys', 'journal', 'zone_records']) {
      await expect(copy(from, to, { progress: broken(at) })).rejects.toThrow('broken off');
      await expect(open(to)).rejects.toMatchObject({ code: 'unfinished-copy' });
      await expect(copy(to, await sqlite())).rejects.toMatchObject({ code: 'unfinished-copy' });
    }
    await copy(from, to);
    await using store = await open(to);
    expect(await seen(store)).toStrictEqual(original);
  });

  test('a target with a store, a source where somebody works, another key, an altered journal: refused', async () => {
    const [from, to] = [await sqlite(), await mariadb()];
    const facts = { host: 'mx1', pid: 1, roles: [] };
    {
      await using store = await open(from);
      await fill(store);
      await store.claimInstance({ name: 'one', boot: 'b', now: 900, ttlMs: 500, facts });
    }
    await expect(copy(from, to)).rejects.toMatchObject({ code: 'invalid', message: /one on mx1.*--force/s });
    await expect(copy(from, to, { keks: temporaryKeks(), force: true })).rejects.toMatchObject({ code: 'wrong-kek' });
    await copy(from, to, { force: true });
    await expect(copy(from, to, { force: true })).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining('a store at mysql://keyturn@127.0.0.1'),
    });
    await expect(copy(await sqlite(), await sqlite())).rejects.toMatchObject({ code: 'invalid' });

    const [altered, target] = [await sqlite(), await mariadb()];
    await copy(to, altered);
    const db = new Kysely<Tables>({ dialect: altered().kysely });
    await db.updateTable('journal').set({ actor: 'mallory' }).where('seq', '=', 9).execute();
    await db.destroy();
    await expect(copy(altered, target)).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringMatching(/Entry 9/),
    });
    await expect(open(target)).rejects.toMatchObject({ code: 'unfinished-copy' });
  });
});

/** What a store says when disk, file, lock or key are not as they should be: a code, advice, and nothing lost. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import SqliteDatabase from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { temporaryKeks } from '../../src/store/kek.ts';
import { openStore, openWith } from '../../src/store/open.ts';
import { sqliteDialect } from '../../src/store/sqlite.ts';
import type { Store } from '../../src/store/store.ts';
import { tempDir } from '../support/temp.ts';
import { plainKey, plainSnapshot } from './arbitraries.ts';
import { add, edPair, event, read, rsaPair } from './support.ts';

const keks = temporaryKeks();
const coded = (code: string) => ({ name: 'StoreError', code, advice: expect.stringMatching(/\.$/) });

describe('opening', () => {
  test('under another key-encryption key fails at once, and names both', async () => {
    using dir = tempDir('store');
    const path = dir.join('store.sqlite');
    await (await openStore({ path, keks })).close();
    const other = temporaryKeks();
    await expect(openStore({ path, keks: other })).rejects.toMatchObject({
      ...coded('wrong-kek'),
      message: expect.stringMatching(new RegExp(`${keks.current.id}.*${other.current.id}`, 's')),
    });
  });

  test('a file that is no store, a folder that is not there, a store of a newer program', async () => {
    using dir = tempDir('store');
    const junk = dir.join('junk.sqlite');
    writeFileSync(junk, Buffer.alloc(20_000, 'not a database '));
    await expect(openStore({ path: junk, keks })).rejects.toMatchObject(coded('corrupt'));
    await expect(openStore({ path: dir.join('no', 'such', 'folder.sqlite'), keks })).rejects.toMatchObject(
      coded('cannot-open'),
    );
    const path = dir.join('store.sqlite');
    await (await openStore({ path, keks })).close();
    const database = new SqliteDatabase(path);
    database.exec(`update meta set value = '999' where name = 'schema-version'`);
    database.close();
    await expect(openStore({ path, keks })).rejects.toMatchObject(coded('newer-schema'));
  });

  test('at the same time, twenty times over, makes one store', async () => {
    using dir = tempDir('store');
    const path = dir.join('store.sqlite');
    const stores = await Promise.all(Array.from({ length: 20 }, () => openStore({ path, keks })));
    await Promise.all(stores.map((store, n) => store.journal.append([event(null, 'opened', n)])));
    expect(await stores[0]?.journal.verify()).toMatchObject({ kind: 'intact', entries: 20 });
    await Promise.all(stores.map((store) => store.close()));
  });

  test('a damaged file is told as such, at opening or at the first reading of the damage', async () => {
    using dir = tempDir('store');
    const path = dir.join('store.sqlite');
    {
      await using store = await openStore({ path, keks });
      for (let n = 0; n < 60; n++) await add(store, plainSnapshot(`d${n}.example`, { keys: [plainKey(`k${n}`)] }));
    }
    truncateSync(path, statSync(path).size / 2);
    const readAll = async () => {
      await using store = await openStore({ path, keks });
      for (let n = 0; n < 60; n++) await read(store, `d${n}.example`);
      await store.journal.verify();
    };
    await expect(readAll()).rejects.toMatchObject(coded('corrupt'));
  });
});

describe('a full disk', () => {
  const fill = async (store: Store): Promise<number> => {
    for (let n = 0; ; n++) {
      try {
        await add(
          store,
          plainSnapshot(`d${n}.example`, { keys: [plainKey(`k${n}`, { publicKey: 'A'.repeat(2_000) })] }),
        );
      } catch (error) {
        expect(error).toMatchObject(coded('disk-full'));
        return n;
      }
    }
  };

  test('refuses what it cannot hold, keeps what it has, and goes on where there is room again', async () => {
    using dir = tempDir('store');
    const path = dir.join('store.sqlite');
    await (await openStore({ path, keks })).close();
    const pages = statSync(path).size / 4096;
    const small = sqliteDialect({ path, lockWait: 1_000, pragmas: [`max_page_count = ${pages + 30}`] });
    let held: number;
    {
      await using store = await openWith(small, keks, systemClock);
      held = await fill(store);
      expect(held).toBeGreaterThan(2);
      expect((await store.counts()).keys.created).toBe(held);
      expect(await store.journal.verify()).toMatchObject({ kind: 'intact', entries: held });
    }
    await using store = await openStore({ path, keks });
    await add(store, plainSnapshot('more.example'));
    expect(await store.journal.verify()).toMatchObject({ kind: 'intact', entries: held + 1 });
  });

  const mountable = canMount();
  test.skipIf(!mountable)('of a real file system (needs root and mount)', async () => {
    using dir = tempDir('store');
    const folder = dir.join('small');
    mkdirSync(folder);
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1500k', 'tmpfs', folder]).status).toBe(0);
    try {
      const path = `${folder}/store.sqlite`;
      await using store = await openStore({ path, keks });
      writeFileSync(`${folder}/ballast`, Buffer.alloc(300_000));
      const held = await fill(store);
      rmSync(`${folder}/ballast`);
      await add(store, plainSnapshot('more.example'));
      expect((await store.counts()).keys.created).toBe(held);
      expect(await store.journal.verify()).toMatchObject({ kind: 'intact', entries: held + 1 });
    } finally {
      spawnSync('umount', ['-l', folder]);
    }
  });
});

test('a store that cannot be written says so, and can still be read', async () => {
  using dir = tempDir('store');
  const path = dir.join('store.sqlite');
  {
    await using store = await openStore({ path, keks });
    await add(store, plainSnapshot('a.example'));
  }
  const readOnly = sqliteDialect({ path, lockWait: 100, pragmas: ['query_only = ON'] });
  await using store = await openWith(readOnly, keks, systemClock);
  await expect(store.wake('a.example', -1)).rejects.toMatchObject(coded('read-only'));
  expect((await read(store, 'a.example')).version).toBe(1);
});

describe('a write lock that another process holds', () => {
  test('is waited for without holding up the event loop, and then reported', async () => {
    using dir = tempDir('store');
    const path = dir.join('store.sqlite');
    await using store = await openStore({ path, keks, lockWait: 300 });
    await add(store, plainSnapshot('a.example'));
    const other = new SqliteDatabase(path);
    other.exec('begin immediate');
    let ticks = 0;
    const ticking = setInterval(() => ticks++, 5);
    await expect(store.wake('a.example', 0)).rejects.toMatchObject(coded('locked'));
    clearInterval(ticking);
    expect(ticks).toBeGreaterThan(3);
    expect((await read(store, 'a.example')).version).toBe(1);

    const waiting = store.journal.append([event('a.example', 'waited')]);
    setTimeout(() => other.exec('rollback'), 50);
    await waiting;
    other.close();
    expect(await store.journal.verify()).toMatchObject({ kind: 'intact', entries: 2 });
  });
});

describe('private keys at rest', () => {
  test('the files of the store are for their owner alone', async () => {
    using dir = tempDir('store');
    await using store = await openStore({ path: dir.join('store.sqlite'), keks });
    await add(store, plainSnapshot('a.example'));
    const files = readdirSync(dir.path);
    expect(files.length).toBeGreaterThanOrEqual(2);
    for (const file of files) expect(statSync(dir.join(file)).mode & 0o777).toBe(0o600);
  });

  test('a sealed key that was moved to another row does not open', async () => {
    using dir = tempDir('store');
    const path = dir.join('store.sqlite');
    await using store = await openStore({ path, keks });
    const [a, b] = [edPair(), edPair()];
    const keys = [plainKey('a', { publicKey: a.publicKey }), plainKey('b', { publicKey: b.publicKey })];
    await store.addDomain({
      snapshot: plainSnapshot('a.example', { keys }),
      policy: { kind: 'named', name: 'default' },
      events: [],
      nextLookAt: 0,
      secrets: [
        { keyId: 'a', from: 'der', pkcs8: a.pkcs8 },
        { keyId: 'b', from: 'der', pkcs8: b.pkcs8 },
      ],
    });
    const database = new SqliteDatabase(path);
    database.exec(`
      update private_keys set sealed = (select sealed from private_keys where key_id = 'a') where key_id = 'b';
    `);
    database.close();
    expect(await store.loadPrivateKey('a')).not.toBeNull();
    await expect(store.loadPrivateKey('b')).rejects.toMatchObject({
      ...coded('unsealed'),
      message: expect.stringContaining('a.example s-b b'),
    });
  });

  test('a new key-encryption key takes over, after which the old one is not needed', async () => {
    using dir = tempDir('store');
    const path = dir.join('store.sqlite');
    const pair = rsaPair();
    const pooled = edPair();
    {
      await using store = await openStore({ path, keks });
      await store.addDomain({
        snapshot: plainSnapshot('a.example', {
          keys: [plainKey('a', { publicKey: pair.publicKey, algorithm: 'rsa', bits: 2048 })],
        }),
        policy: { kind: 'named', name: 'default' },
        events: [event('a.example', 'domain-added')],
        nextLookAt: 0,
        secrets: [{ keyId: 'a', from: 'der', pkcs8: pair.pkcs8 }],
      });
      for (let n = 0; n < 201; n++)
        await store.pool.put({ algorithm: 'ed25519', bits: 256, ...(n === 0 ? pooled : edPair()) });
      expect(await store.reseal()).toBe(0);
    }
    const next = temporaryKeks();
    {
      await using store = await openStore({ path, keks: { current: next.current, old: [keks.current] } });
      expect(await store.reseal()).toBe(202);
      expect(await store.reseal()).toBe(0);
    }
    await using store = await openStore({ path, keks: next });
    expect(pair.pkcs8.equals((await store.loadPrivateKey('a')) ?? Buffer.alloc(0))).toBe(true);
    expect(await store.journal.verify()).toMatchObject({ kind: 'intact', entries: 1 });
    await expect(openStore({ path, keks })).rejects.toMatchObject(coded('wrong-kek'));
  });

  test('no file of the store holds a private key in the clear, nor does any error', async () => {
    using dir = tempDir('store');
    const path = dir.join('store.sqlite');
    const pairs = [edPair(), rsaPair(), edPair()];
    await using store = await openStore({ path, keks });
    const [ed, rsa, pooled] = pairs;
    if (!ed || !rsa || !pooled) throw new Error('no pairs');
    const { snapshot, version } = await add(store, plainSnapshot('a.example'));
    await store.pool.put({ algorithm: 'ed25519', bits: 256, ...pooled });
    const keys = [
      plainKey('a', { publicKey: ed.publicKey }),
      plainKey('b', { publicKey: rsa.publicKey, algorithm: 'rsa', bits: 2048 }),
    ];
    const after = { ...snapshot, keys };
    await store.commit(
      { name: 'a.example', version },
      {
        before: snapshot,
        after,
        events: [event('a.example', 'key-created', { id: 'a', publicKey: ed.publicKey })],
        secrets: [
          { keyId: 'a', from: 'der', pkcs8: ed.pkcs8 },
          { keyId: 'b', from: 'der', pkcs8: rsa.pkcs8 },
        ],
      },
    );
    const mixedUp = store.commit(
      { name: 'a.example', version: version + 1 },
      {
        before: after,
        after: { ...after, keys: [...keys, plainKey('c', { publicKey: rsa.publicKey })] },
        events: [],
        secrets: [{ keyId: 'c', from: 'der', pkcs8: ed.pkcs8 }],
      },
    );
    const complaint = await mixedUp.then(
      () => 'nothing was refused',
      (error: unknown) => JSON.stringify(error, Object.getOwnPropertyNames(error)),
    );
    expect(complaint).toContain('not the other half');
    const files = readdirSync(dir.path).map((file) => readFileSync(dir.join(file)));
    expect(files.length).toBeGreaterThanOrEqual(2);
    for (const { pkcs8 } of pairs) {
      // The secret itself: the Ed25519 seed, and the middle of the RSA private exponent and primes.
      const secret = pkcs8.length < 100 ? pkcs8.subarray(-32) : pkcs8.subarray(400, 432);
      for (const form of [secret, secret.toString('base64').slice(2, -4), secret.toString('hex')]) {
        for (const file of files) expect(file.includes(form)).toBe(false);
        expect(complaint.includes(form.toString())).toBe(false);
      }
    }
    // That the search would find it: the public half stands there in the clear.
    expect(files.some((file) => file.includes(ed.publicKey))).toBe(true);
  });
});

function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  using dir = tempDir('mount');
  const folder = dir.join('try');
  mkdirSync(folder);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]).status === 0;
  if (mounted) spawnSync('umount', [folder]);
  return mounted;
}

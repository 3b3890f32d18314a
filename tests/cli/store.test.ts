/** `keyturn store` and `keyturn key history` by command, over a file and over MariaDB. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '../../src/cli/program.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import { loadKeks } from '../../src/store/kek.ts';
import { openMysqlStore, openStore } from '../../src/store/open.ts';
import { plainKey, plainSnapshot } from '../store/arbitraries.ts';
import { sharedMariadb } from '../store/stores.ts';
import { add, event, read } from '../store/support.ts';
import type { Database } from '../support/mariadb.ts';
import { need } from '../support/need.ts';
import { type TempDir, tempDir } from '../support/temp.ts';

let dir: TempDir;
beforeAll(() => {
  dir = tempDir('cli-store');
  config('file.yaml', 'data: ./file');
});
afterAll(() => dir.remove());

function config(name: string, text: string): void {
  writeFileSync(dir.join(name), `${text}\npublishers: [{name: hand, kind: manual}]\n`);
}

async function keyturn(file: string, args: readonly string[], env: Record<string, string> = {}) {
  let [out, err] = ['', ''];
  const terminal: Terminal = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    readInput: async () => Buffer.alloc(0),
    env,
    interactive: false,
    color: false,
    columns: 120,
    rows: 40,
  };
  const code = await run([...args, '--config', dir.join(file)], terminal);
  return { code, out, err };
}

test('migrate shows the versions, and makes a store where there is none', async () => {
  config('fresh.yaml', 'data: ./fresh');
  const json = async (...args: string[]) => JSON.parse((await keyturn('fresh.yaml', [...args, '--json'])).out);
  expect(await json('store', 'migrate', '--dry-run')).toMatchObject({ before: 0, after: 0 });
  const { newest, after } = await json('store', 'migrate');
  expect(after).toBe(newest);
  expect((await keyturn('fresh.yaml', ['store', 'migrate'])).out).toContain(`version ${newest} already`);
});

test('key history tells who wrote which record, and why, also when the domain has left', async () => {
  await keyturn('file.yaml', ['store', 'status']);
  {
    const keks = loadKeks({ file: dir.join('file', 'kek') });
    await using store = await openStore({ path: dir.join('file', 'keyturn.sqlite'), keks });
    const keys = [plainKey('k1', { selector: 'sel1', publicKey: 'AAAA', state: 'removed' })];
    const { snapshot, version } = await add(store, plainSnapshot('left.example', { keys }));
    const details = {
      keyId: 'k1',
      selector: 'sel1',
      value: 'v=DKIM1; p=AAAA',
      publisher: 'hand',
      why: 'new\u001b[2J key',
    };
    const change = {
      before: snapshot,
      after: snapshot,
      events: [event('left.example', 'record-written', details)],
      proofs: [{ keyId: 'k1', at: 7, expected: 'key', verdict: 'missing', detail: {} }] as const,
    };
    await store.commit({ name: 'left.example', version }, change);
    await store.commit({ name: 'left.example', version: version + 1 }, { before: snapshot, after: null, events: [] });
  }
  const { out, code } = await keyturn('file.yaml', ['key', 'history', 'left.example', 'sel1']);
  expect(code).toBe(0);
  expect(out).toMatch(/^sel1 {2}ed25519 256, stream default, removed, the domain left /);
  expect(out).toContain('1970-01-01 00:00:00  proof: missing (expected: key)');
  expect(out).toMatch(/record-written by keyturn \(test\); publisher: hand, value: v=DKIM1; p=AAAA, why: new/);
  expect(out).not.toContain('\u001b');
  const all = JSON.parse((await keyturn('file.yaml', ['key', 'history', 'left.example', '--json'])).out);
  expect(all.keys).toMatchObject([{ id: 'k1', publicKey: 'AAAA', events: [{ kind: 'record-written' }] }]);
  expect(await keyturn('file.yaml', ['key', 'history', 'left.example', 'other'])).toMatchObject({ code: 2 });
});

describe.skipIf(!need('mariadbd', 'mariadb-server'))('MariaDB', () => {
  let database: Database;
  beforeAll(async () => {
    database = await (await sharedMariadb()).database();
    config(
      'db.yaml',
      `data: ./db\nkekFile: ./file/kek\nstore: {url: "${database.url}", password: "${database.password}"}`,
    );
  });

  test('copy moves the store there; status tells of it; no output has the password', async () => {
    const said: string[] = [];
    const tell = async (file: string, ...args: string[]) => {
      const { code, out, err } = await keyturn(file, args);
      said.push(out, err);
      return { code, out, err };
    };
    expect((await tell('file.yaml', 'domain', 'add', 'example.com')).code).toBe(0);
    const copied = await tell('file.yaml', 'store', 'copy', '--to', dir.join('db.yaml'));
    expect(copied).toMatchObject({ code: 0, out: expect.stringContaining('The journal is intact there') });
    const again = await tell('file.yaml', 'store', 'copy', '--to', dir.join('db.yaml'));
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining('There is a store at') });
    expect((await tell('db.yaml', 'domain', 'show', 'example.com')).code).toBe(0);
    expect((await tell('db.yaml', 'key', 'history', 'left.example')).out).toContain('sel1');
    const { out } = await tell('db.yaml', 'store', 'status', '--json');
    expect(JSON.parse(out)).toMatchObject({
      database: 'mysql',
      file: database.url,
      domains: { mail: 1 },
      instances: [],
    });
    expect(JSON.parse(out).octets).toBeGreaterThan(100_000);
    expect((await tell('db.yaml', 'audit', 'verify')).out).toContain('intact');
    expect((await tell('db.yaml', 'audit', 'list')).out).toContain('store-copied');
    expect((await tell('db.yaml', 'config', 'show')).code).toBe(0);
    expect(said.join('')).not.toContain(database.password);
  });

  test('the password of an address comes from the environment', async () => {
    const other = await (await sharedMariadb()).database();
    const copy = ['store', 'copy', '--to', other.url, '--json'];
    expect((await keyturn('file.yaml', copy)).code).toBe(3);
    const { code, out } = await keyturn('file.yaml', copy, { KEYTURN_TO_PASSWORD: other.password });
    expect({ code, tables: JSON.parse(out).tables }).toMatchObject({ code: 0, tables: { domains: 1 } });
  });

  test('a machine that joins without the key-encryption key makes none, and one with another is refused', async () => {
    const joins = (name: string) =>
      config(name, `data: ./joins\nstore: {url: "${database.url}", password: "${database.password}"}`);
    joins('joins.yaml');
    const without = await keyturn('joins.yaml', ['domain', 'list']);
    expect(without).toMatchObject({ code: 3, err: expect.stringMatching(/no key file .*copy it from a machine/) });
    const other = { KEYTURN_KEK: Buffer.alloc(32, 7).toString('base64') };
    const wrong = await keyturn('joins.yaml', ['domain', 'list'], other);
    expect(wrong).toMatchObject({
      code: 3,
      err: expect.stringMatching(/key-encryption key .*every machine that shares/),
    });
    await using store = await openMysqlStore({
      url: database.url,
      password: database.password,
      keks: loadKeks({ file: dir.join('file', 'kek') }),
    });
    expect((await read(store, 'example.com')).snapshot.domain.name).toBe('example.com');
  });

  test('settings that cannot be are refused by name', async () => {
    config('bad.yaml', 'store: {url: "mysql://keyturn:secret-in-url@db/keyturn"}');
    const { code, err } = await keyturn('bad.yaml', ['domain', 'list']);
    expect(code).toBe(2);
    expect(err).toContain('store.url: the password belongs into store.password');
    expect(err).not.toContain('secret-in-url');
    config('bad.yaml', 'store: {url: "postgres://db/keyturn"}');
    expect((await keyturn('bad.yaml', ['domain', 'list'])).err).toContain('expected an address such as mysql://');
    config('bad.yaml', `store: {url: "${database.url}", password: {env: NOT_SET}}`);
    expect((await keyturn('bad.yaml', ['domain', 'list'])).err).toContain('NOT_SET is not set');
  });
});

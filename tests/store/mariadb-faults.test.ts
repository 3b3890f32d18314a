/** What the store does when MariaDB restarts, deadlocks, fills up, refuses, or says nothing: nothing half done, nothing lost, nothing twice. */
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { temporaryKeks } from '../../src/store/kek.ts';
import { mysqlDialect } from '../../src/store/mysql.ts';
import { openMysqlStore, openWith } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { type Database, type Mariadb, startMariadb } from '../support/mariadb.ts';
import { need } from '../support/need.ts';
import { plainKey, plainSnapshot } from './arbitraries.ts';
import { add, edPair, event, read } from './support.ts';

const keks = temporaryKeks();
const coded = (code: string) => ({ name: 'StoreError', code, advice: expect.stringMatching(/\.$/) });

describe.skipIf(!need('mariadbd', 'mariadb-server'))('MariaDB', () => {
  let server: Mariadb;
  let database: Database;
  const opened: Store[] = [];
  const open = async (changes: Partial<Parameters<typeof openMysqlStore>[0]> = {}): Promise<Store> => {
    const { url, password } = database;
    const store = await openMysqlStore({ url, password, keks, ...changes });
    opened.push(store);
    return store;
  };
  beforeAll(async () => {
    server = await startMariadb();
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()));
  });
  afterAll(() => server?.stop());

  /** Commits one change of a domain, again from what is there now where somebody else was first. */
  async function bump(store: Store, name: string): Promise<void> {
    for (;;) {
      const { snapshot, version } = await read(store, name);
      const generation = snapshot.domain.generation + 1;
      const after = { ...snapshot, domain: { ...snapshot.domain, generation } };
      const events = [event(name, 'bumped', { generation })];
      if ((await store.commit({ name, version }, { before: snapshot, after, events })).kind === 'committed') return;
    }
  }

  /** State, version, events and counters of a domain tell the same story. */
  async function expectBumps(store: Store, name: string, bumps: number): Promise<void> {
    const { snapshot, version } = await read(store, name);
    expect([snapshot.domain.generation, version]).toStrictEqual([bumps, bumps + 1]);
    const { items } = await store.journal.list({ domain: name, order: 'oldest' }, { limit: 1000 });
    const told = items.filter(({ kind }) => kind === 'bumped').map(({ details }) => details);
    expect(told).toStrictEqual(Array.from({ length: bumps }, (_, n) => ({ generation: n + 1 })));
  }

  test('restarted under load, in order and by kill: every change takes effect once', async () => {
    database = await server.database();
    const stores = [await open({ patience: 60_000 }), await open({ patience: 60_000 })];
    const names = ['a.example', 'b.example', 'c.example'];
    const [first, second] = stores;
    if (!first || !second) throw new Error('no stores');
    for (const name of names) await add(first, plainSnapshot(name));
    let done = false;
    const counts = new Map(names.map((name) => [name, 0]));
    const working = stores.flatMap((store) =>
      names.map(async (name) => {
        while (!done) {
          await bump(store, name);
          counts.set(name, (counts.get(name) ?? 0) + 1);
        }
      }),
    );
    for (const how of ['kill', 'restart', 'kill'] as const) {
      const before = counts.get('a.example') ?? 0;
      while ((counts.get('a.example') ?? 0) < before + 5) await sleep(5);
      if (how === 'kill') await server.kill();
      await server.restart();
    }
    const before = counts.get('b.example') ?? 0;
    while ((counts.get('b.example') ?? 0) < before + 5) await sleep(5);
    done = true;
    await Promise.all(working);
    for (const name of names) await expectBumps(first, name, counts.get(name) ?? 0);
    expect((await second.journal.verify()).kind).toBe('intact');
  }, 120_000);

  test('a commit whose answer is lost is looked for, and neither lost nor made twice', async () => {
    database = await server.database();
    await (await open()).close();
    opened.length = 0;
    await using proxy = await cuttingProxy(server.port);
    const { pathname, username } = new URL(database.url);
    const store = await open({ url: `mysql://${username}@127.0.0.1:${proxy.port}${pathname}`, patience: 30_000 });
    await add(store, plainSnapshot('a.example'));
    for (let n = 0; n < 6; n += 1) {
      // The answer to every second commit, and the question of the others, go down with the connection.
      proxy.cutAtCommit(n % 2 === 0 ? 'answer' : 'question');
      await store.journal.append([event('a.example', 'appended', n)]);
      proxy.cutAtCommit(n % 2 === 0 ? 'question' : 'answer');
      await bump(store, 'a.example');
    }
    expect(proxy.cuts()).toBe(12);
    await expectBumps(store, 'a.example', 6);
    const { items } = await store.journal.list({ order: 'oldest' }, { limit: 1000 });
    expect(items.filter(({ kind }) => kind === 'appended').map(({ details }) => details)).toStrictEqual([
      0, 1, 2, 3, 4, 5,
    ]);
    expect((await store.journal.verify()).kind).toBe('intact');
  });

  test('a deadlock is run again, and both changes are there', async () => {
    database = await server.database();
    const store = await open();
    for (const name of ['a.example', 'b.example']) await add(store, plainSnapshot(name), 50_000);
    const { createConnection } = await import('mysql2/promise');
    const before = await deadlocks(server);
    const other = await createConnection({ socketPath: server.socket, user: 'root', database: database.name });
    try {
      for (let n = 0; n < 3; n += 1) {
        // It holds b and wants a; the store's transaction holds a and wants b.
        await other.query('start transaction');
        await other.query("update domains set severity = severity where name = 'b.example'");
        // What has changed more rows is spared: it is the store that is turned back.
        for (let m = 0; m < 40; m += 1) await other.query("insert into results values (concat('x', rand()), 1, '{}')");
        const changes = Promise.all([store.wake('a.example', 100 - n), store.wake('b.example', 100 - n)]);
        await untilWaiting(server);
        await other.query("update domains set severity = severity where name = 'a.example'");
        await other.query('commit');
        expect(await changes).toStrictEqual([true, true]);
        for (const name of ['a.example', 'b.example']) expect((await read(store, name)).nextLookAt).toBe(100 - n);
      }
    } finally {
      other.destroy();
    }
    expect(await deadlocks(server)).toBe(before + 3);
  });

  test('two processes that change the same domains in opposite orders get through', async () => {
    database = await server.database();
    const [one, two] = [await open(), await open()];
    const names = Array.from({ length: 12 }, (_, n) => `d${n}.example`);
    for (const name of names) await add(one, plainSnapshot(name));
    for (let round = 0; round < 5; round += 1) {
      await Promise.all([
        ...names.map((name) => bump(one, name)),
        ...names.toReversed().map((name) => bump(two, name)),
      ]);
    }
    for (const name of names) await expectBumps(two, name, 10);
    expect((await one.journal.verify()).kind).toBe('intact');
  });

  test('a full disk refuses whole changes, and the work goes on when there is room', async () => {
    database = await server.database();
    const store = await open();
    const { version, snapshot } = await add(store, plainSnapshot('a.example'));
    const after = { ...snapshot, keys: [plainKey('k')] };
    const change = () =>
      store.commit(
        { name: 'a.example', version },
        { before: snapshot, after, events: [event('a.example', 'changed')] },
      );
    // 1114 is what InnoDB says when a tablespace can grow no further; it hits the rows, the counters, the journal.
    for (const table of ['keys', 'counters', 'journal']) {
      for (const timing of ['insert', 'update']) {
        await server.ask(
          database.name,
          `create trigger full_${timing} before ${timing} on \`${table}\` for each row
             signal sqlstate 'HY000' set mysql_errno = 1114, message_text = 'The table is full'`,
        );
      }
      await expect(change()).rejects.toMatchObject(coded('disk-full'));
      for (const timing of ['insert', 'update']) await server.ask(database.name, `drop trigger full_${timing}`);
      expect(await read(store, 'a.example')).toMatchObject({ version, snapshot });
      expect((await store.counts()).keys.created).toBe(0);
      expect(await store.journal.verify()).toMatchObject({ kind: 'intact', entries: 1 });
    }
    expect((await change()).kind).toBe('committed');
    expect((await store.counts()).keys.created).toBe(1);
    expect(await store.journal.verify()).toMatchObject({ kind: 'intact', entries: 2 });
  });

  test('a server that says nothing is given up, and asked again once it speaks', async () => {
    database = await server.database();
    const store = await open({ statementTimeout: 300, patience: 600 });
    await add(store, plainSnapshot('a.example'));
    await server.freeze();
    try {
      await expect(store.snapshot('a.example')).rejects.toMatchObject(coded('unreachable'));
      await expect(store.wake('a.example', 1)).rejects.toMatchObject({ name: 'StoreError' });
    } finally {
      server.thaw();
    }
    expect((await read(store, 'a.example')).version).toBe(1);
    await bump(store, 'a.example');
    await expectBumps(store, 'a.example', 1);
  });

  test('a lock that somebody holds for too long is told, and only what waits for it fails', async () => {
    database = await server.database();
    const store = await open({ patience: 1_000 });
    for (const name of ['a.example', 'b.example']) await add(store, plainSnapshot(name), 5_000);
    const { createConnection } = await import('mysql2/promise');
    const other = await createConnection({ socketPath: server.socket, user: 'root', database: database.name });
    try {
      await other.query('start transaction');
      await other.query("select name from domains where name = 'a.example' for update");
      const [held, free] = await Promise.allSettled([store.wake('a.example', 1), store.wake('b.example', 1)]);
      expect(held).toMatchObject({ status: 'rejected', reason: coded('locked') });
      expect(free).toStrictEqual({ status: 'fulfilled', value: true });
    } finally {
      other.destroy();
    }
    expect(await store.wake('a.example', 1)).toBe(true);
  });

  test('who may not, where nobody answers, and what is not there is said with advice, never with the password', async () => {
    database = await server.database();
    const { url, password, name } = database;
    const at = (changes: (parsed: URL) => void): string => {
      const parsed = new URL(url);
      changes(parsed);
      return parsed.href;
    };
    const wrong = 'a-wrong-and-secret-password';
    const tries: ReadonlyArray<readonly [code: string, Partial<Parameters<typeof openMysqlStore>[0]>]> = [
      ['access-denied', { password: wrong }],
      [
        'access-denied',
        {
          url: at((u) => {
            u.pathname = '/mysql';
          }),
        },
      ],
      [
        'cannot-open',
        {
          url: at((u) => {
            u.pathname = '/keyturn_none';
          }),
        },
      ],
      ['cannot-open', { url: 'postgres://keyturn@db/keyturn' }],
      [
        'unreachable',
        {
          url: at((u) => {
            u.port = '1';
          }),
        },
      ],
      ['tls', { tls: {} }],
      ['tls', { tls: { ca: '/no/such/file.pem' } }],
    ];
    for (const [code, changes] of tries) {
      const error: unknown = await open(changes).then(
        () => 'opened',
        (e: unknown) => e,
      );
      expect(error, JSON.stringify(changes)).toMatchObject(coded(code));
      const all = [error, (error as Error).cause].map((e) => JSON.stringify(e, Object.getOwnPropertyNames(e ?? {})));
      for (const secret of [wrong, password]) expect(all.join()).not.toContain(secret);
    }
    await server.admin("create user narrow@'%' identified by 'x'", `grant select on ${name}.* to narrow@'%'`);
    await (await open()).close();
    opened.length = 0;
    // Once the tables are there, the right to make some is needed no more.
    await server.admin(
      "create user daily@'%' identified by 'x'",
      `grant select, insert, update, delete on ${name}.* to daily@'%'`,
    );
    const daily = at((u) => {
      u.username = 'daily';
    });
    expect((await (await open({ url: daily, password: 'x' })).journal.verify()).kind).toBe('intact');
    const narrow = at((u) => {
      u.username = 'narrow';
    });
    const reader = await open({ url: narrow, password: 'x' });
    await expect(reader.journal.append([event(null, 'tried')])).rejects.toMatchObject(coded('access-denied'));
  });

  test('a database that takes no writes, or no more connections', async () => {
    database = await server.database();
    const store = await open();
    await add(store, plainSnapshot('a.example'), 5_000);
    await server.admin('set global read_only = 1');
    try {
      await expect(store.wake('a.example', 1)).rejects.toMatchObject(coded('read-only'));
      expect((await read(store, 'a.example')).version).toBe(1);
    } finally {
      await server.admin('set global read_only = 0');
    }
    expect(await store.wake('a.example', 1)).toBe(true);
    const { createConnection } = await import('mysql2/promise');
    const { name, password } = database;
    await server.admin('set global max_connections = 10');
    const taken = { socketPath: server.socket, user: 'keyturn', password, database: name };
    // Connections that are being closed still count: it is full when it has refused for a while.
    const held: Array<{ destroy(): void }> = [];
    for (let refusals = 0; refusals < 4; ) {
      try {
        held.push(await createConnection(taken));
        refusals = 0;
      } catch {
        refusals += 1;
        await sleep(50);
      }
    }
    try {
      await expect(open({ patience: 200 })).rejects.toMatchObject(coded('too-many-connections'));
    } finally {
      for (const each of held) each.destroy();
      await server.admin('set global max_connections = 150');
    }
  });

  test('no table holds a private key in the clear, nor does what the server logs', async () => {
    database = await server.database();
    const store = await open();
    const pairs = [edPair(), edPair()];
    const [own, pooled] = pairs;
    if (!own || !pooled) throw new Error('no pairs');
    const { snapshot, version } = await add(store, plainSnapshot('a.example'));
    await server.admin("set global log_output = 'TABLE'", 'set global general_log = 1');
    const after = { ...snapshot, keys: [plainKey('k', { publicKey: own.publicKey })] };
    const secrets = [{ keyId: 'k', from: 'der', pkcs8: own.pkcs8 }] as const;
    await store.commit({ name: 'a.example', version }, { before: snapshot, after, events: [], secrets });
    await store.pool.put({ algorithm: 'ed25519', bits: 256, ...pooled });
    expect(own.pkcs8.equals((await store.loadPrivateKey('k')) ?? Buffer.alloc(0))).toBe(true);
    await server.admin('set global general_log = 0');
    const logged = await server.admin('select convert(argument using utf8mb4) as said from mysql.general_log');
    let all = `${logged.map(({ said }) => said).join('\n')}\n${server.output()}`;
    for (const table of ['private_keys', 'pool', '`keys`', 'journal', 'meta', 'results']) {
      const rows = await server.ask(database.name, `select * from ${table}`);
      all += JSON.stringify(rows, (_, value) =>
        value?.type === 'Buffer' ? Buffer.from(value.data).toString('hex') : value,
      );
    }
    // That the search would find it: the public half stands there in the clear, and the statements were logged.
    expect(all).toContain(own.publicKey);
    expect(all).toContain('insert into `private_keys`');
    for (const { pkcs8 } of pairs) {
      const seed = pkcs8.subarray(-32);
      for (const form of [seed.toString('hex'), seed.toString('base64').slice(2, -4), pkcs8.toString('base64')])
        expect(all.toLowerCase().includes(form.toLowerCase())).toBe(false);
    }
  });

  test('a database without SKIP LOCKED: claims wait for each other, and no domain is claimed twice', async () => {
    database = await server.database();
    const { url, password } = database;
    const without = () => ({ ...mysqlDialect({ url, password }), skipLocked: () => false });
    const both = await Promise.all([openWith(without(), keks, systemClock), openWith(without(), keks, systemClock)]);
    opened.push(...both);
    const [one, two] = both;
    if (!one || !two) throw new Error('no stores');
    for (let n = 0; n < 40; n += 1) await add(one, plainSnapshot(`d${n}.example`));
    const request = { now: 1_000, limit: 5, leaseMs: 60_000 };
    const claims = await Promise.all(
      [one, two].flatMap((store, n) => Array.from({ length: 4 }, () => store.claimDue({ ...request, owner: `o${n}` }))),
    );
    const names = claims.flat().map((claim) => claim.name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBe(40);
  });
});

async function deadlocks(server: Mariadb): Promise<number> {
  const [row] = await server.admin("show global status like 'innodb_deadlocks'");
  return Number(row?.Value);
}

async function untilWaiting(server: Mariadb): Promise<void> {
  for (;;) {
    // Asked more often than ten times a second, the table says what it said before.
    await sleep(150);
    const waiting = await server.admin(
      "select 1 as one from information_schema.innodb_trx where trx_state = 'LOCK WAIT'",
    );
    if (waiting.length > 0) return;
  }
}

interface CuttingProxy extends AsyncDisposable {
  readonly port: number;
  /** The next COMMIT's connection is cut: before the server sees it, or before its answer gets through. */
  cutAtCommit(what: 'question' | 'answer'): void;
  cuts(): number;
}

async function cuttingProxy(target: number): Promise<CuttingProxy> {
  let cut: 'question' | 'answer' | null = null;
  let cuts = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect({ port: target, host: '127.0.0.1' });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
    let silent = false;
    client.on('data', (data) => {
      // A command packet: length (3), number (1), COM_QUERY (1), text.
      const isCommit = data.length > 5 && data.subarray(5).toString('latin1') === 'commit';
      if (!isCommit || cut === null) return upstream.write(data);
      cuts += 1;
      const what = cut;
      cut = null;
      if (what === 'question') return client.destroy();
      silent = true;
      return upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (silent) client.destroy();
      else client.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    cutAtCommit: (what) => {
      cut = what;
    },
    cuts: () => cuts,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

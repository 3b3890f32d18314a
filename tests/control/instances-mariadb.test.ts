/**
 * Several servers on one MariaDB and one Redis, as on several machines: each with its own folder, name and milter, a further milter that
 * knows nothing but Redis, and mail through all of them.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTraffic, type Traffic } from '../../src/control/rehearsal/traffic.ts';
import { createCachingResolver } from '../../src/dns/lookup/cache.ts';
import { startBind } from '../support/bind.ts';
import { type DnsServer, tsigKey } from '../support/dns-server.ts';
import { keyturn, keyturnJson, startKeyturn } from '../support/keyturn.ts';
import { type Database, type Mariadb, startMariadb } from '../support/mariadb.ts';
import { need } from '../support/need.ts';
import { type RunningServer, runOk, waitFor } from '../support/processes.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { type FastConfig, writeFastConfig } from './fast-config.ts';

interface Shown {
  readonly domain: { readonly generation: number };
  readonly keys: ReadonlyArray<{ readonly selector: string; readonly state: string; readonly algorithm: string }>;
  readonly signers: ReadonlyArray<{ readonly id: string; readonly acknowledgedGeneration: number }>;
}

const zone = 'example.test';
/** Receivers look again after a second or so, and later where DNS was frozen meanwhile: the overlap leaves them time for that. */
const policy = { rotateEvery: '1h', overlap: '6s' };
const domains = ['a', 'b', 'c'].map((label) => `${label}.${zone}`);

interface Member {
  readonly name: string;
  readonly dir: TempDir;
  readonly config: FastConfig;
  server: RunningServer;
}

const programs =
  need('named', 'bind9') &&
  need('mariadbd', 'mariadb-server') &&
  need('mariadb-dump', 'mariadb-client') &&
  need('redis-server', 'redis-server');

describe.skipIf(!programs)('two servers on one MariaDB and Redis', () => {
  const shared = tempDir('shared');
  const key = tsigKey('keyturn');
  let bind: DnsServer;
  let mariadb: Mariadb;
  let database: Database;
  let redis: RedisServer;
  /** The milter that follows Redis alone. */
  let follower: { readonly dir: TempDir; readonly socket: string; readonly server: RunningServer };
  const members: Member[] = [];
  let output = '';
  let dump = '';

  beforeAll(async () => {
    [bind, mariadb, redis] = await Promise.all([
      startBind({ zones: [{ apex: zone, update: [{ key, scope: 'zone' }] }] }),
      startMariadb(),
      startRedis(),
    ]);
    database = await mariadb.database();
    for (const file of ['kek', 'keyrings.key'])
      writeFileSync(shared.join(file), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
    for (const name of ['one', 'two']) members.push(await join(name));
    const dir = tempDir('mx');
    const config = await writeFastConfig(dir, zone, {
      instance: 'mx',
      keyrings: keyrings(),
      dns: { zones: [] },
      roles: { reconcile: false, dns: false },
    });
    config.rewrite(policy);
    follower = { dir, socket: config.socket, server: await start(dir) };
  }, 60_000);
  afterAll(async () => {
    await Promise.all([follower?.server.stop(), ...members.map(({ server }) => server.stop())]);
    await Promise.all([bind?.stop(), mariadb?.stop(), redis?.[Symbol.asyncDispose]()]);
    follower?.dir.remove();
    for (const { dir } of members) dir.remove();
    shared.remove();
  });

  const keyrings = () => ({
    redis: { servers: [`127.0.0.1:${redis.port}`], timeout: '1s' },
    keyFile: shared.join('keyrings.key'),
  });
  const settings = (name: string) => {
    const dns = `127.0.0.1:${bind.port}`;
    return {
      instance: name,
      kekFile: shared.join('kek'),
      store: { url: database.url, password: database.password, connections: 4 },
      keyrings: keyrings(),
      dns: { zones: [] },
      publishers: [{ name: 'bind', kind: 'rfc2136', servers: [dns], key }],
      proof: { zones: [{ apex: zone, servers: [dns] }], timeout: '2s' },
    };
  };
  const start = (dir: TempDir) =>
    startKeyturn(['serve'], { cwd: dir.path, ready: (read) => read().includes('"ready"') });
  const join = async (name: string): Promise<Member> => {
    const dir = tempDir(name);
    const config = await writeFastConfig(dir, zone, settings(name));
    config.rewrite(policy);
    return { name, dir, config, server: await start(dir) };
  };
  const one = () => members[0] ?? fail();
  const show = (domain: string) => keyturnJson<Shown>(['domain', 'show', domain], { cwd: one().dir.path });
  /** Every domain has its keys, in use and in waiting; and as many were removed, which both milters had to acknowledge. */
  const settled = async (removed: number) => {
    const rows = await mariadb.admin(
      `select domain, state, count(*) as n from ${database.name}.keys group by domain, state`,
    );
    const number = (domain: string, wanted: string) =>
      Number(rows.find((row) => row.domain === domain && row.state === wanted)?.n ?? 0);
    return domains.every(
      (domain) =>
        number(domain, 'active') === 2 && number(domain, 'standby') === 2 && number(domain, 'removed') === removed,
    );
  };
  const mail = (): Traffic[] =>
    [...members.map(({ config }) => config.socket), follower.socket].flatMap((socket) =>
      domains.slice(0, 2).map((domain) =>
        startTraffic({
          socket,
          domain,
          receivers: [createCachingResolver({ upstream: [{ apex: zone, servers: [`127.0.0.1:${bind.port}`] }] })],
          every: 150,
          againAfter: one().config.overlap * 0.4,
          algorithms: ['rsa-sha256', 'ed25519-sha256'],
        }),
      ),
    );
  const judge = async (traffic: readonly Traffic[]) => {
    for (const each of traffic) {
      const counts = await each.stop();
      expect(each.failures).toEqual([]);
      expect(counts).toMatchObject({ unsigned: 0, unverifiable: 0 });
      expect(counts.verified).toBe(2 * counts.messages);
      expect(counts.messages).toBeGreaterThan(20);
    }
  };
  const rotate = () =>
    Promise.all(domains.map((domain) => keyturnJson(['key', 'rotate', domain], { cwd: one().dir.path })));
  const leases = async () => {
    const rows = await mariadb.admin(`select lease_owner from ${database.name}.domains`);
    return new Set(rows.map(({ lease_owner }) => lease_owner));
  };

  /** Puts the dump in the place of the database in one moment, as a restored data directory or another server would be. */
  const putBack = async () => {
    const [fresh, away] = [await mariadb.database(), await mariadb.database()];
    await runOk('mariadb', ['--no-defaults', `--socket=${mariadb.socket}`, '--user=root', fresh.name], { input: dump });
    const tables = await mariadb.admin(
      `select table_name as name from information_schema.tables where table_schema = '${fresh.name}'`,
    );
    const renames = tables.flatMap(({ name }) => [
      `${database.name}.${name} to ${away.name}.${name}`,
      `${fresh.name}.${name} to ${database.name}.${name}`,
    ]);
    await mariadb.admin(`rename table ${renames.join(', ')}`);
  };

  /** Takes what a commit locks last before what it locks first, until two have waited for each other. */
  const provokeDeadlock = async () => {
    const deadlocks = async () => Number((await mariadb.admin("show global status like 'Innodb_deadlocks'"))[0]?.Value);
    const before = await deadlocks();
    await waitFor(
      async () => {
        const backwards = ['counters', 'meta', 'domains'].flatMap((table) => [
          `select * from ${database.name}.${table} for update`,
          'select sleep(0.02)',
        ]);
        // Whichever of the two is given up, this one or a server's.
        await mariadb.admin('start transaction', ...backwards, 'rollback').catch(() => undefined);
        return (await deadlocks()) > before;
      },
      { within: 20_000, every: 5, what: 'a deadlock' },
    );
  };

  test('share the work; what a killed one held goes on within seconds, and no message suffers', {
    timeout: 150_000,
  }, async () => {
    for (const domain of domains) await keyturnJson(['domain', 'add', domain], { cwd: one().dir.path });
    await waitFor(() => settled(0), {
      within: 60_000,
      every: 100,
      what: `the first keys; ${members.map(({ server }) => server.output().slice(-1500)).join('\n')}`,
    });
    await waitFor(
      async () =>
        (await show(domains[0] ?? '')).signers.some(
          ({ id, acknowledgedGeneration }) => id === 'mx' && acknowledgedGeneration > 0,
        ),
      { within: 20_000, every: 250, what: 'the milter that follows Redis' },
    );
    const traffic = mail();
    await rotate();

    // Whoever is in the middle of a look, which DNS does not answer, is killed.
    await bind.freeze();
    let victim: Member | undefined;
    const findVictim = async () => {
      const owners = await leases();
      victim = members.find(({ name }) => owners.has(name));
      return victim !== undefined;
    };
    await waitFor(findVictim, { within: 20_000, every: 50, what: 'a server to hold a domain' });
    if (victim === undefined) return fail();
    const { name, dir, server } = victim;
    const survivor = members.find((member) => member !== victim) ?? fail();
    server.kill('SIGKILL');
    await server.exited;
    output += server.output();
    const killed = performance.now();
    bind.thaw();
    await waitFor(async () => !(await leases()).has(name), {
      within: 30_000,
      every: 100,
      what: 'the other server to take over',
    });
    // A lease lasts two minutes; silence is noticed after ten seconds.
    const takeover = Math.round(performance.now() - killed);
    expect(survivor.server.output()).toContain('"instance-silent"');

    victim.server = await start(dir);
    await waitFor(() => settled(2), {
      within: 90_000,
      every: 100,
      what: `the rotation (taken over in ${takeover} ms)`,
    });
    await judge(traffic);
    const shown = await show(domains[0] ?? '');
    expect(shown.signers.map(({ id }) => id).sort()).toEqual(['mx', 'one', 'two']);
    // Two of each kind at the start and one made in the rotation: nothing was made twice.
    expect(shown.keys.filter(({ algorithm }) => algorithm === 'rsa')).toHaveLength(3);
    expect(shown.keys.filter(({ algorithm }) => algorithm === 'ed25519')).toHaveLength(3);
  });

  test('go on signing while Redis is emptied, MariaDB is in a deadlock, and killed, and finish what they were about when it is back', {
    timeout: 120_000,
  }, async () => {
    dump = await runOk('mariadb-dump', [
      '--no-defaults',
      `--socket=${mariadb.socket}`,
      '--user=root',
      '--single-transaction',
      database.name,
    ]);
    const traffic = mail();
    await rotate();
    await redis.flush();
    await provokeDeadlock();
    await mariadb.kill();
    const before = traffic.map((each) => each.counts().signed);
    await waitFor(() => traffic.every((each, i) => each.counts().signed > (before[i] ?? 0) + 5), {
      within: 20_000,
      what: 'mail that is signed without a database',
    });
    await mariadb.restart();
    await waitFor(() => settled(4), { within: 90_000, every: 100, what: 'the rotation after the restart' });
    await judge(traffic);
    for (const { server } of members) expect(server.isRunning()).toBe(true);
  });

  test('do not share a name, wherever they run', { timeout: 30_000 }, async () => {
    using elsewhere = tempDir('same-name');
    const config = await writeFastConfig(elsewhere, zone, settings('one'));
    // Policies of the file become the store's before anything else happens.
    config.rewrite(policy);
    const refused = await keyturn(['serve'], { cwd: elsewhere.path });
    expect(refused.code, refused.stderr).toBe(3);
    expect(refused.stderr).toMatch(/another process runs as "one": on .*instance:/);
  });

  test('leave a database that is put back from a dump alone, and go on signing with what they have', {
    timeout: 120_000,
  }, async () => {
    // The dump was made before the last rotation.
    const after = await show(domains[0] ?? '');
    const traffic = mail();
    await sleep(1500);
    await putBack();
    for (const { server } of members)
      await waitFor(() => server.output().includes('"store-older"'), {
        within: 30_000,
        what: 'the old store to be noticed',
      });
    const signed = traffic.map((each) => each.counts().signed);
    await waitFor(() => traffic.every((each, i) => each.counts().signed > (signed[i] ?? 0) + 5), {
      within: 20_000,
      what: 'mail signed meanwhile',
    });
    await judge(traffic);
    const active = after.keys.filter(({ state }) => state === 'active').map(({ selector }) => selector);
    for (const selector of traffic[0]?.selectors.keys() ?? []) expect(active).toContain(selector);

    await one().server.stop();
    const refused = await keyturn(['serve'], { cwd: one().dir.path });
    expect(refused.code, refused.stderr).toBe(1);
    expect(refused.stderr).toMatch(/the store is older.*accept-restore/s);
  });

  test('write no secret into their logs', () => {
    for (const { server } of [...members, follower]) output += server.output();
    expect(output).toContain('"ready"');
    expect(output).not.toMatch(/PRIVATE KEY|rule-would-break/);
    expect(output).not.toContain(database.password);
    expect(output).not.toContain(key.secret);
  });
});

function fail(): never {
  throw new Error('the servers have not been started');
}

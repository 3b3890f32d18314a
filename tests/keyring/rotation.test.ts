import { copyFileSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { startTraffic } from '../../src/control/rehearsal/traffic.ts';
import { createCachingResolver } from '../../src/dns/lookup/cache.ts';
import { writeFastConfig } from '../control/fast-config.ts';
import { keyturn, keyturnJson, startKeyturn } from '../support/keyturn.ts';
import { need } from '../support/need.ts';
import { type RunningServer, waitFor } from '../support/processes.ts';
import { startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp.ts';

interface Shown {
  readonly domain: { readonly generation: number };
  readonly keys: ReadonlyArray<{ readonly selector: string; readonly state: string }>;
  readonly signers: ReadonlyArray<{ readonly id: string; readonly acknowledgedGeneration: number }>;
}

const domain = 'example.test';

describe.skipIf(!need('redis-server', 'redis-server'))('a control plane and milters that share Redis alone', () => {
  const home = tempDir('control');
  const folders = ['mx1', 'mx2'].map((name) => ({ name, dir: tempDir(name) }));
  const processes: RunningServer[] = [];
  afterAll(async () => {
    await Promise.all(processes.map((each) => each.stop()));
    for (const { dir } of folders) dir.remove();
    home.remove();
  });

  test('turn keys under steady mail, while Redis is emptied and a milter killed: nothing unsigned or unverifiable', {
    timeout: 120_000,
  }, async () => {
    await using redis = await startRedis();
    const keyrings = { redis: { servers: [`127.0.0.1:${redis.port}`], timeout: '1s' } };
    const { dnsPort, overlap, rewrite } = await writeFastConfig(home, domain, {
      keyrings,
      roles: { milter: false },
    });
    rewrite({ rotateEvery: '1h' });
    await keyturnJson(['domain', 'add', domain], { cwd: home.path });
    const start = async (args: readonly string[], cwd: string) => {
      const started = await startKeyturn(args, { cwd, ready: (read) => read().includes('"ready"') });
      processes.push(started);
      return started;
    };
    await start(['serve'], home.path);
    await waitFor(async () => (await redis.client.exists('keyturn:{keyrings}:meta')) === 1, {
      what: 'Redis to be filled',
    });
    for (const { name, dir } of folders) {
      copyFileSync(home.join('data/keyrings.key'), dir.join('keyrings.key'));
      const settings = {
        data: '.',
        instance: name,
        roles: { reconcile: false, dns: false },
        keyrings,
        milter: { listen: [`unix:${dir.join('milter.sock')}`] },
        log: { format: 'json' },
      };
      writeFileSync(dir.join('keyturn.yaml'), stringify(settings));
    }
    const milters = new Map<string, RunningServer>();
    for (const { name, dir } of folders) milters.set(name, await start(['serve'], dir.path));

    const show = () => keyturnJson<Shown>(['domain', 'show', domain], { cwd: home.path });
    const count = ({ keys }: Shown, state: string) => keys.filter((key) => key.state === state).length;
    const isSettled = (shown: Shown) =>
      count(shown, 'active') === 2 &&
      shown.signers.length === 2 &&
      shown.signers.every((signer) => signer.acknowledgedGeneration === shown.domain.generation);
    await waitFor(async () => isSettled(await show()), {
      within: 40_000,
      every: 250,
      what: 'both milters to be ready',
    });
    await waitFor(async () => count(await show(), 'standby') === 2, { every: 250, what: 'the standby keys' });

    const traffic = folders.map(({ dir }) =>
      startTraffic({
        socket: `unix:${dir.join('milter.sock')}`,
        domain,
        receivers: [createCachingResolver({ upstream: [{ apex: domain, servers: [`127.0.0.1:${dnsPort}`] }] })],
        every: 100,
        againAfter: overlap * 0.4,
        algorithms: ['rsa-sha256', 'ed25519-sha256'],
      }),
    );
    await keyturnJson(['key', 'rotate', domain], { cwd: home.path });
    await redis.flush();
    const left = async () =>
      (await show()).keys.filter(({ state }) => !['active', 'standby', 'created', 'published'].includes(state));
    await waitFor(async () => (await left()).length === 2, { within: 30_000, every: 200, what: 'the turn' });
    await redis.restart();
    await waitFor(async () => count(await show(), 'removed') === 2, {
      within: 60_000,
      every: 250,
      what: 'the rotation to be finished',
    });
    for (const { stop, failures } of traffic) {
      const counts = await stop();
      expect(failures).toEqual([]);
      expect(counts).toMatchObject({ unsigned: 0, unverifiable: 0, putOff: 0 });
      expect(counts.verified).toBe(2 * counts.messages);
    }

    // One that is dead holds every withdrawal up; it starts again from its disk, and everything goes on.
    const [{ dir: away }] = folders as [(typeof folders)[0]];
    milters.get('mx1')?.kill('SIGKILL');
    await milters.get('mx1')?.exited;
    await keyturnJson(['key', 'rotate', domain], { cwd: home.path });
    await waitFor(async () => (await show()).signers.some((s) => s.id === 'mx2' && s.acknowledgedGeneration >= 2), {
      within: 30_000,
      every: 250,
      what: 'the other milter to go on',
    });
    const before = await show();
    expect(count(before, 'removed')).toBe(2);
    await start(['serve'], away.path);
    await waitFor(async () => isSettled(await show()), {
      within: 30_000,
      every: 250,
      what: 'both to be in step again',
    });
    const check = ['milter', '--check', '--from', `test@${domain}`, '--socket', `unix:${away.join('milter.sock')}`];
    expect((await keyturn(check, { cwd: away.path })).code).toBe(0);
  });
});

import { afterAll, describe, expect, test } from 'vitest';
import { startTraffic } from '../../src/control/rehearsal/traffic.ts';
import { createCachingResolver } from '../../src/dns/lookup/cache.ts';
import { keyturn, keyturnJson, startKeyturn } from '../support/keyturn.ts';
import { type RunningServer, waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { writeFastConfig } from './fast-config.ts';

interface Shown {
  readonly domain: { readonly generation: number };
  readonly keys: ReadonlyArray<{ readonly selector: string; readonly state: string; readonly algorithm: string }>;
  readonly signers: ReadonlyArray<{ readonly id: string; readonly acknowledgedGeneration: number }>;
}

const domain = 'example.test';

describe('two servers on one store', () => {
  const [first, second] = [tempDir('first'), tempDir('second')];
  const servers: RunningServer[] = [];
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    first.remove();
    second.remove();
  });

  test('share the work, wait for both milters, and lose no message of either', { timeout: 120_000 }, async () => {
    const data = first.join('data');
    const a = await writeFastConfig(first, domain, { data });
    const b = await writeFastConfig(second, domain, { data, instance: 'milter-2' });
    for (const config of [a, b]) config.rewrite({ rotateEvery: '1h' });
    const start = async (cwd: string) => {
      const started = await startKeyturn(['serve'], { cwd, ready: (read) => read().includes('"ready"') });
      servers.push(started);
      return started;
    };
    const show = () => keyturnJson<Shown>(['domain', 'show', domain], { cwd: first.path });
    const count = ({ keys }: Shown, state: string) => keys.filter((key) => key.state === state).length;
    const ready = (shown: Shown) =>
      count(shown, 'active') === 2 &&
      count(shown, 'standby') === 2 &&
      shown.signers.length === 2 &&
      shown.signers.every((signer) => signer.acknowledgedGeneration === shown.domain.generation);

    await keyturnJson(['domain', 'add', domain], { cwd: first.path });
    await start(first.path);
    await start(second.path);
    await waitFor(async () => ready(await show()), { within: 40_000, every: 250, what: 'both signers to be ready' });

    const traffic = [a, b].map(({ socket, dnsPort, overlap }) =>
      startTraffic({
        socket,
        domain,
        receivers: [createCachingResolver({ upstream: [{ apex: domain, servers: [`127.0.0.1:${dnsPort}`] }] })],
        every: 100,
        againAfter: overlap * 0.4,
        algorithms: ['rsa-sha256', 'ed25519-sha256'],
      }),
    );
    await keyturnJson(['key', 'rotate', domain], { cwd: second.path });
    await waitFor(async () => (await show()).keys.filter(({ state }) => state === 'removed').length === 2, {
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
    const shown = await show();
    expect(ready(shown)).toBe(true);
    // Two of each kind at the start and one made in the rotation: nothing was made twice.
    expect(shown.keys.filter(({ algorithm }) => algorithm === 'rsa')).toHaveLength(3);
    expect(shown.keys.filter(({ algorithm }) => algorithm === 'ed25519')).toHaveLength(3);
    expect((await keyturn(['audit', 'verify'], { cwd: first.path })).code).toBe(0);
  });

  test('one that looks and one that only signs: the signer follows, tests its keys, and loses no message', {
    timeout: 120_000,
  }, async () => {
    using looking = tempDir('looking');
    using signing = tempDir('signing');
    const data = looking.join('data');
    const a = await writeFastConfig(looking, domain, { data, roles: { milter: false }, instance: 'core' });
    const b = await writeFastConfig(signing, domain, {
      data,
      roles: { reconcile: false, dns: false },
      instance: 'edge',
    });
    for (const config of [a, b]) config.rewrite({ rotateEvery: '1h' });
    await using core = await startKeyturn(['serve'], {
      cwd: looking.path,
      ready: (read) => read().includes('"ready"'),
    });
    await using edge = await startKeyturn(['serve'], {
      cwd: signing.path,
      ready: (read) => read().includes('"ready"'),
    });
    await keyturnJson(['domain', 'add', domain], { cwd: looking.path });
    const show = () => keyturnJson<Shown>(['domain', 'show', domain], { cwd: looking.path });
    const count = ({ keys }: Shown, state: string) => keys.filter((key) => key.state === state).length;
    await waitFor(async () => count(await show(), 'active') === 2 && count(await show(), 'standby') === 2, {
      within: 40_000,
      every: 250,
      what: `the first keys; ${core.output().slice(-2000)} ${edge.output().slice(-2000)}`,
    });
    const traffic = startTraffic({
      socket: b.socket,
      domain,
      receivers: [createCachingResolver({ upstream: [{ apex: domain, servers: [`127.0.0.1:${a.dnsPort}`] }] })],
      every: 100,
      againAfter: b.overlap * 0.4,
      algorithms: ['rsa-sha256', 'ed25519-sha256'],
    });
    await keyturnJson(['key', 'rotate', domain], { cwd: looking.path });
    await waitFor(async () => count(await show(), 'removed') === 2, {
      within: 60_000,
      every: 250,
      what: 'the rotation',
    });
    const counts = await traffic.stop();
    expect(traffic.failures).toEqual([]);
    expect(counts).toMatchObject({ unsigned: 0, unverifiable: 0, putOff: 0 });
    expect((await show()).signers.map(({ id }) => id)).toEqual(['edge']);
  });

  test('under one name: the second does not start, and says what to do', async () => {
    const dir = tempDir('same-name');
    try {
      await writeFastConfig(dir, domain, { data: first.join('data') });
      const refused = await keyturn(['serve'], { cwd: dir.path });
      expect(refused.code).toBe(3);
      expect(refused.stderr).toMatch(/another process runs as "milter".*instance:/);
    } finally {
      dir.remove();
    }
  });
});

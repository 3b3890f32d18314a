import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { startTraffic } from '../../src/control/rehearsal/traffic.ts';
import { createCachingResolver } from '../../src/dns/lookup/cache.ts';
import { keyturn, keyturnJson, startKeyturn } from '../support/keyturn.ts';
import { type RunningServer, waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { writeFastConfig } from './fast-config.ts';

interface Entry {
  readonly kind: string;
  readonly details: { readonly leave?: readonly string[]; readonly enter?: readonly string[] };
}

interface Shown {
  readonly keys: ReadonlyArray<{ readonly selector: string; readonly state: string; readonly algorithm: string }>;
  readonly conditions: ReadonlyArray<{ readonly reason: string; readonly severity: string; readonly message: string }>;
}

const kills = 20;
const domain = 'example.test';

describe('kill -9 at any moment', () => {
  const dir = tempDir('kill');
  let server: RunningServer | undefined;
  afterAll(async () => {
    await server?.stop();
    dir.remove();
  });

  test(`${kills} times through rotations, under mail: nothing unsigned, nothing unverifiable, nothing lost`, {
    timeout: 300_000,
  }, async () => {
    const { dnsPort, socket, overlap, rewrite } = await writeFastConfig(dir, domain);
    let output = '';
    const start = async (ready = true): Promise<RunningServer> => {
      const isReady = (read: () => string) => !ready || read().includes('"ready"');
      server = await startKeyturn(['serve'], { cwd: dir.path, ready: isReady });
      return server;
    };
    const show = () => keyturnJson<Shown>(['domain', 'show', domain], { cwd: dir.path });
    const states = async (state: string) => (await show()).keys.filter((key) => key.state === state);

    let running = await start();
    await keyturnJson(['domain', 'add', domain], { cwd: dir.path });
    await waitFor(async () => (await states('active')).length === 2 && (await states('standby')).length === 2, {
      within: 60_000,
      every: 200,
      what: `the first keys; ${running.output()}`,
    });

    const servers = [`127.0.0.1:${dnsPort}`];
    const receivers = [0, 1].map(() =>
      createCachingResolver({ upstream: [{ apex: domain, servers }], timeoutMs: 300 }),
    );
    const traffic = startTraffic({
      socket,
      domain,
      receivers,
      every: 60,
      againAfter: overlap * 0.4,
      algorithms: ['rsa-sha256', 'ed25519-sha256'],
    });
    for (let kill = 0; kill < kills; kill++) {
      // Anywhere from the start-up to the middle of a rotation.
      await sleep(Math.random() ** 2 * 1600);
      running.kill('SIGKILL');
      await running.exited;
      output += running.output();
      running = await start(kill % 3 !== 0);
    }
    running.kill('SIGKILL');
    await running.exited;
    output += running.output();
    running = await start();
    // Left in peace, a rotation that is asked for now comes to its end, and so do all that were interrupted.
    await running.stop();
    expect(await running.exited).toBe(0);
    output += running.output();
    rewrite({ rotateEvery: '1h' });
    running = await start();
    await keyturnJson(['key', 'rotate', domain], { cwd: dir.path });
    await waitFor(
      async () => {
        const { keys, conditions } = await show();
        const count = (state: string) => keys.filter((key) => key.state === state).length;
        const settled = count('active') === 2 && count('standby') === 2 && count('retiring') + count('revoked') === 0;
        return settled && conditions.length === 0;
      },
      { within: 90_000, every: 250, what: 'every rotation to be finished' },
    );
    const counts = await traffic.stop();
    output += running.output();

    expect(traffic.failures).toEqual([]);
    expect(counts).toMatchObject({ unsigned: 0, unverifiable: 0 });
    expect(counts.signed).toBe(counts.messages);
    expect(counts.verified).toBe(2 * counts.messages);
    expect(counts.messages).toBeGreaterThan(150);
    expect(counts.putOff).toBeGreaterThan(0);

    const verdict = await keyturn(['audit', 'verify'], { cwd: dir.path });
    expect(verdict.code, verdict.stdout + verdict.stderr).toBe(0);
    const { entries } = await keyturnJson<{ entries: Entry[] }>(
      ['audit', 'list', '--oldest-first', '--limit', '1000'],
      { cwd: dir.path },
    );
    const left = entries.filter(({ kind, details }) => kind === 'active-changed' && (details.leave?.length ?? 0) > 0);
    expect(left.length).toBeGreaterThanOrEqual(3);
    expect(traffic.selectors.size).toBeGreaterThanOrEqual(6);
    expect(output).not.toMatch(/PRIVATE KEY|rule-would-break|step-failed|should not have happened/);
  });
});

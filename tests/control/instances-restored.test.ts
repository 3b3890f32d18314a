/** A store that is put back from an old backup: noticed before anything follows from it, and accepted only as far as DNS bears it out. */
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTraffic } from '../../src/control/rehearsal/traffic.ts';
import { createCachingResolver } from '../../src/dns/lookup/cache.ts';
import { startBind } from '../support/bind.ts';
import { type DnsServer, tsigKey } from '../support/dns-server.ts';
import { keyturn, keyturnJson, startKeyturn } from '../support/keyturn.ts';
import { need } from '../support/need.ts';
import { type RunningServer, waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { writeFastConfig } from './fast-config.ts';

interface Key {
  readonly selector: string;
  readonly state: string;
  readonly algorithm: string;
  readonly ownership: string;
  readonly compromisedAt: number | null;
}
interface Shown {
  readonly domain: { readonly generation: number };
  readonly keys: readonly Key[];
}
interface Report {
  readonly accepted: boolean;
  readonly givenUp: ReadonlyArray<{ readonly selector: string; readonly found: string }>;
  readonly bare: readonly string[];
  readonly silent: readonly string[];
}

const domain = 'example.test';

describe.skipIf(!need('named', 'bind9'))('a store put back from an old backup', () => {
  const dir = tempDir('restored');
  const key = tsigKey('keyturn');
  let bind: DnsServer;
  let server: RunningServer | undefined;
  beforeAll(async () => {
    bind = await startBind({ zones: [{ apex: domain, update: [{ key, scope: 'domainkeys' }] }] });
  });
  afterAll(async () => {
    await server?.stop();
    await bind?.stop();
    dir.remove();
  });

  test('stops the server, and goes on after an operator has accepted it, without a key that was withdrawn', {
    timeout: 180_000,
  }, async () => {
    const dns = `127.0.0.1:${bind.port}`;
    const { socket, overlap, rewrite } = await writeFastConfig(dir, domain, {
      dns: { zones: [] },
      publishers: [{ name: 'bind', kind: 'rfc2136', servers: [dns], key }],
      proof: { zones: [{ apex: domain, servers: [dns] }], timeout: '2s' },
    });
    rewrite({ rotateEvery: '1h' });
    const cwd = dir.path;
    const start = async () => {
      server = await startKeyturn(['serve'], { cwd, ready: (read) => read().includes('"ready"') });
      return server;
    };
    const show = () => keyturnJson<Shown>(['domain', 'show', domain], { cwd });
    const selectors = ({ keys }: Shown, state: string) =>
      keys.filter((each) => each.state === state).map(({ selector }) => selector);
    const settled = async () => {
      const shown = await show();
      return selectors(shown, 'active').length === 2 && selectors(shown, 'standby').length === 2;
    };
    const entries = async () =>
      (await keyturnJson<{ journal: { entries: number } }>(['store', 'status'], { cwd })).journal.entries;

    let running = await start();
    await keyturnJson(['domain', 'add', domain], { cwd });
    await waitFor(settled, { within: 40_000, every: 200, what: 'the first keys' });
    const before = await show();
    const file = dir.join('data', 'keyturn.sqlite');
    const backup = dir.join('backup.sqlite');
    const open = new Database(file);
    open.exec(`VACUUM INTO '${backup}'`);
    open.close();

    // Meanwhile the keys that sign are replaced and withdrawn, and new ones are made, which the backup does not know.
    await keyturnJson(['key', 'rotate', domain], { cwd });
    const withdrawn = selectors(before, 'active');
    await waitFor(
      async () => {
        const shown = await show();
        return withdrawn.every((each) => selectors(shown, 'removed').includes(each)) && (await settled());
      },
      { within: 60_000, every: 200, what: 'the rotation' },
    );
    const after = await show();
    const unknown = selectors(after, 'standby');
    await running.stop();

    for (const suffix of ['', '-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true });
    copyFileSync(backup, file);
    const refused = await keyturn(['serve'], { cwd });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/the store is older .* are missing.*keyturn store accept-restore/s);
    expect(existsSync(dir.join('milter.sock'))).toBe(false);

    const had = await entries();
    const dry = await keyturnJson<Report>(['store', 'accept-restore', '--dry-run'], { cwd });
    expect(new Set(dry.givenUp.map(({ selector }) => selector))).toEqual(new Set(withdrawn));
    expect(dry).toMatchObject({ accepted: false, bare: [`${domain}/default`], silent: [] });
    expect(await entries()).toBe(had);

    // While DNS says nothing, nothing is accepted.
    await bind.freeze();
    const silent = await keyturn(['store', 'accept-restore', '--json'], { cwd });
    bind.thaw();
    expect(silent.code).toBe(1);
    expect(JSON.parse(silent.stdout)).toMatchObject({ accepted: false, silent: [domain] });

    const report = await keyturnJson<Report>(['store', 'accept-restore'], { cwd });
    expect(report).toMatchObject({ accepted: true, bare: [`${domain}/default`] });
    const accepted = await show();
    expect(selectors(accepted, 'active')).toEqual([]);
    expect(accepted.domain.generation).toBeGreaterThan(after.domain.generation);

    running = await start();
    const traffic = startTraffic({
      socket,
      domain,
      receivers: [createCachingResolver({ upstream: [{ apex: domain, servers: [dns] }] })],
      every: 60,
      againAfter: overlap * 0.4,
      algorithms: ['rsa-sha256'],
    });
    await waitFor(settled, { within: 60_000, every: 200, what: `keys; ${running.output().slice(-3000)}` });
    await waitFor(() => traffic.selectors.size >= 2 && traffic.counts().messages > 20, { what: 'signed mail' });
    const counts = await traffic.stop();
    expect(traffic.failures).toEqual([]);
    expect(counts).toMatchObject({ unsigned: 0, unverifiable: 0 });
    for (const each of withdrawn) expect(traffic.selectors.has(each)).toBe(false);

    // What was in waiting when the backup was made, and stood in DNS ever since, signs; what the backup did not know is left alone.
    const now = await show();
    expect(new Set(selectors(now, 'active'))).toEqual(new Set(selectors(after, 'active')));
    const foreign = now.keys.filter(({ ownership }) => ownership === 'external').map(({ selector }) => selector);
    expect(new Set(foreign)).toEqual(new Set(unknown));
    for (const each of withdrawn)
      expect(now.keys.find(({ selector }) => selector === each)?.compromisedAt).not.toBeNull();

    // Accepted once, it starts again and again.
    await running.stop();
    running = await start();
    expect((await keyturn(['audit', 'verify'], { cwd })).code).toBe(0);
    expect(running.output()).not.toMatch(/PRIVATE KEY|rule-would-break|step-failed/);
  });
});

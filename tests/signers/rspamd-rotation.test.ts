import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeFastConfig } from '../control/fast-config.ts';
import { keyturn, keyturnJson, startKeyturn } from '../support/keyturn.ts';
import { need } from '../support/need.ts';
import { accepts, freePort } from '../support/ports.ts';
import { type RunningServer, waitFor } from '../support/processes.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { needRspamd, type RspamdServer, startRspamd } from '../support/rspamd.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { needDkimpy, startDkimpy, type Verifier } from '../support/verifiers.ts';
import { mailcowSigning } from './mailcow-rspamd.ts';
import { docsGuard } from './rspamd-guard.ts';
import { sendThrough } from './rspamd-world.ts';

const zone = 'keys.test';
const needed = [needRspamd(), need('redis-server', 'redis-server'), needDkimpy()].every(Boolean);

/** One rspamd with mail that never stops; every message is verified as it leaves. */
interface Path {
  readonly domain: string;
  readonly rspamd: RspamdServer;
  readonly tally: {
    passed: number;
    putOff: number;
    away: number;
    wrong: string[];
    selectors: Set<string>;
  };
}

describe.skipIf(!needed)('rspamd through rotations, its keys from `keyturn serve`', () => {
  const password = 'the-password-of-redis';
  const token = 'a-token-of-the-mail-server';
  const flowing = new AbortController();
  const paths: Path[] = [];
  const flows: Promise<void>[] = [];
  let dir: TempDir;
  let redis: RedisServer;
  let server: RunningServer;
  let serve: () => Promise<RunningServer>;
  let output = '';
  let starts = 0;
  let dnsPort: number;
  const verifiers: Verifier[] = [];

  beforeAll(async () => {
    dir = tempDir('rspamd-rotation');
    redis = await startRedis({ password, persistent: true });
    const vaultPort = await freePort();
    const guard = docsGuard();
    const vault = await startRspamd({
      signing: `use_vault = true; vault_url = "http://127.0.0.1:${vaultPort}"; vault_token = "${token}"; use_esld = false;`,
      guard,
    });
    paths.push(path(`vault.${zone}`, vault));
    const mailcow = await startRspamd({ signing: mailcowSigning(redis.port, password), guard });
    paths.push(path(`mailcow.${zone}`, mailcow));
    const config = await writeFastConfig(dir, zone, {
      roles: { milter: false },
      signers: [
        {
          name: 'vault',
          kind: 'rspamd-vault',
          listen: [`inet:127.0.0.1:${vaultPort}`],
          token,
          signs: { domains: [`vault.${zone}`] },
          test: { url: vault.url, timeout: '2s' },
        },
        {
          name: 'mailcow',
          kind: 'mailcow-redis',
          redis: { servers: [`127.0.0.1:${redis.port}`], password, timeout: '2s' },
          signs: { domains: [`mailcow.${zone}`] },
          watchEvery: '100ms',
          test: { url: mailcow.url, timeout: '2s' },
        },
      ],
    });
    dnsPort = config.dnsPort;
    serve = () =>
      startKeyturn(['serve'], {
        cwd: dir.path,
        ready: async () => (await accepts(dnsPort)) && (await accepts(vaultPort)),
      });
    server = await serve();
    for (const { domain } of paths) {
      const added = await keyturn(['domain', 'add', domain], { cwd: dir.path });
      expect(added.code, added.stderr).toBe(0);
    }
  });

  afterAll(async () => {
    flowing.abort();
    await Promise.all(flows);
    await server?.stop();
    for (const verifier of verifiers) await verifier.stop();
    for (const { rspamd } of paths) await rspamd.stop();
    await redis?.[Symbol.asyncDispose]();
    dir?.remove();
  });

  function path(domain: string, rspamd: RspamdServer): Path {
    return { domain, rspamd, tally: { passed: 0, putOff: 0, away: 0, wrong: [], selectors: new Set() } };
  }

  async function flow({ domain, rspamd, tally }: Path): Promise<void> {
    const verifier = startDkimpy(dnsPort);
    verifiers.push(verifier);
    while (!flowing.signal.aborted) {
      await sleep(40);
      let message: Buffer | null;
      try {
        message = await sendThrough(rspamd, domain);
      } catch {
        // The mail server keeps it: rspamd is away.
        tally.away += 1;
        continue;
      }
      if (message === null) {
        tally.putOff += 1;
        continue;
      }
      const verdicts = await verify(verifier, message);
      const bad = verdicts.filter(({ passed }) => !passed);
      if (verdicts.length === 0) tally.wrong.push('unsigned');
      for (const { selector, detail } of bad) tally.wrong.push(`${selector}: ${detail}`);
      if (verdicts.length > 0 && bad.length === 0) tally.passed += 1;
      for (const { selector } of verdicts) tally.selectors.add(selector);
    }
  }

  /** The name server is Keyturn's own: what was sent while it was away is verified when it is back, as a receiver would do it. */
  async function verify(verifier: Verifier, message: Buffer): ReturnType<Verifier['verify']> {
    for (;;) {
      const started = starts;
      await waitFor(() => accepts(dnsPort), { what: 'the name server' });
      const verdicts = await verifier.verify(message);
      if (verdicts.every(({ passed }) => passed) || (started === starts && server.isRunning())) return verdicts;
    }
  }

  const generation = async (domain: string) =>
    (await keyturnJson<{ domain: { generation: number } }>(['domain', 'show', domain], { cwd: dir.path })).domain
      .generation;

  test('the first keys become active, and mail is signed with them', async () => {
    await waitFor(
      async () => {
        for (const { domain } of paths) if ((await generation(domain)) === 0) return false;
        return true;
      },
      { within: 40_000, every: 250, what: 'the first activation' },
    );
    await waitFor(async () => (await redis.client.hlen('DKIM_SELECTORS')) === 1, { what: 'mailcow’s selector' });
    await waitFor(async () => (await sendThrough(paths[0]?.rspamd as RspamdServer, `vault.${zone}`)) !== null, {
      what: 'the first signed message',
    });
    for (const each of paths) flows.push(flow(each));
    await waitFor(() => paths.every(({ tally }) => tally.passed > 5), { what: 'mail to be signed' });
  });

  test('a rspamd that is killed at each switch finds the new keys when it is back', async () => {
    for (const { domain, rspamd } of paths) {
      const before = await generation(domain);
      await waitFor(async () => (await generation(domain)) > before, { within: 30_000, every: 50, what: 'the switch' });
      await rspamd.kill();
      await sleep(300);
      await rspamd.start();
    }
  }, 90_000);

  test('Redis restarted, then flushed: everything is put back, and rotations go on', async () => {
    const domain = `mailcow.${zone}`;
    await redis.restart();
    await waitFor(async () => (await redis.client.hlen('DKIM_SELECTORS')) === 1, { what: 'Redis' });
    await redis.flush();
    await waitFor(async () => (await redis.client.hlen('DKIM_SELECTORS')) === 1, { what: 'the keys to be back' });
    const before = await generation(domain);
    await waitFor(async () => (await generation(domain)) > before, {
      within: 40_000,
      every: 250,
      what: 'another switch',
    });
  });

  test('Keyturn killed: mailcow signs on, mail of the endpoint waits, and goes on when it is back', async () => {
    const [vault, mailcow] = paths as [Path, Path];
    const before = paths.map(({ tally }) => ({ ...tally }));
    server.kill('SIGKILL');
    await server.exited;
    output += server.output();
    await waitFor(() => vault.tally.putOff > (before[0]?.putOff ?? 0), { what: 'mail to be put off' });
    const signed = await sendThrough(mailcow.rspamd, mailcow.domain);
    expect(signed).not.toBeNull();
    server = await serve();
    starts += 1;
    const since = paths.map(({ tally }) => tally.passed);
    await waitFor(() => paths.every(({ tally }, index) => tally.passed > (since[index] ?? 0) + 3), {
      what: 'mail to be signed again',
    });
    const [verifier] = verifiers;
    const verdicts = verifier === undefined || signed === null ? [] : await verify(verifier, signed);
    expect(verdicts.map(({ passed }) => passed)).toEqual([true]);
  });

  test('no message left unsigned, or with a signature that does not verify', () => {
    for (const { tally, domain } of paths) {
      expect(tally.wrong, domain).toEqual([]);
      expect(tally.passed, domain).toBeGreaterThan(50);
      // More than one set of keys has signed.
      expect(tally.selectors.size, domain).toBeGreaterThan(2);
    }
    output += server.output();
    for (const secret of [password, token, '-----BEGIN']) expect(output).not.toContain(secret);
  });
});

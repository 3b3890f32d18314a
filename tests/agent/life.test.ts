import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { pinOfFile } from '../../src/control/agent/follow/link.ts';
import { loadConfig } from '../../src/control/config/load.ts';
import { openStore } from '../../src/control/open-store.ts';
import { startTraffic, type Traffic } from '../../src/control/rehearsal/traffic.ts';
import { createCachingResolver } from '../../src/dns/lookup/cache.ts';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { writeFastConfig } from '../control/fast-config.ts';
import { openDkimFolder } from '../signers/opendkim-process.ts';
import { keyturn, keyturnJson, startKeyturn } from '../support/keyturn.ts';
import { need } from '../support/need.ts';
import { freePort } from '../support/ports.ts';
import { type RunningServer, waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { selfSigned } from './certificates.ts';

const domain = 'example.test';
const tools = [need('openssl', 'openssl'), need('opendkim', 'opendkim')].every(Boolean);

interface Shown {
  readonly keys: ReadonlyArray<{ readonly selector: string; readonly state: string }>;
  readonly signers: ReadonlyArray<{ readonly id: string; readonly acknowledgedGeneration: number }>;
  readonly conditions: ReadonlyArray<{ readonly reason: string; readonly message: string }>;
}

interface Enrolled {
  readonly token: string;
  readonly tokenHash: string;
  readonly entry: string;
  readonly agent: string;
}

/** Pieces of a private key, in the forms in which it could be written. */
function traces(pkcs8: Uint8Array): Buffer[] {
  const middle = Buffer.from(pkcs8).subarray(Math.floor(pkcs8.length / 2));
  const raw = [0, 1, 2].map((offset) => middle.subarray(offset, offset + 24));
  return [...raw, ...raw.map((piece) => Buffer.from(piece.toString('base64').slice(0, 28)))];
}

describe.skipIf(!tools)('mail servers elsewhere', () => {
  const dir = tempDir('agents');
  const running = new Map<string, RunningServer>();
  let output = '';
  afterAll(async () => {
    for (const server of running.values()) await server.stop();
    dir.remove();
  });

  const end = async (name: string, signal: NodeJS.Signals): Promise<void> => {
    const server = running.get(name);
    server?.kill(signal);
    await server?.exited;
    output += server?.output() ?? '';
    running.delete(name);
  };
  const start = async (name: string, args: readonly string[], ready: string): Promise<void> => {
    running.set(name, await startKeyturn(args, { cwd: dir.path, ready: (read) => read().includes(ready) }));
  };

  test('sign through rotations, whatever is killed: two built-in milters and an OpenDKIM', {
    timeout: 180_000,
  }, async () => {
    const { cert, key } = await selfSigned(dir, 'localhost');
    const port = await freePort();
    const agents = { listen: [`127.0.0.1:${port}`], tls: { cert, key } };
    // As an administrator does it: the agents are made known first, then what `enroll` prints is put into both files.
    await writeFastConfig(dir, domain, { agents, roles: { milter: false } });
    const enroll = (name: string) =>
      keyturnJson<Enrolled>(['agent', 'enroll', name, '--url', `https://127.0.0.1:${port}`], { cwd: dir.path });
    const [mx1, mx2, mx3] = await Promise.all(['mx1', 'mx2', 'mx3'].map(enroll));
    if (mx1 === undefined || mx2 === undefined || mx3 === undefined) throw new Error('not enrolled');
    const signers = [
      { kind: 'agent', name: 'mx1', tokenHash: mx1.tokenHash },
      { kind: 'agent', name: 'mx2', tokenHash: mx2.tokenHash },
      { kind: 'agent', name: 'mx3', tokenHash: mx3.tokenHash, algorithms: ['rsa'], atMost: 2 },
    ];
    const { dnsPort, overlap, rewrite } = await writeFastConfig(dir, domain, {
      agents,
      roles: { milter: false },
      signers,
    });

    const dkimDir = tempDir('opendkim');
    const folder = openDkimFolder(dkimDir);
    running.set('opendkim', await folder.start());
    const control = (token: string) => ({ url: `https://127.0.0.1:${port}`, token, pin: pinOfFile(cert) });
    const writeAgent = (name: string, token: string, its: object) =>
      writeFileSync(
        dir.join(`${name}.yaml`),
        stringify({
          control: control(token),
          data: `data-${name}`,
          inspectEvery: '1s',
          log: { format: 'json' },
          ...its,
        }),
        { mode: 0o600 },
      );
    const socket = (name: string) => `unix:${dir.join(`${name}.sock`)}`;
    writeAgent('mx1', mx1.token, { milter: { listen: [socket('mx1')] } });
    writeAgent('mx2', mx2.token, { milter: { listen: [socket('mx2')] } });
    const { keys, keyTable, signingTable, pidFile, milter } = folder;
    writeAgent('mx3', mx3.token, {
      signers: [
        {
          kind: 'opendkim',
          name: 'dkim',
          keys,
          keyTable,
          signingTable,
          reload: { signal: 'SIGUSR1', pidFile, program: 'opendkim' },
          test: { milter, timeout: '2s' },
        },
      ],
    });
    const serve = () => start('serve', ['serve'], '"ready"');
    const agent = (name: string, ready = '"ready"') => start(name, ['agent', '--config', `${name}.yaml`], ready);
    const show = () => keyturnJson<Shown>(['domain', 'show', domain], { cwd: dir.path });

    await serve();
    await keyturnJson(['domain', 'add', domain], { cwd: dir.path });
    await Promise.all(['mx1', 'mx2', 'mx3'].map((name) => agent(name)));
    const count = ({ keys: all }: Shown, state: string) => all.filter((each) => each.state === state).length;
    await waitFor(
      async () => {
        const shown = await show();
        const generation = Math.max(...shown.signers.map((signer) => signer.acknowledgedGeneration));
        return (
          count(shown, 'active') === 2 &&
          generation > 0 &&
          shown.signers.every((signer) => signer.acknowledgedGeneration === generation)
        );
      },
      { within: 60_000, every: 700, what: 'the first keys at all three agents' },
    );

    const receivers = [0, 1].map(() =>
      createCachingResolver({ upstream: [{ apex: domain, servers: [`127.0.0.1:${dnsPort}`] }], timeoutMs: 300 }),
    );
    const common = { domain, receivers, every: 100, againAfter: overlap * 0.4 };
    const both = ['rsa-sha256', 'ed25519-sha256'];
    const traffic: Traffic[] = [
      startTraffic({ ...common, socket: socket('mx1'), algorithms: both }),
      startTraffic({ ...common, socket: socket('mx2'), algorithms: both }),
      startTraffic({ ...common, socket: milter, algorithms: ['rsa-sha256'], connectAnew: true }),
    ];

    await sleep(1500);
    await end('mx1', 'SIGKILL');
    await agent('mx1');
    // For longer than a key may rest in this policy: agents sign on, and one starts without the control plane.
    await end('serve', 'SIGKILL');
    const dnsWasAway = performance.now();
    await end('mx2', 'SIGKILL');
    await agent('mx2');
    let status = await keyturn(['agent', 'status', '--config', 'mx2.yaml', '--json'], { cwd: dir.path });
    await waitFor(
      async () => {
        status = await keyturn(['agent', 'status', '--config', 'mx2.yaml', '--json'], { cwd: dir.path });
        return JSON.parse(status.stdout).behind === 0;
      },
      { within: 5000, every: 250, what: 'mx2 to have given its milter what it has' },
    );
    await sleep(Math.max(0, 5000 - (performance.now() - dnsWasAway)));
    await serve();
    await sleep(1000);
    await end('mx3', 'SIGKILL');
    await agent('mx3');
    await sleep(1500);

    // Left in peace, a rotation that is asked for now comes to its end everywhere.
    await end('serve', 'SIGTERM');
    rewrite({ rotateEvery: '1h' });
    await serve();
    await keyturnJson(['key', 'rotate', domain], { cwd: dir.path });
    let last = '';
    await waitFor(
      async () => {
        const shown = await show();
        last = JSON.stringify(shown.conditions.map(({ reason, message }) => `${reason}: ${message}`));
        return (
          count(shown, 'active') === 2 &&
          count(shown, 'standby') === 2 &&
          count(shown, 'retiring') === 0 &&
          shown.conditions.length === 0
        );
      },
      { within: 60_000, every: 700, what: 'the rotation to be finished' },
    ).catch((error: unknown) => {
      throw new Error(
        `${String(error)}; ${last}\n${[...running].map(([name, server]) => `${name}: ${server.output().slice(-2000)}`).join('\n')}`,
      );
    });
    const counts = await Promise.all(traffic.map((each) => each.stop()));

    for (const [index, each] of counts.entries()) {
      expect(traffic[index]?.failures).toEqual([]);
      expect(each).toMatchObject({ unsigned: 0, unverifiable: 0 });
      expect(each.signed).toBe(each.messages);
      expect(each.messages).toBeGreaterThan(50);
      // Keys came and went meanwhile, at each of them.
      expect(traffic[index]?.selectors.size).toBeGreaterThanOrEqual(index === 2 ? 2 : 4);
    }
    expect(status.code, status.stdout + status.stderr).toBe(1);
    expect(JSON.parse(status.stdout)).toMatchObject({ running: true, connection: 'down', domains: 1, behind: 0 });

    const journal = await keyturn(['audit', 'list', '--limit', '1000', '--json'], { cwd: dir.path });
    expect(journal.stdout).toContain('"source":"agent"');
    const verdict = await keyturn(['audit', 'verify'], { cwd: dir.path });
    expect(verdict.code, verdict.stdout + verdict.stderr).toBe(0);
    for (const name of ['mx1', 'mx2', 'mx3', 'serve']) await end(name, 'SIGTERM');
    await end('opendkim', 'SIGKILL');
    expect(output).not.toMatch(/rule-would-break|step-failed|agent-call-failed|should not have happened/);

    // Nothing that was written, by whomever, holds a private key or a token in the clear.
    const places = new Map<string, Uint8Array>([['output', Buffer.from(output + journal.stdout + status.stdout)]]);
    for (const folderName of ['data', 'data-mx1', 'data-mx2', 'data-mx3']) {
      for (const file of readdirSync(dir.join(folderName))) {
        const path = dir.join(folderName, file);
        if (existsSync(path) && !/^kek$|signers/.test(file)) places.set(`${folderName}/${file}`, readFileSync(path));
      }
    }
    const loaded = loadConfig(dir.join('keyturn.yaml'), { env: {}, workingFolder: dir.path });
    await using store = await openStore(loaded, {
      env: {},
      clock: systemClock,
      actor: { name: 'test', source: 'cli' },
    });
    const secrets: Uint8Array[] = [mx1, mx2, mx3].map(({ token }) => Buffer.from(token));
    for (const { id } of (await store.listKeys({ domain })).items) {
      const pkcs8 = await store.loadPrivateKey(id);
      if (pkcs8 !== null) secrets.push(...traces(pkcs8));
    }
    expect(secrets.length).toBeGreaterThan(20);
    for (const [place, content] of places)
      for (const [index, secret] of secrets.entries())
        expect(
          Buffer.from(content).includes(Buffer.from(secret)),
          `${place} holds a trace of the secret ${index}`,
        ).toBe(false);
    dkimDir.remove();
  });
});

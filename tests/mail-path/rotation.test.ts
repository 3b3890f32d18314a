import { chmodSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { keyturn, keyturnJson, startKeyturn } from '../support/keyturn.ts';
import { type RunningServer, runOk, waitFor } from '../support/processes.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { domain, type MailPath, needMailPath, openMailPath } from './mail-path.ts';

interface ShownDomain {
  readonly keys: readonly { readonly id: string; readonly selector: string; readonly state: string }[];
}

/** The whole program as an administrator runs it: a configuration file, `keyturn serve`, and commands beside it. */
describe.skipIf(!needMailPath())('Postfix, BIND and `keyturn serve`', () => {
  let dir: TempDir;
  let socketDir: TempDir;
  let socket: string;
  let path: MailPath;
  let server: RunningServer;

  const show = (): Promise<ShownDomain> => keyturnJson<ShownDomain>(['domain', 'show', domain], { cwd: dir.path });
  const selectors = async (state: string): Promise<string[]> =>
    (await show()).keys.filter((key) => key.state === state).map((key) => key.selector);
  const serve = (): Promise<RunningServer> => startKeyturn(['serve'], { cwd: dir.path, ready: () => answers(socket) });

  beforeAll(async () => {
    dir = tempDir('rotation');
    // Postfix comes to the socket as a user of its own, and must be able to walk down to it.
    socketDir = tempDir('socket');
    chmodSync(socketDir.path, 0o755);
    socket = socketDir.join('milter.sock');
    path = await openMailPath(`unix:${socket}`);
    const { bind, updateKey } = path;
    const server127 = `127.0.0.1:${bind.port}`;
    const configuration = {
      data: 'data',
      roles: { dns: false },
      policies: {
        default: {
          keys: ['rsa-2048', 'ed25519'],
          rotateEvery: '1h',
          jitter: 0,
          lead: '2s',
          standby: 1,
          overlap: '10s',
          tombstone: '2s',
          ttl: '2s',
          ttlAhead: '1s',
          proofFresh: '5s',
          watchEvery: '5s',
        },
      },
      publishers: [{ name: 'bind', kind: 'rfc2136', zones: [domain], servers: [server127], key: updateKey }],
      proof: { zones: [{ apex: domain, servers: [server127] }] },
      milter: { listen: [`unix:${socket}`], socketMode: '666' },
      reconcile: { interval: '250ms' },
      log: { format: 'json' },
    };
    writeFileSync(dir.join('keyturn.yaml'), stringify(configuration), { mode: 0o600 });
    server = await serve();
  });

  afterAll(async () => {
    await path?.[Symbol.asyncDispose]();
    await server?.stop();
    dir?.remove();
    socketDir?.remove();
  });

  test('before the first activation mail passes as it was; from then on it is signed', async () => {
    const early = await path.sendOne();
    expect(early.code, early.stdout).toBe(0);
    await path.settle();
    expect(path.tally).toMatchObject({ delivered: 1, unsigned: 1 });
    const added = await keyturn(['domain', 'add', domain], { cwd: dir.path });
    expect(added.code, added.stderr).toBe(0);
    await waitFor(async () => (await selectors('active')).length === 2 && (await selectors('standby')).length === 2, {
      within: 30_000,
      every: 250,
      what: `two active and two standby keys; ${server.output().slice(-3000)}`,
    });
    path.reset();
    expect((await path.sendOne()).code).toBe(0);
    await path.settle();
    expect(path.tally).toMatchObject({ delivered: 1, unsigned: 0, withoutRsa: 0, withoutEd25519: 0 });
  });

  test('a rotation under steady mail: nothing unsigned, nothing that does not verify, old records gone at its end', async () => {
    path.reset();
    const old = await selectors('active');
    let finished = false;
    const sending = path.sendUntil(() => finished);
    try {
      await waitFor(() => path.tally.delivered >= 40, { what: 'mail to flow' });
      const asked = await keyturn(['key', 'rotate', domain], { cwd: dir.path });
      expect(asked.code, asked.stderr).toBe(0);
      await waitFor(
        async () => {
          const removed = await selectors('removed');
          const active = await selectors('active');
          return active.length === 2 && old.every((selector) => removed.includes(selector));
        },
        { within: 90_000, every: 500, what: `the old keys to be removed; ${server.output().slice(-3000)}` },
      );
      const enough = path.tally.delivered + 60;
      await waitFor(() => path.tally.delivered >= enough, { within: 30_000, what: 'more mail to flow' });
    } finally {
      finished = true;
    }
    const taken = await sending;
    const { delivered, verifiedLater, unsigned, withoutRsa, withoutEd25519, failures, passed } = path.tally;
    expect({ unsigned, withoutRsa, withoutEd25519, failures: [...failures] }).toEqual({
      unsigned: 0,
      withoutRsa: 0,
      withoutEd25519: 0,
      failures: [],
    });
    expect(delivered).toBe(taken);
    expect(delivered).toBeGreaterThan(300);
    expect(verifiedLater).toBeGreaterThan(0);
    const now = await selectors('active');
    expect(now.some((selector) => old.includes(selector))).toBe(false);
    const used = new Set([...passed.keys()].map((name) => name.split(' ')[1]));
    for (const selector of [...old, ...now]) expect(used).toContain(selector);
    for (const selector of old) expect(await txt(path.bind.port, selector)).toBe('');
    for (const selector of now) expect(await txt(path.bind.port, selector)).toContain('p=');
  }, 180_000);

  test('a kill of the whole program costs a delay and no signature', async () => {
    path.reset();
    server.kill('SIGKILL');
    await server.exited;
    expect((await path.sendOne()).stdout).toMatch(/<\*\* 451 4\.7\.1/);
    server = await serve();
    expect((await path.sendOne()).code).toBe(0);
    await path.settle();
    expect(path.tally).toMatchObject({ delivered: 1, unsigned: 0, withoutRsa: 0, withoutEd25519: 0 });
    const audit = await keyturn(['audit', 'verify'], { cwd: dir.path });
    expect(audit.code, audit.stderr + audit.stdout).toBe(0);
  });
});

const txt = (port: number, selector: string): Promise<string> =>
  runOk('dig', ['+short', '+norecurse', '-p', String(port), '@127.0.0.1', `${selector}._domainkey.${domain}`, 'TXT']);

/** Whether somebody listens on a UNIX socket: the file alone may be left from a process that was killed. */
const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const client = connect(path);
    client.once('connect', () => {
      client.destroy();
      resolve(true);
    });
    client.once('error', () => resolve(false));
  });

import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eximKind } from '../../src/signers/exim/kind.ts';
import type { Signer } from '../../src/signers/signer.ts';
import { type EximServer, eximUser, needExim, startExim } from '../support/exim.ts';
import { need } from '../support/need.ts';
import { freePort } from '../support/ports.ts';
import { run, waitFor } from '../support/processes.ts';
import { type DeliveredMessage, type SmtpSink, startSmtpSink } from '../support/smtp-sink.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { documentedLines } from './exim-lines.ts';
import { dependenciesIn, keyringOf, makeKey, other, type TestKey } from './keyrings.ts';

const recipient = 'keyturn-test@loop.test';

describe.skipIf(![needExim(), need('swaks', 'swaks')].every(Boolean))('Exim', () => {
  let dir: TempDir;
  let exim: EximServer;
  let sink: SmtpSink;
  let signer: Signer;
  let loopPort: number;
  let r1: TestKey;
  let r2: TestKey;
  let e1: TestKey;
  const got: DeliveredMessage[] = [];
  let domains = 0;
  const fresh = (): string => `example${domains++}.test`;
  const folder = (): string => dir.join('keyturn');

  const make = (more: Readonly<Record<string, unknown>> = {}): Promise<Signer> => {
    const settings = eximKind.settings.parse({
      folder: folder(),
      group: String(eximUser),
      test: { smtp: `127.0.0.1:${exim.port}`, listen: `127.0.0.1:${loopPort}`, recipient, timeout: '2s' },
      senders: { newsletter: 'news@{domain}' },
      ...more,
    });
    return eximKind.create(settings, dependenciesIn(dir));
  };

  /** Hands one message in. */
  const send = async (domain: string): Promise<void> => {
    const { code, stdout } = await run('swaks', [
      ...['--server', '127.0.0.1', '--port', String(exim.port), '--from', `a@${domain}`, '--to', 'b@sink.test'],
    ]);
    expect(code, stdout).toBe(0);
  };
  /** `selector: result` of each signature of the next message that arrives. */
  const signatures = async (domain: string, keys: readonly TestKey[]): Promise<string[]> => {
    const before = got.length;
    await send(domain);
    await waitFor(() => got.length > before, { what: `the message to arrive; ${exim.log().slice(-1500)}` });
    return judge(got[before]?.bytes ?? Buffer.alloc(0), keys);
  };
  const judge = async (message: Buffer, keys: readonly TestKey[]): Promise<string[]> => {
    const { results } = await dkimVerify(message, {
      resolver: async (name: string) => {
        const key = keys.find(({ selector }) => name.startsWith(`${selector}._domainkey.`));
        if (key === undefined) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
        return [[`v=DKIM1; k=${key.algorithm === 'rsa-sha256' ? 'rsa' : 'ed25519'}; p=${key.publicKey}`]];
      },
    });
    return results
      .flatMap((each) => ('selector' in each && each.selector ? [`${each.selector}: ${each.status.result}`] : []))
      .sort();
  };

  beforeAll(async () => {
    dir = tempDir('exim-signer');
    chmodSync(dir.path, 0o755);
    loopPort = await freePort();
    sink = await startSmtpSink((message) => got.push(message));
    exim = await startExim({ dkim: documentedLines(folder()), routes: { [recipient]: loopPort }, nextHop: sink.port });
    [r1, r2, e1] = await Promise.all([makeKey('r1'), makeKey('r2'), makeKey('e1', 'ed25519')]);
    signer = await make();
  });
  afterAll(async () => {
    await signer?.close?.();
    await exim?.stop();
    await sink?.stop();
    dir?.remove();
  });

  test('signs with RSA and Ed25519 together, and with others from the next message on', async () => {
    const domain = fresh();
    expect(await signer.deliver(keyringOf(domain, 1, [r1, e1]))).toEqual({ kind: 'acknowledged', generation: 1 });
    expect(await signatures(domain, [r1, e1])).toEqual(['e1: pass', 'r1: pass']);
    expect(await signer.selfTest(domain, 'default', 'e1')).toEqual({ kind: 'signed' });
    const next = keyringOf(domain, 2, [r2, e1], { others: [other(r1, 'retiring')] });
    expect(await signer.deliver(next)).toEqual({ kind: 'acknowledged', generation: 2 });
    expect(await signatures(domain, [r1, r2, e1])).toEqual(['e1: pass', 'r2: pass']);
    expect(await signatures(fresh(), [])).toEqual([]);
  });

  test('a key that cannot be read puts mail off; it is signed when that is over', async () => {
    const domain = fresh();
    await signer.deliver(keyringOf(domain, 1, [r1]));
    const table = readFileSync(`${folder()}/key-files`, 'utf8');
    const file = new RegExp(`^r1\\._domainkey\\.${domain}: (.*)$`, 'm').exec(table)?.[1] ?? '';
    renameSync(file, `${file}.away`);
    const before = got.length;
    await send(domain);
    await waitFor(() => exim.log().includes('defer'), {
      what: `the message to be put off; ${exim.log().slice(-1500)}`,
    });
    expect(got.length).toBe(before);
    renameSync(`${file}.away`, file);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await exim.runQueue();
    await waitFor(() => got.length > before, { what: `the message to arrive; ${exim.log().slice(-1500)}` });
    expect(await judge(got[before]?.bytes ?? Buffer.alloc(0), [r1])).toEqual(['r1: pass']);
  });

  test('a table without its key puts mail off as well', async () => {
    const domain = fresh();
    await signer.deliver(keyringOf(domain, 1, [r1]));
    const table = readFileSync(`${folder()}/key-files`, 'utf8');
    writeFileSync(`${folder()}/key-files`, table.replaceAll(`r1._domainkey.${domain}`, 'r1._domainkey.other.test'));
    const before = got.length;
    await send(domain);
    await waitFor(async () => (await exim.queued()) > 0 || got.length > before, { what: 'the message to be tried' });
    expect(got.length).toBe(before);
    expect(await signer.inspect?.(keyringOf(domain, 1, [r1]))).toMatchObject({ kind: 'lost' });
    expect(await signer.deliver(keyringOf(domain, 1, [r1]))).toMatchObject({ kind: 'acknowledged' });
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await exim.runQueue();
    await waitFor(() => got.length > before, { what: `the message to arrive; ${exim.log().slice(-1500)}` });
  });

  test('gives streams lines of their own', async () => {
    const domain = fresh();
    const settings = keyringOf(domain, 1, { default: [r1], newsletter: [r2] });
    // The transport of this Exim knows no streams: the message comes back without the stream's signature.
    expect(await signer.deliver(settings)).toMatchObject({ kind: 'pending', message: expect.stringContaining('r2') });
    const found = await exim.expand(`\${lookup{newsletter/${domain}}lsearch{${folder()}/selectors}}`);
    expect(found).toBe('r2');
    await signer.forget(domain);
    expect(readFileSync(`${folder()}/selectors`, 'utf8')).not.toContain(domain);
  });

  test('without a test message the files are read back', async () => {
    await signer.close?.();
    signer = await make({ test: undefined });
    const domain = fresh();
    expect(await signer.deliver(keyringOf(domain, 1, [r1, e1]))).toEqual({ kind: 'acknowledged', generation: 1 });
    expect(await signatures(domain, [r1, e1])).toEqual(['e1: pass', 'r1: pass']);
    expect(await signer.selfTest(domain, 'default', 'e1')).toEqual({ kind: 'signed' });
    expect((await signer.found?.(domain))?.map(({ selector, inUse }) => [selector, inUse])).toEqual([
      ['r1', true],
      ['e1', true],
    ]);
  });

  test('a mail server that is away is no acknowledgement, and says where it was looked for', async () => {
    await signer.close?.();
    const port = await freePort();
    const test = { smtp: `127.0.0.1:${port}`, listen: `127.0.0.1:${loopPort}`, recipient, timeout: '500ms' };
    signer = await make({ test });
    const delivery = await signer.deliver(keyringOf(fresh(), 1, [r1]));
    expect(delivery).toMatchObject({ kind: 'pending', message: expect.stringContaining(`127.0.0.1:${port}`) });
  });
});

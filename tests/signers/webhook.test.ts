import { timingSafeEqual } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Signer } from '../../src/signers/signer.ts';
import { webhookKind } from '../../src/signers/webhook/kind.ts';
import { signatureOf } from '../../src/signers/webhook/post.ts';
import { need } from '../support/need.ts';
import { runOk } from '../support/processes.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { needDkimpy } from '../support/verifiers.ts';
import { dependenciesIn, keyringOf, makeKey, type TestDependencies, type TestKey } from './keyrings.ts';

const script = fileURLToPath(new URL('remote-signer.py', import.meta.url));
const secret = 'a secret of the tests, long enough';

describe.skipIf(![needDkimpy(), need('openssl', 'openssl')].every(Boolean))('a web service of one’s own', () => {
  let dir: TempDir;
  let server: Server;
  let dependencies: TestDependencies;
  let rsa: TestKey;
  let signer: Signer;
  /** What the server answers instead, one for each request. */
  let instead: number[] = [];
  let seen: { readonly id: string; readonly body: string }[] = [];
  const port = (): number => (server.address() as AddressInfo).port;

  const make = (more: Readonly<Record<string, unknown>> = {}): Promise<Signer> => {
    const url = `https://localhost:${port()}/keyturn?token=hidden`;
    const settings = webhookKind.settings.parse({ url, secret, caFile: dir.join('cert.pem'), timeout: '5s', ...more });
    return webhookKind.create(settings, dependencies);
  };

  beforeAll(async () => {
    dir = tempDir('webhook');
    mkdirSync(dir.join('keys'));
    dependencies = dependenciesIn(dir);
    await runOk('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
      ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
      ...['-keyout', dir.join('key.pem'), '-out', dir.join('cert.pem')],
    ]);
    const tls = { key: readFileSync(dir.join('key.pem')), cert: readFileSync(dir.join('cert.pem')) };
    // What docs/signers/webhook.md asks of a server.
    server = createServer(tls, async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      const header = (name: string): string => String(request.headers[name]);
      const timestamp = header('keyturn-timestamp');
      const wanted = signatureOf(secret, timestamp, header('keyturn-id'), body);
      const given = Buffer.from(header('keyturn-signature'));
      const isOurs = given.length === wanted.length && timingSafeEqual(given, Buffer.from(wanted));
      const isNew = Math.abs(Date.now() / 1000 - Number(timestamp)) < 300;
      const id: unknown = JSON.parse(body).id;
      seen.push({ id: header('keyturn-id'), body });
      const status = instead.shift();
      if (!isOurs || !isNew || id !== header('keyturn-id')) response.writeHead(403).end();
      else if (status !== undefined) response.writeHead(status, { Location: 'https://localhost:1/' }).end();
      else response.end(await runOk('/usr/bin/python3', [script, dir.join('keys')], { input: body }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    rsa = await makeKey('r1');
    signer = await make();
  });
  beforeEach(() => {
    instead = [];
    seen = [];
  });
  afterAll(() => {
    server?.closeAllConnections();
    server?.close();
    dir?.remove();
  });

  test('gets the keys by signed requests, and its test signatures are verified', async () => {
    expect(await signer.deliver(keyringOf('a.test', 1, [rsa]))).toEqual({ kind: 'acknowledged', generation: 1 });
    expect(await signer.selfTest('a.test', 'default', 'r1')).toEqual({ kind: 'signed' });
    await signer.forget('a.test');
    expect(seen).toHaveLength(3);
    expect(new Set(seen.map(({ id }) => id)).size).toBe(3);
  });

  test('asks again under the same id where the service is in trouble, and not where it refuses', async () => {
    instead = [503, 502];
    expect(await signer.deliver(keyringOf('b.test', 1, [rsa]))).toMatchObject({ kind: 'acknowledged' });
    expect(seen.map(({ id }) => id)).toEqual(Array(3).fill(seen[0]?.id));
    seen = [];
    instead = [404];
    const refused = await signer.deliver(keyringOf('b.test', 2, [rsa]));
    expect(refused).toMatchObject({ kind: 'failed', message: expect.stringContaining('status 404') });
    expect(JSON.stringify(refused)).not.toContain('hidden');
    expect(seen).toHaveLength(1);
  });

  test('follows no redirect', async () => {
    instead = [307];
    const redirected = await signer.deliver(keyringOf('c.test', 1, [rsa]));
    expect(redirected).toMatchObject({ kind: 'failed', message: expect.stringContaining('status 307') });
  });

  test('hands nothing to a service whose certificate it does not trust', async () => {
    const wary = await make({ caFile: undefined });
    const delivery = await wary.deliver(keyringOf('d.test', 1, [rsa]));
    expect(delivery).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/cannot be reached.*certificate/),
    });
    expect(seen).toEqual([]);
  });

  test('a wrong secret is refused by the service', async () => {
    const wrong = await make({ secret: 'another secret, as long as that' });
    expect(await wrong.deliver(keyringOf('e.test', 1, [rsa]))).toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('status 403'),
    });
  });

  test('keys go by TLS alone, except to this machine', () => {
    const parse = (url: string): boolean => webhookKind.settings.safeParse({ url, secret }).success;
    expect(parse('http://keys.example.com/')).toBe(false);
    expect(parse('ftp://keys.example.com/')).toBe(false);
    expect(parse('https://keys.example.com/')).toBe(true);
    expect(parse('http://127.0.0.1:8080/')).toBe(true);
  });

  test('neither keys nor the secret stand in what is kept', () => {
    const state = readFileSync(`${dependencies.folder}/state.jsonl`, 'utf8') + dependencies.logged.join('\n');
    expect(state).toContain('b.test');
    expect(state).not.toContain('PRIVATE');
    expect(state).not.toContain(secret);
  });
});

import { generateKeyPairSync } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { BodyHasher } from '../dkim/body-hash.ts';
import { splitMessage } from '../dkim/message.ts';
import { signMessage } from '../dkim/sign.ts';
import { systemClock } from '../lifecycle/clock.ts';
import { createRspamdProbe } from './rspamd-test.ts';

const domain = 'example.com';
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const strangers = generateKeyPairSync('ed25519').publicKey;
let server: Server | null = null;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** A rspamd as far as it is seen from here: `answer` makes its answer of the signature that it would add. */
async function probe(answer: (signature: string) => { status?: number; body: string }) {
  const seen: { headers: Record<string, unknown>; url: string | undefined } = { headers: {}, url: undefined };
  const made = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', async () => {
      seen.headers = request.headers;
      seen.url = request.url;
      const { headers, body } = splitMessage(Buffer.concat(chunks));
      const hasher = new BodyHasher(['relaxed']);
      hasher.update(body);
      const key = { domain, selector: 's1', algorithm: 'ed25519-sha256', privateKey } as const;
      const [field] = await signMessage(headers, hasher.finish(), [key], { timestamp: 1 });
      const { status = 200, body: text } = answer(field?.value ?? '');
      response.writeHead(status).end(text);
    });
  });
  server = made;
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(made.address() as AddressInfo).port}`;
  const made2 = createRspamdProbe(
    { url, password: 'the-password', timeout: 2000 },
    { clock: systemClock, readSecret: (setting) => (typeof setting === 'string' ? setting : '') },
  );
  return { probe: made2, seen, url };
}

describe('rspamd’s own word', () => {
  test.each<[string, (signature: string) => unknown]>([
    ['one text', (signature) => ({ 'dkim-signature': signature })],
    ['a list', (signature) => ({ 'dkim-signature': ['v=1; d=other.example; s=x; b=', signature] })],
    [
      'a header to add',
      (signature) => ({ milter: { add_headers: { 'DKIM-Signature': { value: signature, order: 1 } } } }),
    ],
    ['headers to add', (signature) => ({ milter: { add_headers: { 'DKIM-Signature': [signature] } } })],
  ])('signatures told as %s', async (_, body) => {
    const { probe: rspamd, seen } = await probe((signature) => ({ body: JSON.stringify(body(signature)) }));
    expect(await rspamd.test(domain, 's1', publicKey)).toEqual({ kind: 'signed' });
    expect(seen.url).toBe('/checkv2');
    expect(seen.headers).toMatchObject({ user: 'postmaster@example.com', password: 'the-password' });
  });

  test('another key under the same selector, another selector, another domain: none of them is the key', async () => {
    const { probe: rspamd } = await probe((signature) => ({ body: JSON.stringify({ 'dkim-signature': signature }) }));
    expect(await rspamd.test(domain, 's1', strangers)).toMatchObject({ kind: 'failed' });
    expect(await rspamd.test(domain, 's2', publicKey)).toMatchObject({ kind: 'failed' });
    expect(await rspamd.test('other.example', 's1', publicKey)).toMatchObject({ kind: 'failed' });
  });

  test.each<[string, { status?: number; body: string }, RegExp]>([
    ['no signature', { body: '{}' }, /did not sign/],
    ['a wrong password', { status: 403, body: '{}' }, /refused the password/],
    ['an error', { status: 500, body: '' }, /answered 500/],
    ['no JSON', { body: '<html>' }, /not JSON/],
    ['some other JSON', { body: '{"dkim-signature": 5}' }, /not one of rspamd/],
  ])('%s is said in words', async (_, answer, words) => {
    const { probe: rspamd } = await probe(() => answer);
    const failed = await rspamd.test(domain, 's1', publicKey);
    expect(failed).toMatchObject({ kind: 'failed', message: expect.stringMatching(words) });
    expect(JSON.stringify(failed)).not.toContain('the-password');
  });

  test('nobody there', async () => {
    const { probe: rspamd } = await probe(() => ({ body: '{}' }));
    server?.closeAllConnections();
    await new Promise((resolve) => server?.close(resolve));
    server = null;
    expect(await rspamd.test(domain, 's1', publicKey)).toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('cannot be reached'),
    });
  });
});

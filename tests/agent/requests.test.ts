import { connect } from 'node:net';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openMemoryStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { addActiveDomain, type Control, startControl, token } from './scene.ts';

const boot = '0d2f5b3e-3e0a-4c1e-9c59-111111111111';
const install = '0d2f5b3e-3e0a-4c1e-9c59-222222222222';
const known = { authorization: `Bearer ${token}`, 'keyturn-boot': boot };

describe('the calls of agents', () => {
  let store: Store;
  let control: Control;
  const ask = async (
    method: string,
    path: string,
    body?: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = known,
  ) => {
    const response = await fetch(`${control.url}/agent/v1/${path}`, {
      method,
      headers,
      ...(body === undefined || method === 'GET' || method === 'HEAD' ? {} : { body }),
    });
    return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
  };
  const greet = () =>
    ask(
      'POST',
      'hello',
      JSON.stringify({ version: '1', install, host: 'h', signers: [], algorithms: ['rsa'], atMost: null }),
    );

  beforeAll(async () => {
    store = await openMemoryStore();
    await addActiveDomain(store, 'ours.test');
    control = await startControl(store, { signers: [{ kind: 'agent', name: 'mx1', token }], lease: 60_000 });
  });
  afterAll(async () => {
    await control?.stop();
    await store?.close();
  });

  test('are answered with a clear refusal before the agent has been greeted, and without a token', async () => {
    expect(await ask('GET', 'keyrings')).toMatchObject({ status: 428, type: 'application/problem+json' });
    const { status, type, text } = await ask('GET', 'keyrings', undefined, {});
    expect({ status, type }).toEqual({ status: 401, type: 'application/problem+json' });
    expect(JSON.parse(text)).toMatchObject({
      type: 'urn:keyturn:agent:not-authenticated',
      status: 401,
      detail: 'it shows neither a token nor a certificate',
    });
    expect((await ask('GET', 'keyrings', undefined, { authorization: known.authorization })).status).toBe(400);
    expect((await greet()).status).toBe(200);
    expect((await ask('GET', 'keyrings')).status).toBe(200);
  });

  test('never fail for what is sent, and give away nothing of it', async () => {
    const path = fc.oneof(
      fc.constantFrom('hello', 'keyrings', 'changes', 'missing', 'reports', 'bye', 'check', ''),
      fc.webPath(),
      fc.webQueryParameters().map((query) => `changes?${query}`),
      fc
        .tuple(fc.nat(), fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), maxLength: 16 }))
        .map(([n, hash]) => `changes?since=${n}.${hash}`),
      fc.string().map((text) => `keyrings?after=${encodeURIComponent(text)}`),
    );
    const near = fc.record(
      {
        reports: fc.array(
          fc.oneof(
            fc.record(
              {
                kind: fc.constantFrom(
                  'acknowledged',
                  'signed',
                  'test-failed',
                  'drift-gone',
                  'signature-seen',
                  'not-acknowledged',
                  'other',
                ),
                domain: fc.constantFrom('ours.test', 'theirs.test', '..', ''),
                generation: fc.oneof(fc.integer(), fc.double(), fc.constant(Number.MAX_SAFE_INTEGER)),
                born: fc.oneof(fc.constant(null), fc.integer()),
                selector: fc.string(),
                entered: fc.integer(),
                age: fc.double(),
                message: fc.string(),
              },
              { requiredKeys: [] },
            ),
            fc.anything(),
          ),
        ),
        domains: fc.array(fc.oneof(fc.domain(), fc.string())),
      },
      { requiredKeys: [] },
    );
    const body = fc.oneof(
      near.map((value) => JSON.stringify(value)),
      fc.json(),
      fc.uint8Array().map((bytes) => new Uint8Array(bytes)),
    );
    await greet();
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'HEAD'),
        path,
        body,
        async (method, where, what) => {
          // What is under `bye` says goodbye: the next one has to greet again.
          const { status } = await ask(method, where.replace(/^\/+/, ''), what);
          expect([200, 400, 404, 410, 413, 428]).toContain(status);
        },
      ),
      { numRuns: 200 },
    );
    expect(control.log.told.filter(({ level }) => level === 'error')).toEqual([]);
    // No overtaking by nonsense: no store is ever so far behind.
    expect((await store.snapshot('ours.test'))?.snapshot.domain.generation).toBeLessThan(2_000_000 * 200);
    await greet();
    expect((await ask('GET', 'keyrings')).status).toBe(200);
  });

  test('have a bound: larger bodies are refused, and what is no HTTP ends the connection', async () => {
    await greet();
    const large = JSON.stringify({ domains: Array.from({ length: 300_000 }, (_, i) => `d${i}.test`) });
    const refused = await ask('POST', 'missing', large).catch(() => null);
    // The connection may be closed while the rest is still being sent.
    if (refused !== null) expect(refused.status).toBe(413);
    const { port } = control;
    const ended = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.write('\x16\x03\x01 no HTTP at all\r\n\r\n'));
      socket
        .on('error', () => undefined)
        .once('close', () => resolve(true))
        .resume();
    });
    expect(ended).toBe(true);
    await greet();
    expect((await ask('GET', 'check')).status).toBe(200);
  });

  test('are refused by their addresses, whatever stands there', async () => {
    const raw = (line: string, headers: string) =>
      new Promise<string>((resolve) => {
        let text = '';
        const socket = connect(control.port, '127.0.0.1', () =>
          socket.write(`${line} HTTP/1.1\r\nhost: a\r\n${headers}connection: close\r\n\r\n`),
        );
        socket.on('data', (chunk) => {
          text += chunk;
        });
        socket.on('error', () => undefined).once('close', () => resolve(text.split('\r\n')[0] ?? ''));
      });
    const mine = `authorization: Bearer ${token}\r\nkeyturn-boot: ${boot}\r\n`;
    for (const line of [
      'GET //',
      'GET http://[',
      'OPTIONS *',
      'GET /agent/v1/keyrings?after=%E0%A4%A',
      'GET /agent/v1/../v1/keyrings?after[]=1',
    ]) {
      expect(await raw(line, ''), line).toMatch(/ 40[01] | 429 /);
      expect(await raw(line, mine), line).toMatch(/ (?:200|400|404|428) /);
    }
    expect(control.log.told.filter(({ level }) => level === 'error')).toEqual([]);
  });

  test('pack what is large', async () => {
    for (let i = 0; i < 8; i++) await addActiveDomain(store, `more${i}.test`);
    await greet();
    const { request } = await import('node:http');
    const got = await new Promise<{ encoding: unknown; body: Buffer }>((resolve, reject) => {
      const headers = { ...known, 'accept-encoding': 'gzip' };
      request(`${control.url}/agent/v1/keyrings`, { headers }, async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
        resolve({ encoding: response.headers['content-encoding'], body: Buffer.concat(chunks) });
      })
        .once('error', reject)
        .end();
    });
    expect(got.encoding).toBe('gzip');
    const page: { items: Array<{ domain: string }> } = JSON.parse(gunzipSync(got.body).toString());
    expect(page.items.map(({ domain }) => domain)).toContain('more7.test');
  });
});

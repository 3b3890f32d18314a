import { generateKeyPairSync } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { importPrivateKey } from '../../dkim/import-key.ts';
import { systemClock } from '../../lifecycle/clock.ts';
import type { Keyring, KeyringKey } from '../keyring.ts';
import { readOverHttp } from './client.ts';
import { createVaultSigner, type VaultSigner } from './signer.ts';

const token = 'a-token-of-the-mail-server';
const domain = 'example.com';
const rsa: KeyringKey = {
  selector: 'r1',
  algorithm: 'rsa-sha256',
  privateKey: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
};
const ed25519: KeyringKey = {
  selector: 'e1',
  algorithm: 'ed25519-sha256',
  privateKey: generateKeyPairSync('ed25519').privateKey,
};
const keyring = (generation: number, streams: Keyring['streams'], mustSign = true, name = domain): Keyring => ({
  domain: name,
  generation,
  mustSign,
  streams,
});
const open: VaultSigner[] = [];
afterEach(async () => {
  for (const signer of open.splice(0)) await signer.close?.();
});

async function start(keyrings: readonly Keyring[], more: { readers?: { token: string; domains: string[] }[] } = {}) {
  const lines: string[] = [];
  const signer = createVaultSigner(
    {
      listen: ['inet:127.0.0.1:0'],
      socketMode: 0o600,
      readers: [{ token, domains: ['*'] }, ...(more.readers ?? [])],
      paths: new Map([
        ['dkim', 'default'],
        ['news', 'newsletter'],
      ]),
      ed25519: 'seed',
      tls: null,
      probe: null,
    },
    {
      id: 'vault',
      clock: systemClock,
      log: (level, event, fields) => lines.push(`${level} ${event} ${JSON.stringify(fields)}`),
    },
  );
  open.push(signer);
  await signer.load?.(
    (async function* () {
      yield* keyrings;
    })(),
  );
  const [endpoint = ''] = signer.endpoints();
  const get = async (path: string, its = token) => {
    const { status, body } = await readOverHttp(endpoint, path, its, false);
    return { status, json: JSON.parse(body), body };
  };
  return { signer, get, lines, endpoint };
}

describe('the Vault-shaped endpoint', () => {
  test('gives every key of the stream, RSA as PEM and Ed25519 as its seed', async () => {
    const { get } = await start([keyring(1, { default: [rsa, ed25519] })]);
    const { status, json } = await get('/v1/dkim/example.com');
    expect(status).toBe(200);
    const selectors: { selector: string; domain: string; key: string; alg: string }[] = json.data.selectors;
    expect(selectors.map(({ selector, alg }) => [selector, alg])).toEqual([
      ['r1', 'rsa'],
      ['e1', 'ed25519'],
    ]);
    expect(selectors[0]?.key.startsWith('-----BEGIN PRIVATE KEY-----\n')).toBe(true);
    expect(Buffer.from(selectors[1]?.key ?? '', 'base64')).toHaveLength(32);
    for (const [index, { privateKey }] of [rsa, ed25519].entries()) {
      const read = importPrivateKey(selectors[index]?.key ?? '');
      expect(read.ok && read.pair.privateKey.equals(privateKey)).toBe(true);
    }
  });

  test('KV version 2 wraps the same once more, with the fields that clients of Vault insist on', async () => {
    const { get } = await start([keyring(7, { default: [rsa] })]);
    const { json } = await get('/v1/secret/data/dkim/example.com');
    expect(json.data.data.selectors[0].selector).toBe('r1');
    expect(json.data.metadata).toMatchObject({ version: 7, destroyed: false });
    expect(Object.keys(json).toSorted()).toEqual(
      ['auth', 'data', 'lease_duration', 'lease_id', 'renewable', 'request_id', 'warnings', 'wrap_info'].toSorted(),
    );
  });

  test('one key by its selector, as KumoMTA asks for it; any other is not found', async () => {
    const { get } = await start([keyring(1, { default: [rsa, ed25519] })]);
    const { json } = await get('/v1/secret/data/dkim/example.com/e1.key');
    expect(json.data.data.key.startsWith('-----BEGIN PRIVATE KEY-----')).toBe(true);
    expect(await get('/v1/secret/data/dkim/example.com/e2.key')).toMatchObject({ status: 404 });
    expect(await get('/v1/secret/data/dkim/other.example/e1.key')).toMatchObject({ status: 404 });
  });

  test('a domain that is not ours has no selectors; one without a key that must sign is an error', async () => {
    const { get, signer } = await start([
      keyring(1, { default: [] }, true, 'must.example'),
      keyring(0, { default: [] }, false, 'new.example'),
    ]);
    expect(await get('/v1/dkim/foreign.example')).toMatchObject({ status: 200, json: { data: { selectors: [] } } });
    expect(await get('/v1/dkim/new.example')).toMatchObject({ status: 200, json: { data: { selectors: [] } } });
    expect((await get('/v1/dkim/must.example')).status).toBe(503);
    expect(signer.counters).toMatchObject({ failed: 1, foreign: 2 });
  });

  test('a stream by its path; one without keys of its own is signed as default', async () => {
    const news = { ...rsa, selector: 'n1' };
    const { get, signer } = await start([keyring(1, { default: [rsa], newsletter: [news] })]);
    expect((await get('/v1/news/example.com')).json.data.selectors[0].selector).toBe('n1');
    await signer.deliver(keyring(2, { default: [rsa], newsletter: [] }));
    expect((await get('/v1/news/example.com')).json.data.selectors[0].selector).toBe('r1');
  });

  test('a wrong token opens nothing and is logged once, without it; a reader sees its own domains alone', async () => {
    const own = 'a-token-of-another-server';
    const { get, lines, signer } = await start(
      [keyring(1, { default: [rsa] }), keyring(1, { default: [rsa] }, true, 'a.sub.example')],
      { readers: [{ token: own, domains: ['*.sub.example'] }] },
    );
    expect(await get('/v1/dkim/example.com', 'wrong-token-of-nobody')).toMatchObject({ status: 403 });
    expect(await get('/v1/dkim/example.com', '')).toMatchObject({ status: 403 });
    expect(lines.filter((line) => line.includes('vault-refused'))).toHaveLength(1);
    expect(lines.join('\n')).not.toContain('wrong-token');
    expect((await get('/v1/dkim/a.sub.example', own)).json.data.selectors).toHaveLength(1);
    expect((await get('/v1/dkim/example.com', own)).json.data.selectors).toEqual([]);
    expect((await get('/v1/secret/data/dkim/example.com/r1', own)).status).toBe(404);
    expect(signer.requests().get('example.com')).toBeUndefined();
    expect(signer.requests().get('a.sub.example')?.count).toBe(1);
  });

  test('reads only', async () => {
    const { endpoint } = await start([keyring(1, { default: [rsa] })]);
    const port = Number(endpoint.split(':').at(-1));
    const status = await new Promise<number>((resolve, reject) => {
      const request = httpRequest(
        {
          port,
          host: '127.0.0.1',
          path: '/v1/dkim/example.com',
          method: 'DELETE',
          headers: { 'X-Vault-Token': token },
        },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      request.once('error', reject).end();
    });
    expect(status).toBe(405);
  });

  test('what is delivered is answered at once; older generations and empty keyrings change nothing', async () => {
    const { signer, get } = await start([keyring(3, { default: [rsa] })]);
    const shown = async () =>
      (await get('/v1/dkim/example.com')).json.data.selectors.map((each: { selector: string }) => each.selector);
    expect(await signer.deliver(keyring(4, { default: [rsa, ed25519] }))).toEqual({
      kind: 'acknowledged',
      generation: 4,
    });
    expect(await shown()).toEqual(['r1', 'e1']);
    expect(await signer.deliver(keyring(3, { default: [rsa] }))).toEqual({ kind: 'acknowledged', generation: 4 });
    expect(await signer.deliver(keyring(5, { default: [] }))).toMatchObject({ kind: 'failed' });
    expect(await shown()).toEqual(['r1', 'e1']);
    await signer.forget(domain);
    expect(await shown()).toEqual([]);
  });

  test('asks itself for its own test, and signs with what came back', async () => {
    const { signer } = await start([keyring(1, { default: [rsa, ed25519], crm: [rsa] })]);
    expect(await signer.selfTest(domain, 'default', 'r1')).toEqual({ kind: 'signed' });
    expect(await signer.selfTest(domain, 'default', 'e1')).toEqual({ kind: 'signed' });
    expect(await signer.selfTest(domain, 'default', 'e2')).toMatchObject({ kind: 'failed' });
    expect(await signer.selfTest(domain, 'crm', 'r1')).toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('no path stands for the stream "crm"'),
    });
  });

  test('a port that is taken is said by name', async () => {
    const { endpoint } = await start([]);
    const second = createVaultSigner(
      {
        listen: [endpoint],
        socketMode: 0o600,
        readers: [{ token, domains: ['*'] }],
        paths: new Map([['dkim', 'default']]),
        ed25519: 'seed',
        tls: null,
        probe: null,
      },
      { id: 'second', clock: systemClock, log: () => {} },
    );
    await expect(second.load?.((async function* () {})())).rejects.toThrow(endpoint);
  });

  test('tokens that can be guessed are refused', () => {
    const make = (tokens: string[]) => () =>
      createVaultSigner(
        {
          listen: ['inet:127.0.0.1:0'],
          socketMode: 0o600,
          readers: tokens.map((each) => ({ token: each, domains: ['*'] })),
          paths: new Map(),
          ed25519: 'seed',
          tls: null,
          probe: null,
        },
        { id: 'vault', clock: systemClock, log: () => {} },
      );
    expect(make(['short'])).toThrow('16 at least');
    expect(make([token, token])).toThrow('same token');
  });
});

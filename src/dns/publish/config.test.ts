import { describe, expect, it } from 'vitest';
import { loadTsigKey, publisherConfig } from './config.ts';
import { createPublisher } from './create.ts';

const secret = Buffer.alloc(32, 7).toString('base64');
const key = { name: 'keyturn', algorithm: 'hmac-sha256', secret } as const;
const clock = { now: () => 0 };

describe('publisherConfig', () => {
  it('fills in what may be left out', () => {
    const given = { kind: 'rfc2136', name: 'bind', servers: ['192.0.2.1'], key: { name: 'Keyturn.', secret } };
    expect(publisherConfig.parse(given)).toEqual({
      kind: 'rfc2136',
      name: 'bind',
      zones: [],
      servers: ['192.0.2.1'],
      port: 53,
      key: { name: 'keyturn', algorithm: 'hmac-sha256', secret },
      timeout: 5000,
    });
    expect(publisherConfig.parse({ kind: 'manual', name: 'm', zones: ['Example.com'] })).toEqual({
      kind: 'manual',
      name: 'm',
      zones: ['example.com'],
    });
  });

  it.each([
    ['no server', { servers: [] }, /servers/],
    ['a server that is none', { servers: ['not a server'] }, /expected a server such as/],
    ['a zone that is no name', { zone: 'a..b' }, /expected a domain name/],
    ['an algorithm that is broken', { key: { ...key, algorithm: 'hmac-md5' } }, /algorithm/],
    ['no secret', { key: { name: 'k' } }, /exactly one of secret and secretFile/],
    ['two secrets', { key: { ...key, secretFile: '/x' } }, /exactly one of secret and secretFile/],
    ['a setting that there is not', { prot: 53 }, /prot/],
    ['another kind', { kind: 'route53' }, /kind/],
  ])('refuses %s', (_, change, message) => {
    const given = { kind: 'rfc2136', name: 'bind', servers: ['192.0.2.1'], key, ...change };
    const { error } = publisherConfig.safeParse(given);
    expect(JSON.stringify(error?.issues)).toMatch(message);
  });
});

describe('loadTsigKey', () => {
  const fromFile = (text: string) => loadTsigKey({ name: 'k', algorithm: 'hmac-sha256', secretFile: 'f' }, () => text);

  it.each([
    ['plain base64', `${secret}\n`],
    ["tsig-keygen's file", `key "k" {\n\talgorithm hmac-sha256;\n\tsecret "${secret}";\n};\n`],
    ["keymgr's lines", `# hmac-sha256:k:${secret}\nkey:\n- id: k\n  algorithm: hmac-sha256\n  secret: ${secret}\n`],
  ])('reads %s', (_, text) => {
    expect(fromFile(text).secret).toEqual(new Uint8Array(32).fill(7));
  });

  it('says what is wrong without showing the secret', () => {
    for (const text of ['', 'top secret!', 'secret "???";']) {
      const attempt = (): unknown => fromFile(text);
      expect(attempt).toThrow(/Loading the TSIG key "k" from f: the secret is not base64/);
      if (text !== '') expect(attempt).not.toThrow(text);
    }
    const missing = { name: 'k', algorithm: 'hmac-sha256', secretFile: '/nonexistent/key' } as const;
    expect(() => loadTsigKey(missing)).toThrow(/\/nonexistent\/key cannot be read \(ENOENT\)/);
  });
});

describe('createPublisher', () => {
  it('makes each kind under its name, with what it can do', () => {
    const records = { apexes: async () => [], set: async () => ({ kind: 'done' }) as const };
    const kinds = [
      { kind: 'builtin', name: 'ours' },
      { kind: 'manual', name: 'hand' },
      { kind: 'rfc2136', name: 'bind', servers: ['192.0.2.1'], key },
    ] as const;
    const made = kinds.map((settings) => createPublisher(settings, { clock, records }));
    expect(
      made.map(({ name, capabilities }) => [name, capabilities.automatic, capabilities.atomicCompareAndSet]),
    ).toEqual([
      ['ours', true, true],
      ['hand', false, false],
      ['bind', true, true],
    ]);
    expect(() => createPublisher(kinds[0], { clock })).toThrow(/"ours" writes for the built-in name server/);
  });

  it('tries every address of a server that is named by its host name', async () => {
    const asked: string[] = [];
    const publisher = createPublisher(
      { kind: 'rfc2136', name: 'bind', servers: ['ns1.example.net', 'ns2.example.net'], key, timeout: 1000 },
      {
        clock,
        resolveHost: async (host) => {
          asked.push(host);
          if (host === 'ns2.example.net') throw new Error('ENOTFOUND');
          return [];
        },
      },
    );
    expect(await publisher.apply({ name: 's.example.com', desired: null, ours: [] })).toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('The address of the server ns2.example.net could not be found: ENOTFOUND'),
    });
    expect(asked).toEqual(['ns1.example.net', 'ns2.example.net']);
  });
});

/** The built-in server seen by programs that are not ours: dig and kdig. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AuthoritativeServer, createAuthoritativeServer } from '../../src/dns/serve/server.ts';
import { createZoneStore } from '../../src/dns/serve/zone-store.ts';
import { need } from '../support/need.ts';
import { runOk } from '../support/processes.ts';
import { hasIPv6 } from './lookup-world.ts';

const secret = Buffer.alloc(32, 5);
const zones = createZoneStore([
  {
    apex: 'example.test',
    nameServers: ['ns1.example.test'],
    hostmaster: 'dns.admin@example.test',
    negativeTtl: 20,
    serial: 77,
    records: [
      ['ns1.example.test', [{ type: 'A', address: '127.0.0.1', ttl: 60 }]],
      ['s1._domainkey.example.test', { value: `v=DKIM1; k=rsa; p=${'A'.repeat(392)}`, ttl: 300 }],
      ['big._domainkey.example.test', { value: `v=DKIM1; k=rsa; p=${'B'.repeat(2000)}`, ttl: 300 }],
      ['c1._domainkey.example.test', [{ type: 'CNAME', target: 's1._domainkey.example.test', ttl: 60 }]],
      ['odd._domainkey.example.test', { value: '"quoted"; \\ back \u00e9', ttl: 300 }],
    ],
  },
]);

let server: AuthoritativeServer;
beforeAll(async () => {
  server = await createAuthoritativeServer({
    zones,
    listen: [{ address: '127.0.0.1', port: 0 }, ...(hasIPv6 ? [{ address: '::1', port: 0 }] : [])],
    keys: [{ name: 'transfer.example', algorithm: 'hmac-sha256', secret }],
  });
});
afterAll(() => server.close());

const endpoint = (index: number): { address: string; port: number } =>
  server.endpoints[index] ?? expect.fail('no endpoint');

interface Dug {
  readonly text: string;
  readonly status: string;
  readonly flags: readonly string[];
  readonly answers: readonly string[];
  readonly authorities: readonly string[];
}

/** Records as dig prints them, white space made single. */
async function dig(...args: string[]): Promise<Dug> {
  const v6 = args.includes('@::1');
  const { port } = endpoint(v6 ? 1 : 0);
  const text = await runOk('dig', [...(v6 ? [] : ['@127.0.0.1']), '-p', String(port), '+tries=1', '+time=5', ...args]);
  const section = (title: string): string[] =>
    (text.split(`;; ${title} SECTION:\n`)[1]?.split('\n\n')[0] ?? '')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.replace(/\s+/g, ' '));
  return {
    text,
    status: /status: (\w+)/.exec(text)?.[1] ?? '',
    flags: (/;; flags: ([^;]*);/.exec(text)?.[1] ?? '').split(' '),
    answers: section('ANSWER'),
    authorities: section('AUTHORITY'),
  };
}

describe.skipIf(!need('dig', 'bind9-dnsutils'))('dig', () => {
  const soa = 'IN SOA ns1.example.test. dns\\.admin.example.test. 77 3600 300 1209600 20';

  test('gets a key with authority, over IPv4 and IPv6, with the letters as it asked', async () => {
    for (const at of hasIPv6 ? ['@127.0.0.1', '@::1'] : ['@127.0.0.1']) {
      const { status, flags, answers } = await dig(at, 'S1._DomainKey.example.TEST', 'TXT');
      expect(status).toBe('NOERROR');
      expect(flags).toEqual(['qr', 'aa', 'rd']);
      expect(answers).toEqual([
        `S1._DomainKey.example.TEST. 300 IN TXT "v=DKIM1; k=rsa; p=${'A'.repeat(237)}" "${'A'.repeat(155)}"`,
      ]);
    }
  });

  test('comes back over TCP for what is cut', async () => {
    const { text, answers } = await dig('big._domainkey.example.test', 'TXT');
    expect(text).toContain('(TCP)');
    expect(answers[0]?.replace(/^.*? TXT |["\s]/g, '').length).toBeGreaterThan(2000);
    const ignored = await dig('+ignore', 'big._domainkey.example.test', 'TXT');
    expect(ignored.flags).toContain('tc');
    expect(ignored.answers).toEqual([]);
  });

  test('sees quotes, backslashes and octets as they are', async () => {
    const { answers } = await dig('odd._domainkey.example.test', 'TXT');
    expect(answers[0]).toContain('"\\"quoted\\"; \\\\ back \\233"');
  });

  test('keeps NXDOMAIN, NODATA and REFUSED apart, and finds the SOA', async () => {
    const missing = await dig('none._domainkey.example.test', 'TXT');
    expect([missing.status, missing.authorities]).toEqual(['NXDOMAIN', [`example.test. 20 ${soa}`]]);
    const middle = await dig('_domainkey.example.test', 'TXT');
    expect([middle.status, middle.answers, middle.authorities]).toEqual(['NOERROR', [], [`example.test. 20 ${soa}`]]);
    const outside = await dig('example.org', 'SOA');
    expect([outside.status, outside.flags.includes('aa')]).toEqual(['REFUSED', false]);
    expect((await dig('example.test', 'SOA')).answers).toEqual([`example.test. 3600 ${soa}`]);
    expect((await dig('example.test', 'NS')).answers).toEqual(['example.test. 3600 IN NS ns1.example.test.']);
  });

  test('is led along CNAMEs for any type', async () => {
    const followed = await dig('c1._domainkey.example.test', 'TXT');
    expect(followed.answers.map((line) => line.split(' ').slice(0, 4).join(' '))).toEqual([
      'c1._domainkey.example.test. 60 IN CNAME',
      's1._domainkey.example.test. 300 IN TXT',
    ]);
    const other = await dig('c1._domainkey.example.test', 'CAA');
    expect(other.status).toBe('NOERROR');
    expect(other.answers).toEqual(['c1._domainkey.example.test. 60 IN CNAME s1._domainkey.example.test.']);
    expect(other.authorities).toHaveLength(1);
  });

  test('is told what is not served: EDNS versions, opcodes, classes, ANY in full', async () => {
    const badvers = await dig('+edns=7', '+noednsneg', 'example.test', 'SOA');
    expect(badvers.status).toBe('BADVERS');
    expect((await dig('+opcode=status', 'example.test')).status).toBe('NOTIMP');
    expect((await dig('version.bind', 'CH', 'TXT')).status).toBe('REFUSED');
    expect((await dig('+notcp', 's1._domainkey.example.test', 'ANY')).answers).toHaveLength(1);
    expect((await dig('+header-only')).status).toBe('FORMERR');
    const odd = await dig(
      '+ednsopt=65001:cafe',
      '+cookie',
      '+nsid',
      '+subnet=192.0.2.0/24',
      '+dnssec',
      'example.test',
      'SOA',
    );
    expect([odd.status, odd.answers.length]).toEqual(['NOERROR', 1]);
  });

  test('transfers the zone with the key alone', async () => {
    const { port } = endpoint(0);
    const transfer = (...key: string[]): Promise<string> =>
      runOk('dig', ['@127.0.0.1', '-p', String(port), ...key, '+tries=1', 'example.test', 'AXFR', '+noall', '+answer']);
    const whole = await transfer('-y', `hmac-sha256:transfer.example:${secret.toString('base64')}`);
    const types = whole
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/)[3]);
    expect([types[0], types[1], types.at(-1)]).toEqual(['SOA', 'NS', 'SOA']);
    expect(types.filter((type) => type === 'TXT')).toHaveLength(3);
    expect(await transfer()).toContain('Transfer failed');
  });
});

describe.skipIf(!need('kdig', 'knot-dnsutils'))('kdig', () => {
  test('sends many questions on one connection and gets each answered', async () => {
    const { port } = endpoint(0);
    const names = Array.from({ length: 20 }, (_, i) =>
      i % 2 === 0 ? 's1._domainkey.example.test' : `n${i}.example.test`,
    );
    const text = await runOk('kdig', [
      '@127.0.0.1',
      '-p',
      String(port),
      '+tcp',
      '+keepopen',
      ...names.flatMap((name) => ['-t', 'TXT', '-q', name]),
    ]);
    expect(text.match(/status: NOERROR/g)).toHaveLength(10);
    expect(text.match(/status: NXDOMAIN/g)).toHaveLength(10);
    expect(text).not.toMatch(/WARNING|ERROR:/);
  });

  test('verifies signed answers', async () => {
    const { port } = endpoint(0);
    const key = `hmac-sha256:transfer.example:${secret.toString('base64')}`;
    const text = await runOk('kdig', [
      '@127.0.0.1',
      '-p',
      String(port),
      '-y',
      key,
      's1._domainkey.example.test',
      'TXT',
    ]);
    expect(text).toContain('status: NOERROR');
    expect(text).not.toMatch(/WARNING|ERROR:/);
  });
});

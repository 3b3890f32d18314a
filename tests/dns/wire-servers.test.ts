/** Signed questions, updates and transfers with BIND and Knot. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMessage, txtData, txtValue } from '../../src/dns/wire/message.ts';
import { transferZone } from '../../src/dns/wire/transfer.ts';
import { exchange } from '../../src/dns/wire/transport.ts';
import type { TsigKey } from '../../src/dns/wire/tsig.ts';
import { startBind } from '../support/bind.ts';
import { type DnsServer, type PrimaryZone, tsigKey } from '../support/dns-server.ts';
import { startKnot } from '../support/knot.ts';
import { need } from '../support/need.ts';

const algorithms = ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const;
const shared = algorithms.map((algorithm) => tsigKey(`key-${algorithm}`, algorithm));
const keys = shared.map((key): TsigKey => ({ ...key, secret: Buffer.from(key.secret, 'base64') }));
const count = 2500;

const zone: PrimaryZone = {
  apex: 'example.com',
  records: [
    'aaaa AAAA 2001:db8::1:2',
    'mx MX 10 mail',
    'srv SRV 1 2 3 target',
    'caa CAA 128 issue "ca.example; policy=ev"',
    'unknown TYPE65300 \\# 3 010203',
    'odd\\.label\\032x TXT "a" "" "b"',
    // Enough for several messages of 64 KiB at most.
    ...Array.from({ length: count }, (_, i) => `n${i} TXT "${String(i).padEnd(200, '.')}"`),
  ],
  update: shared.map((key) => ({ key, scope: 'zone' as const })),
  transfer: shared,
};

describe.skipIf(!need('named', 'bind9'))('the wire with BIND', () => {
  cases(() => startBind({ zones: [zone] }));
});

describe.skipIf(!need('knotd', 'knot'))('the wire with Knot', () => {
  cases(() => startKnot({ zones: [zone] }));
});

function cases(start: () => Promise<DnsServer>): void {
  let server: DnsServer;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server.stop());

  const now = (): number => Math.floor(Date.now() / 1000);
  const at = () => ({ address: '127.0.0.1', port: server.port, timeoutMs: 20_000 });

  it.each(keys)('transfers a zone signed over several messages, with $algorithm', async (key) => {
    const records = await transferZone('example.com', { ...at(), tsig: { key, now } });
    const data = new Map(records.map((record) => [record.name, record.data]));
    expect(records[0]?.type).toBe('SOA');
    for (let i = 0; i < count; i++) {
      const found = data.get(`n${i}.example.com`);
      expect(found?.kind === 'TXT' && Number.parseInt(txtValue(found), 10)).toBe(i);
    }
    expect(data.get('aaaa.example.com')).toEqual({ kind: 'AAAA', address: '2001:db8::1:2' });
    expect(data.get('mx.example.com')).toEqual({ kind: 'MX', preference: 10, exchange: 'mail.example.com' });
    expect(data.get('srv.example.com')).toMatchObject({
      priority: 1,
      weight: 2,
      port: 3,
      target: 'target.example.com',
    });
    const value = new Uint8Array(Buffer.from('ca.example; policy=ev'));
    expect(data.get('caa.example.com')).toEqual({ kind: 'CAA', flags: 128, tag: 'issue', value });
    expect(data.get('unknown.example.com')).toEqual({ kind: 'RAW', bytes: Uint8Array.of(1, 2, 3) });
    const odd = data.get('odd\\.label\\032x.example.com');
    expect(odd?.kind === 'TXT' && odd.strings.map((string) => string.length)).toEqual([1, 0, 1]);
  });

  it('is refused a transfer without a key', async () => {
    await expect(transferZone('example.com', at())).rejects.toMatchObject({
      code: 'mismatch',
      message: expect.stringMatching(/AXFR.*(REFUSED|NOTAUTH)/),
    });
  });

  it.each(keys)('updates over UDP and over TCP, with $algorithm', async (key) => {
    for (const transport of ['udp', 'tcp'] as const) {
      const name = `${transport}-${key.algorithm}.example.com`;
      const update = createMessage({
        opcode: 'UPDATE',
        questions: [{ name: 'example.com', type: 'SOA', class: 'IN' }],
        answers: [{ name, type: 'ANY', class: 'NONE', ttl: 0, data: { kind: 'EMPTY' } }],
        authorities: [{ name, type: 'TXT', class: 'IN', ttl: 7, data: txtData('x'.repeat(700)) }],
      });
      const options = { ...at(), transport, tsig: { key, now } };
      expect(await exchange(update, options)).toMatchObject({
        message: { rcode: 'NOERROR' },
        verification: { status: 'ok' },
      });
      // The name is in use now.
      expect((await exchange(update, options)).message.rcode).toBe('YXDOMAIN');
      const question = createMessage({ questions: [{ name, type: 'TXT', class: 'IN' }] });
      const answered = await exchange(question, at());
      // 700 bytes do not fit a UDP answer without EDNS.
      expect(answered).toMatchObject({
        transport: 'tcp',
        message: { answers: [{ ttl: 7, data: txtData('x'.repeat(700)) }] },
      });
      const edns = { udpSize: 1232, version: 0, do: false, options: [] };
      expect(await exchange({ ...question, edns }, at())).toMatchObject({ transport: 'udp', message: { edns: {} } });
    }
  });

  it('is told that its clock is wrong, in an answer that it can trust', async () => {
    const [key] = keys;
    if (key === undefined) throw new Error('there is no key');
    const update = createMessage({
      opcode: 'UPDATE',
      questions: [{ name: 'example.com', type: 'SOA', class: 'IN' }],
    });
    const late = { ...at(), transport: 'tcp', tsig: { key, now: () => now() - 3600 } } as const;
    expect(await exchange(update, late)).toMatchObject({
      message: { rcode: 'NOTAUTH' },
      verification: { reported: 18 },
    });
  });

  it('is understood with EDNS options and versions that nobody knows', async () => {
    const question = { questions: [{ name: 'aaaa.example.com', type: 'AAAA', class: 'IN' }] } as const;
    const options = [{ code: 65001, data: Uint8Array.of(1) }];
    const plain = createMessage({ ...question, edns: { udpSize: 1232, version: 0, do: true, options } });
    expect((await exchange(plain, at())).message.rcode).toBe('NOERROR');
    const future = createMessage({ ...question, edns: { udpSize: 1232, version: 99, do: false, options: [] } });
    expect((await exchange(future, at())).message.rcode).toBe('BADVERS');
  });
}

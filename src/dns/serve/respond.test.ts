import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createMessage, decodeMessage, encodeMessage, type Message, type Question } from '../wire/message.ts';
import { signTsig, type TsigKey, verifyTsig } from '../wire/tsig.ts';
import { createResponder, type Response, truncated } from './respond.ts';
import { createZoneStore } from './zone-store.ts';

const key: TsigKey = { name: 'transfer.example', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 7) };
const NOW = 1_700_000_000;
const zones = createZoneStore([
  {
    apex: 'example.test',
    nameServers: ['ns1.example.test'],
    serial: 10,
    records: [
      ['s1._domainkey.example.test', { value: `v=DKIM1; p=${'A'.repeat(392)}`, ttl: 300 }],
      ['long._domainkey.example.test', { value: `v=DKIM1; p=${'B'.repeat(1200)}`, ttl: 300 }],
    ],
  },
]);
zones.set('s2._domainkey.example.test', { value: 'v=DKIM1; p=', ttl: 300 });
const respond = createResponder({
  zones: () => zones.current(),
  keys: [key],
  mayTransfer: (apex, address) => apex === 'example.test' && address === '192.0.2.53',
  now: () => NOW * 1000,
});

const question = (name: string, type = 'TXT'): Question => ({ name, type, class: 'IN' });
const query = (parts: Parameters<typeof createMessage>[0]): Uint8Array =>
  encodeMessage(createMessage({ id: 4711, ...parts }));
const edns = { udpSize: 4096, version: 0, do: false, options: [] };

function reply(response: Response): Message {
  if (response.kind !== 'message') expect.fail(`${response.kind} instead of a message`);
  return decodeMessage(response.bytes);
}
const ask = (bytes: Uint8Array, transport: 'udp' | 'tcp' = 'udp', address = '192.0.2.1'): Message =>
  reply(respond(bytes, address, transport));

function stream(response: Response): Message[] {
  if (response.kind !== 'stream') expect.fail(`${response.kind} instead of a stream`);
  return [...response.messages].map(decodeMessage);
}

describe('headers', () => {
  test('id, opcode, RD and question come back; RA, AD and CD do not', () => {
    const flags = { rd: true, cd: true, ad: true };
    const answer = ask(query({ flags, questions: [question('S1._domainkey.EXAMPLE.test')] }));
    expect(answer).toMatchObject({
      id: 4711,
      opcode: 'QUERY',
      rcode: 'NOERROR',
      flags: { qr: true, aa: true, tc: false, rd: true, ra: false, ad: false, cd: false },
      questions: [question('S1._domainkey.EXAMPLE.test')],
    });
    expect(answer.answers[0]?.name).toBe('S1._domainkey.EXAMPLE.test');
    expect(answer.edns).toBeUndefined();
  });

  test('answers and what is too short for a header get nothing', () => {
    expect(respond(query({ flags: { qr: true }, questions: [question('example.test')] }), '192.0.2.1', 'udp')).toEqual({
      kind: 'silence',
    });
    for (let length = 0; length < 12; length += 1) {
      expect(respond(new Uint8Array(length), '192.0.2.1', 'udp')).toEqual({ kind: 'silence' });
    }
  });

  test('no question, several, or what cannot be decoded: FORMERR with the id', () => {
    const two = [question('example.test'), question('example.test')];
    expect(ask(query({ questions: [] }))).toMatchObject({ id: 4711, rcode: 'FORMERR' });
    expect(ask(query({ questions: two }))).toMatchObject({ id: 4711, rcode: 'FORMERR' });
    const cut = query({ questions: [question('example.test')] }).subarray(0, 20);
    expect(ask(cut)).toMatchObject({ id: 4711, rcode: 'FORMERR', questions: [] });
  });

  test.each(['IQUERY', 'STATUS', 'NOTIFY', 'UPDATE', 3, 15] as const)('opcode %s: NOTIMP', (opcode) => {
    expect(ask(query({ opcode, questions: [question('example.test', 'SOA')] }))).toMatchObject({
      opcode,
      rcode: 'NOTIMP',
    });
  });
});

describe('EDNS', () => {
  const asked = (parts: Partial<typeof edns>, name = 's1._domainkey.example.test'): Message =>
    ask(query({ questions: [question(name)], edns: { ...edns, ...parts } }));

  test('an OPT in the answer where there was one in the question; unknown options are ignored, DO is copied', () => {
    const option = { code: 65_001, data: new Uint8Array([1, 2, 3]) };
    expect(
      ask(
        query({ questions: [question('s1._domainkey.example.test')], edns: { ...edns, do: true, options: [option] } }),
      ),
    ).toMatchObject({
      rcode: 'NOERROR',
      edns: { version: 0, do: true, udpSize: 1232, options: [] },
    });
    expect(asked({}, 'nowhere.example').edns).toBeDefined();
  });

  test('a version that is not known: BADVERS, and nothing else', () => {
    expect(asked({ version: 1 })).toMatchObject({ rcode: 'BADVERS', answers: [], edns: { version: 0 } });
  });

  test('the smaller of both sizes counts, and what is longer is cut with TC', () => {
    const long = 'long._domainkey.example.test';
    const plain = ask(query({ questions: [question(long)] }));
    expect(plain).toMatchObject({ flags: { tc: true }, answers: [] });
    expect(asked({ udpSize: 4096 }, long)).toMatchObject({ flags: { tc: true }, answers: [] });
    expect(asked({ udpSize: 600 })).toMatchObject({ flags: { tc: false } });
    expect(asked({ udpSize: 100 })).toMatchObject({ flags: { tc: false } });
    const overTcp = ask(query({ questions: [question(long)] }), 'tcp');
    expect(overTcp).toMatchObject({ flags: { tc: false }, answers: [{ type: 'TXT' }] });
  });
});

describe('TSIG', () => {
  const plain = query({ questions: [question('s1._domainkey.example.test')] });

  test('a signed question gets a signed answer that fits', () => {
    const signed = signTsig(plain, key, { time: NOW });
    const response = respond(signed.bytes, '192.0.2.1', 'udp');
    if (response.kind !== 'message') expect.fail('no message');
    expect(response.bytes.length).toBeLessThanOrEqual(512);
    expect(verifyTsig(response.bytes, key, { now: NOW, requestMac: signed.mac }).status).toBe('ok');
  });

  test('a wrong key, signature or time: NOTAUTH, and the reason', () => {
    const other = { ...key, name: 'other.example' };
    const forged = { ...key, secret: Buffer.alloc(32, 8) };
    const cases = [
      [signTsig(plain, other, { time: NOW }), 17],
      [signTsig(plain, forged, { time: NOW }), 16],
      [signTsig(plain, key, { time: NOW - 3600 }), 18],
    ] as const;
    for (const [signed, error] of cases) {
      const answer = ask(signed.bytes);
      expect(answer).toMatchObject({ rcode: 'NOTAUTH', answers: [] });
      expect(answer.additionals.at(-1)?.data).toMatchObject({ kind: 'TSIG', error });
    }
  });
});

describe('transfers', () => {
  const axfr = query({ questions: [question('Example.test', 'AXFR')] });
  const ixfr = (serial: number): Uint8Array => {
    const soa = zones.current().get('example.test')?.soa ?? expect.fail('no zone');
    const data = soa.data.kind === 'SOA' ? { ...soa.data, serial } : expect.fail('no SOA');
    return query({ questions: [question('example.test', 'IXFR')], authorities: [{ ...soa, data }] });
  };
  const serials = (message: Message | undefined): (number | string)[] =>
    (message?.answers ?? []).map(({ data, name, type }) =>
      data.kind === 'SOA' ? data.serial : `${name.split('.')[0]} ${type}`,
    );

  test('for a listed address or a key, over TCP, of a whole zone; for nobody else', () => {
    expect(ask(axfr, 'tcp')).toMatchObject({ rcode: 'REFUSED' });
    expect(ask(ixfr(10), 'tcp')).toMatchObject({ rcode: 'REFUSED' });
    expect(ask(axfr, 'udp', '192.0.2.53')).toMatchObject({ rcode: 'FORMERR' });
    expect(
      ask(query({ questions: [question('s1._domainkey.example.test', 'AXFR')] }), 'tcp', '192.0.2.53'),
    ).toMatchObject({ rcode: 'NOTAUTH' });
    const [message] = stream(respond(axfr, '192.0.2.53', 'tcp'));
    expect(serials(message)).toEqual([11, 'example NS', expect.anything(), expect.anything(), expect.anything(), 11]);
    const signed = signTsig(axfr, key, { time: NOW });
    expect(stream(respond(signed.bytes, '192.0.2.1', 'tcp'))).toHaveLength(1);
    const forged = signTsig(axfr, { ...key, secret: Buffer.alloc(32) }, { time: NOW });
    expect(ask(forged.bytes, 'tcp', '192.0.2.53')).toMatchObject({ rcode: 'NOTAUTH' });
  });

  test('incremental: the changes, the SOA alone when nothing is newer, the whole zone when too much is', () => {
    const over = (serial: number): (number | string)[] =>
      serials(stream(respond(ixfr(serial), '192.0.2.53', 'tcp'))[0]);
    expect(over(10)).toEqual([11, 10, 11, 's2 TXT', 11]);
    expect(over(11)).toEqual([11]);
    expect(over(12)).toEqual([11]);
    expect(over(3)).toHaveLength(6);
    expect(ask(query({ questions: [question('example.test', 'IXFR')] }), 'tcp', '192.0.2.53')).toMatchObject({
      rcode: 'FORMERR',
    });
    // Over UDP: the SOA, for the secondary to see that it is behind.
    expect(serials(ask(ixfr(10)))).toEqual([11]);
  });

  test('a large zone goes in several messages, each signed, and is whole', () => {
    const names = Array.from({ length: 500 }, (_, i) => `s${i}.large.test`);
    const large = createZoneStore([
      {
        apex: 'large.test',
        nameServers: ['ns.large.test'],
        records: names.map((name) => [name, { value: 'x'.repeat(400), ttl: 1 }]),
      },
    ]);
    const transfer = createResponder({
      zones: () => large.current(),
      keys: [key],
      mayTransfer: () => false,
      now: () => NOW * 1000,
    });
    const signed = signTsig(query({ questions: [question('large.test', 'AXFR')] }), key, { time: NOW });
    const response = transfer(signed.bytes, '192.0.2.1', 'tcp');
    if (response.kind !== 'stream') expect.fail('no stream');
    let mac = signed.mac;
    const owners: string[] = [];
    for (const [index, bytes] of [...response.messages].entries()) {
      expect(bytes.length).toBeLessThan(16_384);
      const verified = verifyTsig(bytes, key, { now: NOW, requestMac: mac, timersOnly: index > 0 });
      if (verified.status !== 'ok') expect.fail(verified.status);
      mac = verified.mac;
      owners.push(...decodeMessage(bytes).answers.map(({ name }) => name));
    }
    expect(owners).toHaveLength(503);
    expect(new Set(owners)).toEqual(new Set(['large.test', ...names]));
  });
});

describe('hostile packets', () => {
  const valid = [
    query({ questions: [question('s1._domainkey.example.test')], edns }),
    query({ questions: [question('example.test', 'AXFR')] }),
    signTsig(query({ questions: [question('example.test', 'IXFR')] }), key, { time: NOW }).bytes,
  ];

  /** Whatever comes is answered in a form that can be read, or not at all; a request is echoed by id. */
  const check = (bytes: Uint8Array, transport: 'udp' | 'tcp'): void => {
    const response = respond(bytes, '192.0.2.53', transport);
    if (response.kind === 'silence') return;
    const messages = response.kind === 'message' ? [response.bytes] : [...response.messages];
    for (const message of messages) {
      const decoded = decodeMessage(message);
      expect(decoded.flags.qr).toBe(true);
      expect(decoded.id).toBe(((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0));
      if (transport === 'udp') expect(message.length).toBeLessThanOrEqual(1232);
    }
  };

  test('any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), fc.constantFrom('udp', 'tcp'), check), { numRuns: 2000 });
  });

  test('valid requests with bytes changed, cut off or added', () => {
    const change = fc.tuple(fc.nat(400), fc.nat(255));
    fc.assert(
      fc.property(
        fc.constantFrom(...valid),
        fc.array(change, { maxLength: 4 }),
        fc.nat(400),
        fc.uint8Array({ maxLength: 20 }),
        fc.constantFrom('udp', 'tcp'),
        (base, changes, cut, more, transport) => {
          const bytes = Buffer.concat([base.subarray(0, cut < 300 ? base.length : cut), more]);
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
          check(bytes, transport);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('a longest name with a signature still gets an answer', () => {
    const longest = `${`${'a'.repeat(63)}.`.repeat(3)}${'a'.repeat(48)}.example.test`;
    const signed = signTsig(query({ questions: [question(longest)] }), key, { time: NOW });
    expect(ask(signed.bytes)).toMatchObject({ rcode: 'NXDOMAIN' });
  });

  test('what rate limiting sends is the question with TC', () => {
    const cut = truncated(query({ questions: [question('s1._domainkey.example.test')], edns }));
    expect(cut === null ? null : decodeMessage(cut)).toMatchObject({
      id: 4711,
      flags: { qr: true, tc: true },
      answers: [],
    });
    expect(truncated(new Uint8Array(30))).toBeNull();
    expect(truncated(new Uint8Array(3))).toBeNull();
  });
});

/** Messages of every shape for property tests; names share suffixes, so that compression has work to do. */
import fc from 'fast-check';
import type { Edns, Message, RecordData, ResourceRecord } from '../../src/dns/wire/message.ts';
import { labelText } from '../../src/dns/wire/name.ts';

const plainLabel = fc.constantFrom('example', 'com', 'Example', 's1', '_domainkey', 'mail', 'a', 'x'.repeat(63), '0');
const oddLabel = fc.uint8Array({ minLength: 1, maxLength: 12 }).map((bytes) => labelText(bytes));
const label = fc.oneof({ weight: 5, arbitrary: plainLabel }, { weight: 1, arbitrary: oddLabel });

/** A name in canonical presentation form, well below 255 octets. */
export const anyName: fc.Arbitrary<string> = fc
  .array(label, { maxLength: 5 })
  .map((labels) => labels.filter((text, i) => text.length < 60 || i === 0).join('.') || '.');

export const bytes = (maxLength: number, minLength = 0): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength }).map((array) => new Uint8Array(array));

const u8 = fc.nat(0xff);
const u16 = fc.nat(0xffff);
/** TTLs stay below 2^31 (RFC 2181 §8), which other implementations insist on. */
const u31 = fc.nat(0x7fffffff);
const u32 = fc.nat(0xffffffff);
const ipv4 = fc.tuple(u8, u8, u8, u8).map((octets) => octets.join('.'));

const target = <K extends 'NS' | 'CNAME' | 'DNAME' | 'PTR'>(kind: K): fc.Arbitrary<{ kind: K; target: string }> =>
  fc.record({ kind: fc.constant(kind), target: anyName });

const structured: readonly fc.Arbitrary<RecordData>[] = [
  fc.record({ kind: fc.constant('A'), address: ipv4 }),
  // The canonical text of an IPv6 address is tested by itself, against the platform's.
  fc.record({ kind: fc.constant('AAAA'), address: fc.constantFrom('::', '::1', '2001:db8::1:0:0:1', 'fe80::1') }),
  target('NS'),
  target('CNAME'),
  target('DNAME'),
  target('PTR'),
  fc.record({
    kind: fc.constant('SOA'),
    mname: anyName,
    rname: anyName,
    serial: u32,
    refresh: u31,
    retry: u31,
    expire: u31,
    minimum: u31,
  }),
  fc.record({ kind: fc.constant('MX'), preference: u16, exchange: anyName }),
  fc.record({ kind: fc.constant('TXT'), strings: fc.array(bytes(255), { minLength: 1, maxLength: 4 }) }),
  fc.record({ kind: fc.constant('SRV'), priority: u16, weight: u16, port: u16, target: anyName }),
  fc.record({
    kind: fc.constant('CAA'),
    flags: u8,
    tag: fc.constantFrom('issue', 'issuewild', 'iodef'),
    value: bytes(40),
  }),
];

/** A type and data of it, neither empty. */
export const anyData: fc.Arbitrary<{ readonly type: string; readonly data: RecordData }> = fc.oneof(
  { weight: 6, arbitrary: fc.oneof(...structured).map((data) => ({ type: data.kind as string, data })) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom('TYPE65300', 'TYPE40000'),
      data: bytes(300, 1).map((raw): RecordData => ({ kind: 'RAW', bytes: raw })),
    }),
  },
);

const record = (recordClass: 'IN' | 'NONE', ttl: fc.Arbitrary<number>): fc.Arbitrary<ResourceRecord> =>
  fc.tuple(anyName, ttl, anyData).map(([name, seconds, { type, data }]) => ({
    name,
    type,
    class: recordClass,
    ttl: seconds,
    data,
  }));

const empty = (recordClass: 'NONE' | 'ANY'): fc.Arbitrary<ResourceRecord> =>
  fc.record({
    name: anyName,
    type: fc.constantFrom('TXT', 'CNAME', 'ANY', 'A'),
    class: fc.constant(recordClass),
    ttl: fc.constant(0),
    data: fc.constant({ kind: 'EMPTY' }),
  });

const edns: fc.Arbitrary<Edns> = fc.record({
  udpSize: fc.integer({ min: 512, max: 65535 }),
  version: fc.constant(0),
  do: fc.boolean(),
  // Codes for local use, which no implementation interprets.
  options: fc.array(fc.record({ code: fc.integer({ min: 65001, max: 65534 }), data: bytes(20) }), { maxLength: 3 }),
});

const flags = fc.record({
  qr: fc.boolean(),
  aa: fc.boolean(),
  tc: fc.boolean(),
  rd: fc.boolean(),
  ra: fc.boolean(),
  ad: fc.boolean(),
  cd: fc.boolean(),
});

const withEdns = (message: fc.Arbitrary<Message>): fc.Arbitrary<Message> =>
  fc.tuple(message, fc.option(edns)).map(([plain, opt]) => (opt === null ? plain : { ...plain, edns: opt }));

const records = fc.array(record('IN', u31), { maxLength: 4 });

/** Queries and answers. */
export const anyQuery: fc.Arbitrary<Message> = withEdns(
  fc.record({
    id: u16,
    opcode: fc.constant('QUERY' as const),
    rcode: fc.constantFrom('NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED', 'NOTAUTH'),
    flags,
    questions: fc.array(
      fc.record({
        name: anyName,
        type: fc.constantFrom('A', 'TXT', 'ANY', 'AXFR', 'TYPE999'),
        class: fc.constant('IN'),
      }),
      { maxLength: 1 },
    ),
    answers: records,
    authorities: records,
    additionals: records,
  }),
);

/** Updates with every form of prerequisite and change (RFC 2136 §2.4, §2.5). */
export const anyUpdate: fc.Arbitrary<Message> = withEdns(
  fc.record({
    id: u16,
    opcode: fc.constant('UPDATE' as const),
    rcode: fc.constant('NOERROR' as const),
    flags: fc.constant({ qr: false, aa: false, tc: false, rd: false, ra: false, ad: false, cd: false }),
    questions: fc.tuple(fc.record({ name: anyName, type: fc.constant('SOA'), class: fc.constant('IN') })),
    answers: fc.array(fc.oneof(empty('NONE'), empty('ANY'), record('IN', fc.constant(0))), { maxLength: 4 }),
    authorities: fc.array(fc.oneof(empty('ANY'), record('NONE', fc.constant(0)), record('IN', u31)), { maxLength: 4 }),
    additionals: fc.constant([]),
  }),
);

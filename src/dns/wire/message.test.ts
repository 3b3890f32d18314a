import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyQuery, anyUpdate } from '../../../tests/dns/wire-arbitraries.ts';
import {
  createMessage,
  decodeMessage,
  encodeMessage,
  peekHeader,
  type ResourceRecord,
  txtData,
  txtStrings,
  txtValue,
  WireError,
} from './message.ts';

const anyMessage = fc.oneof(anyQuery, anyUpdate);

function decodes(bytes: Uint8Array): boolean {
  try {
    decodeMessage(bytes);
    return true;
  } catch (error) {
    // Whatever is wrong with the bytes, no other error may come out.
    expect(error).toBeInstanceOf(WireError);
    return false;
  }
}

/** A header with the four counts, and what follows. */
const message = (counts: readonly [number, number, number, number], ...rest: number[]): Uint8Array =>
  Uint8Array.from([0x12, 0x34, 0, 0, ...counts.flatMap((count) => [count >> 8, count & 0xff]), ...rest]);

const pointerTo = (offset: number): number[] => [0xc0 | (offset >> 8), offset & 0xff];

/** A name of 194 octets and as many as its last label is to have. */
const longName = (last: number): number[] =>
  [63, 63, 63, last].flatMap((n) => [n, ...Array<number>(n).fill(97)]).concat(0);

describe('messages', () => {
  it('come back as they were, compressed or not', () => {
    fc.assert(
      fc.property(anyMessage, (given) => {
        expect(decodeMessage(encodeMessage(given))).toEqual(given);
      }),
      { numRuns: 1000 },
    );
  });

  it('share no memory with the packet that they were read from', () => {
    const bytes = Buffer.from(encodeMessage(createMessage({ answers: [record('a.example', 'x'.repeat(300))] })));
    const decoded = decodeMessage(bytes);
    bytes.fill(0);
    expect(decoded.answers[0]).toEqual(record('a.example', 'x'.repeat(300)));
  });

  it('compress repeated names and keep the case of each', () => {
    const names = ['s1._domainkey.example.com', 's2._domainkey.example.com', 'S1._domainkey.Example.com'];
    const given = createMessage({ answers: names.map((name) => record(name, 'v')) });
    const bytes = encodeMessage(given);
    // The first name in full (27 octets), the second as a label and a pointer, the third up to its own spelling.
    expect(bytes.length).toBe(12 + (27 + 12) + (3 + 2 + 12) + (3 + 11 + 8 + 2 + 12));
    expect(decodeMessage(bytes).answers.map(({ name }) => name)).toEqual(names);
  });

  it('compress only to where a pointer reaches, past 16 KiB', () => {
    const answers = Array.from({ length: 900 }, (_, i) => record(`n${i}.pair${i >> 1}.example.com`, `${i}`));
    const given = createMessage({ answers });
    const bytes = encodeMessage(given);
    expect(bytes.length).toBeGreaterThan(0x4000);
    expect(decodeMessage(bytes)).toEqual(given);
  });

  it('carry extended response codes in EDNS, and refuse them without it', () => {
    const edns = { udpSize: 1232, version: 0, do: true, options: [{ code: 10, data: Uint8Array.of(1, 2) }] };
    const given = createMessage({ rcode: 'BADVERS', edns });
    expect(decodeMessage(encodeMessage(given))).toEqual(given);
    expect(() => encodeMessage(createMessage({ rcode: 'BADVERS' }))).toThrow(/needs EDNS/);
  });

  it('keep numbers without a mnemonic', () => {
    const given = createMessage({
      opcode: 9,
      rcode: 13,
      questions: [{ name: 'x', type: 'TYPE65000', class: 4711 }],
    });
    expect(decodeMessage(encodeMessage(given))).toEqual(given);
  });

  it.each([
    ['an id', { id: 0x10000 }],
    ['a TTL', { answers: [{ ...record('a', 'b'), ttl: -1 }] }],
    ['an opcode', { opcode: 16 }],
    ['a class', { questions: [{ name: 'a', type: 'A', class: 1.5 }] }],
    ['a type', { questions: [{ name: 'a', type: 'NOSUCH', class: 'IN' as const }] }],
    ['a type number', { questions: [{ name: 'a', type: 'TYPE65536', class: 'IN' as const }] }],
    ['data of another type', { answers: [{ ...record('a', 'b'), type: 'A' }] }],
    [
      'a TXT record without strings',
      { answers: [{ ...record('a', 'b'), data: { kind: 'TXT' as const, strings: [] } }] },
    ],
    [
      'a string of 256 bytes',
      { answers: [{ ...record('a', 'b'), data: { kind: 'TXT' as const, strings: [new Uint8Array(256)] } }] },
    ],
  ])('refuse %s that the wire cannot carry', (_, parts) => {
    expect(() => encodeMessage(createMessage(parts))).toThrow(WireError);
  });
});

describe('a message that is too long', () => {
  const question = { name: 's1._domainkey.example.com', type: 'TXT', class: 'IN' } as const;
  const edns = { udpSize: 1232, version: 0, do: false, options: [] };
  const long = createMessage({
    flags: { qr: true, aa: true },
    questions: [question],
    answers: [record(question.name, 'x'.repeat(400))],
    additionals: [record('other.example.com', 'y'.repeat(400))],
    edns,
  });

  it('loses its additional data first, which nobody must have', () => {
    const cut = decodeMessage(encodeMessage(long, { maxSize: 600 }));
    expect(cut).toEqual({ ...long, additionals: [] });
  });

  it('then its answer, and says so', () => {
    const bytes = encodeMessage(long, { maxSize: 300 });
    expect(bytes.length).toBeLessThanOrEqual(300);
    expect(decodeMessage(bytes)).toEqual({ ...long, flags: { ...long.flags, tc: true }, answers: [], additionals: [] });
  });

  it('is an error where nothing may be lost', () => {
    const huge = { ...long, answers: Array.from({ length: 200 }, () => record('a', 'x'.repeat(400))) };
    expect(() => encodeMessage(huge)).toThrow(expect.objectContaining({ code: 'too-large' }));
    expect(decodeMessage(encodeMessage(huge, { maxSize: 65535 })).flags.tc).toBe(true);
    expect(() => encodeMessage(long, { maxSize: 20 })).toThrow(expect.objectContaining({ code: 'too-large' }));
  });
});

describe('hostile bytes', () => {
  it('never bring anything but a WireError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        decodes(bytes);
      }),
      { numRuns: 3000 },
    );
  });

  it('never do so behind a header whose counts ask for much', () => {
    const counts = fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3), fc.nat(3));
    fc.assert(
      fc.property(counts, fc.uint8Array({ maxLength: 400 }), (four, rest) => {
        decodes(message(four, ...rest));
      }),
      { numRuns: 3000 },
    );
  });

  it('never do so when a good message is cut or changed', () => {
    const change = fc.record({ at: fc.nat(2000), to: fc.oneof(fc.nat(255), fc.constantFrom(0xc0, 0xff, 0, 63, 64)) });
    fc.assert(
      fc.property(anyMessage, fc.array(change, { maxLength: 6 }), fc.nat(2000), (given, changes, keep) => {
        const bytes = encodeMessage(given);
        for (const { at, to } of changes) bytes[at % bytes.length] = to;
        decodes(bytes);
        decodes(bytes.subarray(0, keep % (bytes.length + 1)));
      }),
      { numRuns: 3000 },
    );
  });

  it('whatever is read can be written again and read as the same', () => {
    const change = fc.record({ at: fc.nat(2000), to: fc.nat(255) });
    fc.assert(
      fc.property(anyMessage, fc.array(change, { maxLength: 3 }), (given, changes) => {
        const bytes = encodeMessage(given);
        for (const { at, to } of changes) bytes[at % bytes.length] = to;
        if (!decodes(bytes)) return;
        const decoded = decodeMessage(bytes);
        expect(decodeMessage(encodeMessage(decoded))).toEqual(decoded);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['nothing', new Uint8Array()],
    ['half a header', new Uint8Array(11)],
    ['a pointer to itself', message([1, 0, 0, 0], 0xc0, 12, 0, 1, 0, 1)],
    ['two pointers to each other', message([1, 0, 0, 0], 0xc0, 14, 0xc0, 12, 0, 1, 0, 1)],
    ['a pointer forward', message([1, 0, 0, 0], 0xc0, 18, 0, 1, 0, 1, 0)],
    [
      'a pointer forward, to a good name',
      message([1, 1, 0, 0], ...pointerTo(29), 0, 1, 0, 1, 0, 0xff, 0x14, 0, 1, 0, 0, 0, 0, 0, 3, 1, 97, 0),
    ],
    ['a pointer into the header', message([1, 0, 0, 0], 0xc0, 4, 0, 1, 0, 1)],
    ['a label before a pointer to that label', message([1, 0, 0, 0], 1, 97, 0xc0, 12, 0, 1, 0, 1)],
    ['a name of 256 octets', message([1, 0, 0, 0], ...longName(62), 0, 1, 0, 1)],
    ['half a pointer', message([1, 0, 0, 0], 0xc0)],
    ['an obsolete label type', message([1, 0, 0, 0], 0x41, 0, 0, 1, 0, 1)],
    ['a label past the end', message([1, 0, 0, 0], 63, 97)],
    ['counts that lie', message([0, 65535, 65535, 65535])],
    ['bytes after the end', message([0, 0, 0, 0], 0)],
    ['record data past the end', message([0, 1, 0, 0], 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3)],
    ['an A record of five bytes', message([0, 1, 0, 0], 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4, 5)],
    ['a name past its record data', message([0, 1, 0, 0], 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 2, 1, 97, 0)],
    ['a string past its record data', message([0, 1, 0, 0], 0, 0, 16, 0, 1, 0, 0, 0, 0, 0, 2, 5, 97, 97, 97, 97)],
    ['two OPT records', message([0, 0, 0, 2], ...Array(2).fill([0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]).flat())],
    ['an OPT record in the answer', message([0, 1, 0, 0], 0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0)],
    ['an OPT record with a name', message([0, 0, 0, 1], 1, 97, 0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0)],
    ['an EDNS option past its record', message([0, 0, 0, 1], 0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 9)],
    ['65,536 bytes', new Uint8Array(65536)],
  ])('%s are refused', (_, bytes) => {
    expect(decodes(bytes)).toBe(false);
  });

  it('end where names of 255 octets do not', () => {
    expect(decodes(message([1, 0, 0, 0], ...longName(61), 0, 1, 0, 1))).toBe(true);
  });

  it.each([
    [127, true],
    [128, false],
  ])('with a chain of %i pointers before a name: read is %s', (length, readable) => {
    const inData = length - 1;
    // The chain is the data of a first record, from offset 23 on: the root, then pointers each to the one before.
    const chain = Array.from({ length: inData }, (_, i) => pointerTo(i === 0 ? 23 : 22 + 2 * i)).flat();
    const first = [0, 0xff, 0x14, 0, 1, 0, 0, 0, 0, 0, chain.length + 1, 0, ...chain];
    const last = 22 + 2 * inData;
    const second = [...pointerTo(last), 0xff, 0x14, 0, 1, 0, 0, 0, 0, 0, 0];
    expect(decodes(message([0, 2, 0, 0], ...first, ...second))).toBe(readable);
  });
});

describe('peekHeader', () => {
  it('tells what is needed to answer the undecodable', () => {
    const bytes = encodeMessage(createMessage({ id: 4711, opcode: 'NOTIFY', flags: { rd: true } }));
    expect(peekHeader(Buffer.concat([bytes, bytes]))).toMatchObject({
      id: 4711,
      opcode: 'NOTIFY',
      flags: { rd: true, qr: false },
    });
    expect(peekHeader(new Uint8Array(11))).toBeNull();
  });
});

describe('TXT values', () => {
  it('are cut at 255 octets and joined again', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii', maxLength: 1500 }), (value) => {
        expect(txtValue(txtData(value))).toBe(value);
        expect(txtStrings(value).every((part) => part.length <= 255)).toBe(true);
      }),
    );
    expect(txtData('x'.repeat(511)).strings.map(({ length }) => length)).toEqual([255, 255, 1]);
    expect(txtStrings('')).toEqual(['']);
  });
});

function record(name: string, value: string): ResourceRecord {
  return { name, type: 'TXT', class: 'IN', ttl: 300, data: txtData(value) };
}

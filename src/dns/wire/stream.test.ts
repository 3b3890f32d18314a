import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frameMessage, StreamReader } from './stream.ts';

describe('StreamReader', () => {
  it('finds the messages however the stream is cut', () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 8 });
    fc.assert(
      fc.property(messages, fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }), (given, cuts) => {
        const stream = Buffer.concat(given.map(frameMessage));
        const reader = new StreamReader();
        const found: Uint8Array[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = cuts[i % cuts.length] ?? 1;
          found.push(...reader.push(stream.subarray(at, at + size)));
          at += size;
        }
        expect(found.map((bytes) => [...bytes])).toEqual(given.map((bytes) => [...bytes]));
        expect(reader.idle).toBe(true);
      }),
    );
  });

  it('knows that it stands within a message', () => {
    const reader = new StreamReader();
    expect(reader.push(Uint8Array.of(0))).toEqual([]);
    expect(reader.idle).toBe(false);
    expect(reader.push(Uint8Array.of(2, 7))).toEqual([]);
    expect(reader.idle).toBe(false);
    expect(reader.buffered).toBe(1);
    expect(reader.push(Uint8Array.of(8))).toEqual([Uint8Array.of(7, 8)]);
    expect(reader.idle).toBe(true);
  });

  it('takes the longest message byte by byte', () => {
    const long = frameMessage(new Uint8Array(65535).fill(7));
    const reader = new StreamReader();
    const found = Array.from(long, (octet) => reader.push(Uint8Array.of(octet))).flat();
    expect(found.map(({ length }) => length)).toEqual([65535]);
  });

  it('frames nothing that has no room', () => {
    expect(() => frameMessage(new Uint8Array(65536))).toThrow(expect.objectContaining({ code: 'too-large' }));
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { temporaryKeks } from './kek.ts';
import { type Keks, type Place, seal, unseal } from './sealing.ts';

const place: Place = { purpose: 'private-key', domain: 'example.com', selector: 's1', id: 'k1' };
const keks = temporaryKeks();
const part = fc.string({ maxLength: 8 });
const anyPlace = fc.record({
  purpose: fc.constantFrom('private-key' as const, 'pool' as const, 'journal-key' as const),
  domain: part,
  selector: part,
  id: part,
});

describe('what is sealed', () => {
  test('opens in its place, and is longer by 37 octets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), anyPlace, (plain, where) => {
        const sealed = seal(keks, where, plain);
        expect(sealed.length).toBe(plain.length + 37);
        expect(unseal(keks, where, sealed)).toStrictEqual(Buffer.from(plain));
      }),
    );
  });

  test('does not open in any other place, however the parts run together', () => {
    fc.assert(
      fc.property(anyPlace, anyPlace, (here, there) => {
        fc.pre(JSON.stringify(Object.values(here)) !== JSON.stringify(Object.values(there)));
        const sealed = seal(keks, here, Buffer.from('secret'));
        expect(() => unseal(keks, there, sealed)).toThrow(expect.objectContaining({ code: 'unsealed' }));
      }),
      { numRuns: 300 },
    );
  });

  test('does not open after any bit was turned', () => {
    const sealed = seal(keks, place, Buffer.from('secret'));
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const altered = Buffer.from(sealed);
      altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => unseal(keks, place, altered)).toThrow(expect.objectContaining({ name: 'StoreError' }));
    }
    for (let length = 0; length < sealed.length; length++) {
      expect(() => unseal(keks, place, sealed.subarray(0, length))).toThrow(
        expect.objectContaining({ name: 'StoreError' }),
      );
    }
  });

  test('never looks the same twice', () => {
    const seen = new Set(Array.from({ length: 200 }, () => seal(keks, place, Buffer.from('secret')).toString('hex')));
    expect(seen.size).toBe(200);
  });

  test('opens under an old key, and under a foreign one says which is missing', () => {
    const sealed = seal(keks, place, Buffer.from('secret'));
    const next = temporaryKeks();
    const both: Keks = { current: next.current, old: [keks.current] };
    expect(unseal(both, place, sealed).toString()).toBe('secret');
    expect(() => unseal(next, place, sealed)).toThrow(
      expect.objectContaining({ code: 'wrong-kek', message: expect.stringContaining(keks.current.id) }),
    );
  });
});

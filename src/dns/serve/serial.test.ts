import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addSerial, isNewer, startSerial } from './serial.ts';

const serial = fc.integer({ min: 0, max: 2 ** 32 - 1 });

test('a serial grows by every step up to half the circle, and over the end of the numbers', () => {
  fc.assert(
    fc.property(serial, fc.integer({ min: 1, max: 2 ** 31 - 2 }), (from, steps) => {
      const next = addSerial(from, steps);
      expect(isNewer(next, from)).toBe(true);
      expect(isNewer(from, next)).toBe(false);
      expect(next).toBeGreaterThan(0);
      expect(next).toBeLessThan(2 ** 32);
    }),
  );
  expect(addSerial(2 ** 32 - 1)).toBe(1);
  expect(isNewer(0, 0)).toBe(false);
  expect(isNewer(2 ** 31, 0)).toBe(false);
});

test('a start is newer than what was saved, whatever the clock says', () => {
  fc.assert(
    fc.property(serial, fc.integer({ min: 0, max: 8e12 }), (saved, now) => {
      const first = startSerial(saved, now);
      expect(isNewer(first, saved)).toBe(true);
      // The last changes may have been served without having been saved.
      expect(isNewer(first, addSerial(saved, 1000))).toBe(true);
    }),
  );
  expect(startSerial(null, 1_700_000_000_500)).toBe(1_700_000_000);
  expect(startSerial(1_600_000_000, 1_700_000_000_000)).toBe(1_700_000_000);
});

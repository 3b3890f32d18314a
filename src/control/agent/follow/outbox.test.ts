import { expect, test } from 'vitest';
import { MOST_REQUEST_BYTES } from '../wire.ts';
import { createOutbox } from './outbox.ts';

test('of each thing the newest is told, and kept until it was taken', () => {
  const outbox = createOutbox(() => 0);
  outbox.put({ kind: 'not-acknowledged', domain: 'a.test', message: 'no' });
  outbox.put({ kind: 'acknowledged', domain: 'a.test', born: 1, generation: 1 });
  outbox.put({ kind: 'acknowledged', domain: 'a.test', born: 1, generation: 2 });
  const first = outbox.take();
  expect(first?.reports).toEqual([{ kind: 'acknowledged', domain: 'a.test', born: 1, generation: 2 }]);
  // What came while it was on its way is told after it.
  outbox.put({ kind: 'acknowledged', domain: 'a.test', born: 1, generation: 3 });
  first?.settle();
  expect(outbox.take()?.reports).toEqual([{ kind: 'acknowledged', domain: 'a.test', born: 1, generation: 3 }]);
  outbox.take()?.settle();
  expect(outbox.take()).toBeNull();
});

test('signatures on mail are told by their age when they are sent, and seldom', () => {
  let now = 1000;
  const outbox = createOutbox(() => now);
  outbox.seen('a.test', 's1', 500);
  now = 4000;
  const told = outbox.take();
  expect(told?.reports).toEqual([{ kind: 'signature-seen', domain: 'a.test', selector: 's1', age: 3500 }]);
  told?.settle();
  outbox.seen('a.test', 's1', 0);
  expect(outbox.size).toBe(0);
  outbox.seen('a.test', 's2', 0);
  expect(outbox.size).toBe(1);
  now += 11 * 60_000;
  outbox.seen('a.test', 's1', 0);
  expect(outbox.size).toBe(2);
});

test('at most so many at once, a domain never torn apart', () => {
  const outbox = createOutbox(() => 0);
  for (let i = 0; i < 350; i++) {
    outbox.put({ kind: 'acknowledged', domain: `d${i}.test`, born: 1, generation: 0 });
    outbox.put({ kind: 'not-acknowledged', domain: `d${i}.test`, message: 'no'.repeat(2000) });
  }
  const first = outbox.take();
  expect(first?.reports.length).toBe(500);
  expect(JSON.stringify(first?.reports).length).toBeLessThan(MOST_REQUEST_BYTES / 2);
  first?.settle();
  expect(outbox.take()?.reports.length).toBe(200);
});

import { expect, it } from 'vitest';
import { frozenAt } from './freeze.ts';
import { defaultPolicy, type FreezeWindow } from './policy.ts';

const at = (text: string): number => Date.parse(`${text}Z`);

function until(window: FreezeWindow, now: string): string | null {
  const frozen = frozenAt({ ...defaultPolicy, freeze: [window] }, at(now));
  return frozen === null ? null : new Date(frozen.until).toISOString();
}

it('a window of dates holds from its first instant to just before its last', () => {
  const window: FreezeWindow = { kind: 'dates', from: at('2026-12-01T00:00'), to: at('2026-12-02T12:00') };
  expect(until(window, '2026-11-30T23:59')).toBeNull();
  expect(until(window, '2026-12-01T00:00')).toBe('2026-12-02T12:00:00.000Z');
  expect(until(window, '2026-12-02T12:00')).toBeNull();
});

it('a yearly window may run over New Year, and includes both of its days', () => {
  const window: FreezeWindow = { kind: 'yearly', from: { month: 12, day: 20 }, to: { month: 1, day: 6 } };
  expect(until(window, '2026-12-19T23:59')).toBeNull();
  expect(until(window, '2026-12-20T00:00')).toBe('2027-01-07T00:00:00.000Z');
  expect(until(window, '2027-01-06T23:59')).toBe('2027-01-07T00:00:00.000Z');
  expect(until(window, '2027-01-07T00:00')).toBeNull();
  const inYear: FreezeWindow = { kind: 'yearly', from: { month: 11, day: 24 }, to: { month: 11, day: 30 } };
  expect(until(inYear, '2026-11-24T12:00')).toBe('2026-12-01T00:00:00.000Z');
  expect(until(inYear, '2026-12-01T00:00')).toBeNull();
});

it("a weekly window may run over the week's end", () => {
  const window: FreezeWindow = {
    kind: 'weekly',
    from: { weekday: 5, minute: 18 * 60 },
    to: { weekday: 1, minute: 360 },
  };
  expect(until(window, '2026-11-27T17:59')).toBeNull();
  expect(until(window, '2026-11-27T18:00')).toBe('2026-11-30T06:00:00.000Z');
  expect(until(window, '2026-11-29T12:00')).toBe('2026-11-30T06:00:00.000Z');
  expect(until(window, '2026-11-30T06:00')).toBeNull();
});

it('of several windows the one that ends last counts', () => {
  const freeze: FreezeWindow[] = [
    { kind: 'dates', from: 0, to: 100, why: 'first' },
    { kind: 'dates', from: 0, to: 200, why: 'second' },
  ];
  expect(frozenAt({ ...defaultPolicy, freeze }, 50)).toEqual({ until: 200, why: 'second' });
});

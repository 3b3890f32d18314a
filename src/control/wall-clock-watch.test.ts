import { expect, test } from 'vitest';
import { createWallClockWatch } from './wall-clock-watch.ts';

test('tells a jump of the wall clock from the passing of time, once, with its direction', () => {
  let [wall, steady] = [1_000_000, 0];
  const pass = (milliseconds: number, jump = 0) => {
    wall += milliseconds + jump;
    steady += milliseconds;
  };
  const jumped = createWallClockWatch({ now: () => wall }, () => steady, 5000);
  pass(60_000);
  expect(jumped()).toBeNull();
  pass(1000, 4999);
  expect(jumped()).toBeNull();
  pass(1000, 3_600_000);
  expect(jumped()).toEqual({ by: 3_600_000, at: wall });
  expect(jumped()).toBeNull();
  pass(1000, -86_400_000);
  expect(jumped()).toEqual({ by: -86_400_000, at: wall });
});

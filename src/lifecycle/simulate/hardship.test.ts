import { describe, expect, it } from 'vitest';
import { allGuards, type Guards } from '../rules.ts';
import { makeHistory, makeVandalHistory } from './history.ts';
import { live } from './live.ts';
import { run } from './run.ts';
import { shrink } from './shrink.ts';

it('4,000 domain-years of hard lives break nothing', { timeout: 400_000 }, () => {
  const result = live({ years: 4000, seed: 1_000_001, hardship: 2 });
  expect(result.broke).toBeNull();
  expect(result.years).toBeGreaterThanOrEqual(4000);
  expect(result.changes).toBeGreaterThan(8_000);
});

it('domains recover from those who change records behind our back', () => {
  for (let seed = 1; seed <= 60; seed++) {
    expect({ seed, broke: run(makeVandalHistory(seed, 2)).broke }).toEqual({ seed, broke: null });
  }
});

it('the same seed tells the same history', () => {
  const history = makeHistory(42, 2, 3);
  expect(makeHistory(42, 2, 3)).toEqual(history);
  expect(run(history)).toEqual(run(history));
});

/** The first seed whose history notices that a clause of the rules is neglected. */
function caughtAt(clause: keyof Guards, askRules: boolean): number | null {
  const guards = { ...allGuards, [clause]: false };
  for (let seed = 1; seed <= 300; seed++) {
    if (run(makeHistory(seed, 1, 4), { guards, askRules }).broke !== null) return seed;
  }
  return null;
}

describe('a program that neglects a clause of the rules is caught', () => {
  it.for(Object.keys(allGuards) as (keyof Guards)[])('%s', (clause) => {
    expect(caughtAt(clause, true)).not.toBeNull();
  });

  // Where neglect is certain to harm mail sooner or later, the mail itself shows it, with no rule asked.
  it.for(['negativeWait', 'successor', 'absence', 'overlap', 'creditCap'] as const)(
    '%s, by its mail alone',
    (clause) => {
      expect(caughtAt(clause, false)).not.toBeNull();
    },
  );
});

it('a history that breaks is shortened to what it needs', () => {
  const guards = { ...allGuards, creditCap: false };
  let seed = 1;
  while (run(makeHistory(seed, 1, 4), { guards }).broke === null) seed++;
  const long = makeHistory(seed, 1, 4);
  const short = shrink(long, { guards });
  expect(short.incidents.length).toBeLessThan(long.incidents.length);
  expect(run(short, { guards }).broke).not.toBeNull();
  expect(run(short).broke).toBeNull();
});

import { describe, expect, it } from 'vitest';
import { defaultPolicy } from '../policy.ts';
import { allGuards, type Guards } from '../rules.ts';
import { type History, type Incident, makeHistory, makeShadowHistory, makeVandalHistory } from './history.ts';
import { run } from './run.ts';
import { shrink } from './shrink.ts';

it('domains recover from those who change records behind our back', () => {
  for (let seed = 1; seed <= 40; seed++) {
    expect({ seed, broke: run(makeVandalHistory(seed, 2)).broke }).toEqual({ seed, broke: null });
  }
});

it('shadows hold keys ready, and leave the records that they handed over alone', () => {
  for (let seed = 1; seed <= 60; seed++) {
    expect({ seed, broke: run(makeShadowHistory(seed, 1)).broke }).toEqual({ seed, broke: null });
  }
});

it('a signer whose answers are lost holds a rotation up, and breaks nothing', () => {
  for (let seed = 1; seed <= 15; seed++) {
    expect({ seed, broke: run(muted(makeHistory(seed, 1, 0))).broke }).toEqual({ seed, broke: null });
  }
});

it('the same seed tells the same history', () => {
  const history = makeHistory(42, 2, 3);
  expect(makeHistory(42, 2, 3)).toEqual(history);
  expect(run(history)).toEqual(run(history));
});

/**
 * A signer loads new keys and nobody hears of it, while its mail is seen: rare in random lives, and all that tells a missing
 * acknowledgement from a missing signature.
 */
function muted(history: History): History {
  const day = 86_400_000;
  const mute: Incident = {
    kind: 'trouble',
    at: 40 * day,
    until: 200 * day,
    trouble: { kind: 'signer-mute', signer: 0 },
  };
  const rotate: Incident = { kind: 'command', at: 45 * day, command: { kind: 'rotate', stream: 0 } };
  return { ...history, incidents: [...history.incidents, mute, rotate].toSorted((a, b) => a.at - b.at) };
}

/** The first seed whose history notices that a clause of the rules is neglected. */
function caughtAt(clause: keyof Guards, askRules: boolean): number | null {
  const guards = { ...allGuards, [clause]: false };
  for (let seed = 1; seed <= 300; seed++) {
    const history =
      clause === 'handed' ? makeShadowHistory(seed, 1) : makeHistory(seed, 1, clause === 'acknowledgement' ? 0 : 4);
    const provoked = clause === 'acknowledgement' ? muted(history) : history;
    if (run(provoked, { guards, askRules }).broke !== null) return seed;
  }
  return null;
}

describe('a program that neglects a clause of the rules is caught', () => {
  it.for(Object.keys(allGuards) as (keyof Guards)[])('%s', (clause) => {
    expect(caughtAt(clause, true)).not.toBeNull();
  });

  // Where neglect is certain to harm mail sooner or later, the mail itself shows it, with no rule asked.
  it.for(['negativeWait', 'successor', 'absence', 'overlap', 'creditCap', 'handed'] as const)(
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

it('a slot is rotated under an emergency, and no receiver finds what it held before', () => {
  const day = 86_400_000;
  const calm = makeHistory(3, 1, 0);
  const incidents: Incident[] = [
    { kind: 'command', at: 40 * day, command: { kind: 'rotate', stream: 0 } },
    { kind: 'command', at: 65 * day, command: { kind: 'compromise', key: 0 } },
  ];
  const keys = [{ algorithm: 'rsa', bits: 2048, count: 1 }] as const;
  const policy = { ...defaultPolicy, keys, selectors: ['a', 'b'] };
  const made: string[] = [];
  const tell = (_: number, what: string): void => void made.push(/^Make a key (\w+)/.exec(what)?.[1] ?? '');
  const { broke } = run({ ...calm, policy, negativeTtl: 60, incidents }, { tell });
  expect(broke).toBeNull();
  expect(made.filter((selector) => selector !== '').slice(0, 3)).toEqual(['a', 'b', 'a']);
});

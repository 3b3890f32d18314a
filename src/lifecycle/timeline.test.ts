import { expect, it } from 'vitest';
import { explain } from './explain.ts';
import { DAY, newLife, START, settledLife } from './testing.ts';
import { timeline } from './timeline.ts';

it('tells the whole life of a key, in order', () => {
  const life = newLife();
  const events = timeline(life.snapshot, life.policy, START, START + 200 * DAY);
  const [first] = events;
  const states = events.filter((event) => event.keyId === first?.keyId).map((event) => event.state);
  expect(states).toEqual(['created', 'published', 'standby', 'active', 'retiring', 'revoked', 'removed']);
  expect(events.map((event) => event.at)).toEqual(events.map((event) => event.at).toSorted((a, b) => a - b));
});

it('tells what then happens: the same dates as the life that is lived', () => {
  const life = settledLife({ keys: [{ algorithm: 'rsa', bits: 2048, count: 1 }] });
  const [old] = life.keys('active');
  const told = timeline(life.snapshot, life.policy, life.now, life.now + 140 * DAY);
  const leaves = told.find((event) => event.keyId === old?.id && event.state === 'retiring');
  life.until((s) => s.keys.some((key) => key.id === old?.id && key.state === 'retiring'), 140 * DAY);
  expect(Math.abs((leaves?.at ?? 0) - life.now)).toBeLessThan(60_000);
});

it('changes nothing, and says what it waits for', () => {
  const life = settledLife({ approval: 'required' });
  const before = structuredClone(life.snapshot);
  const told = timeline(life.snapshot, life.policy, life.now, life.now + 365 * DAY);
  expect(life.snapshot).toEqual(before);
  expect(told.filter((event) => event.kind === 'condition').map((event) => event.text)).toEqual([
    expect.stringContaining('waits for approval'),
  ]);
});

it('ends with the domain', () => {
  const life = settledLife();
  life.happen({ kind: 'removal-requested', at: life.now });
  const told = timeline(life.snapshot, life.policy, life.now, life.now + 365 * DAY);
  expect(told.at(-1)?.kind).toBe('domain-forgotten');
});

it('explains every kind of step in one sentence', () => {
  const life = settledLife();
  life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
  life.live(60 * DAY);
  life.happen({ kind: 'removal-requested', at: life.now });
  life.live(90 * DAY);
  const kinds = new Set(life.steps.map(({ step }) => step.kind));
  expect(kinds.size).toBe(9);
  for (const { step } of life.steps) expect(explain(step, life.snapshot)).toMatch(/^[A-Z].*[a-z0-9]\.$/);
  const change = life.steps.find(({ step }) => step.kind === 'change-active');
  expect(change && explain(change.step, life.snapshot)).toBe(
    'Begin to sign with kt20261124rsa1 and kt20261124ed1: the first keys are ready.',
  );
});

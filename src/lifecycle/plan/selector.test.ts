import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { apply } from '../apply.ts';
import { DAY, type Life, newLife } from '../testing.ts';

function selectorsFrom(selectorTemplate: string): readonly string[] {
  const life = newLife({ selectorTemplate, standby: 3 });
  life.live(1000);
  return life.keys().map((key) => key.selector);
}

it('fills the template in, and counts where it must', () => {
  expect(selectorsFrom('{stream}-{date}-{algorithm}{n}').slice(0, 2)).toEqual([
    'default-20261124-rsa1',
    'default-20261124-rsa2',
  ]);
  expect(selectorsFrom('{algorithm}').slice(0, 2)).toEqual(['rsa', 'rsa2']);
});

it('makes valid and distinct labels of any template', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 90 }), fc.boolean(), (text, numbered) => {
      const selectors = selectorsFrom(numbered ? `${text}{n}` : text);
      expect(new Set(selectors).size).toBe(8);
      for (const label of selectors.flatMap((selector) => selector.split('.'))) {
        expect(label).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
      }
    }),
    { numRuns: 200 },
  );
});

/** One RSA key and one in waiting, in three slots. */
function lifeInSlots(selectors: readonly string[]): Life {
  const life = newLife({ keys: [{ algorithm: 'rsa', bits: 2048, count: 1 }], selectors });
  life.until(
    (s) => s.keys.some((key) => key.state === 'active') && s.keys.some((key) => key.state === 'standby'),
    5 * DAY,
  );
  return life;
}

it('takes slots in their order, and one again only after its key was removed', () => {
  const life = lifeInSlots(['a', 'b', 'c']);
  life.live(2 * 365 * DAY);
  expect(new Set(life.keys().map((key) => key.selector))).toEqual(new Set(['a', 'b', 'c']));
  expect(life.keys().length).toBeGreaterThan(6);
  expect(life.violations).toEqual([]);
  for (const [i, key] of life.keys().entries()) {
    const before = life.keys().findLast((other, at) => at < i && other.selector === key.selector);
    if (before === undefined) continue;
    expect(before.removedAt).toBeLessThanOrEqual(key.createdAt);
    expect(key.earlierTtl).toBe(life.policy.ttl);
  }
});

it('says how many slots are needed where none is free, and goes on signing', () => {
  const life = lifeInSlots(['a', 'b']);
  life.live(life.policy.rotateEvery + 3 * DAY);
  expect(life.keys('active')).toHaveLength(1);
  const condition = life.snapshot.conditions.find(({ reason }) => reason === 'no-free-selector');
  expect(condition?.message).toContain('all 2 of the policy');
  expect(condition?.message).toContain('With 4 for each stream');
  life.live(life.policy.overlap + life.policy.tombstone);
  expect(life.reasons()).not.toContain('no-free-selector');
  expect(life.keys().map((key) => key.selector)).toEqual(['a', 'b', 'a']);
});

it('gives no slot to two keys, whatever comes late, and takes no selector of the template again', () => {
  const life = lifeInSlots(['a', 'b']);
  const [first] = life.keys();
  if (first === undefined) throw new Error('a key was expected');
  const { stream, selector, algorithm, bits, publicKey } = first;
  const late = { id: 'late', stream, selector, algorithm, bits, publicKey, slot: true };
  const create = (key: typeof late | Omit<typeof late, 'slot'>, snapshot = life.snapshot): string | undefined =>
    apply(snapshot, { kind: 'key-created', at: life.now, key }).refused;
  expect(create(late)).toBe('selector-taken');
  const keys = life.snapshot.keys.map((key) => (key.id === first.id ? { ...key, state: 'removed' as const } : key));
  expect(create(late, { ...life.snapshot, keys })).toBeUndefined();
  const { slot: _, ...ordinary } = late;
  expect(create(ordinary, { ...life.snapshot, keys })).toBe('selector-taken');
});

it('lets a successor that is needed at once wait for what resolvers may remember of its slot', () => {
  const life = lifeInSlots(['a', 'b']);
  life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
  life.until((s) => s.keys[0]?.state === 'revoked', 60 * DAY);
  life.happen({ kind: 'compromised', at: life.now, keyId: life.key('b').id });
  life.until((s) => s.keys.length === 3 && s.keys[2]?.state === 'active', 60 * DAY);
  const [, , successor] = life.keys();
  expect(successor?.selector).toBe('a');
  const waited = (successor?.activatedAt ?? 0) - (successor?.createdAt ?? 0);
  expect(waited).toBeGreaterThanOrEqual(life.policy.ttl * 1000);
  expect(waited).toBeLessThan(life.policy.lead);
  expect(life.violations).toEqual([]);
});

import { describe, expect, test } from 'vitest';
import { DAY, newLife } from '../lifecycle/testing.ts';
import { approvalOf, entryOf } from './approval.ts';

describe('an approval', () => {
  test('is of no use before a first key signs, nor where the policy asks for none', async () => {
    const life = newLife({ approval: 'required' });
    expect(await approvalOf(life.snapshot, life.policy, 'default', life.now)).toMatchObject({ kind: 'useless' });
    life.live(DAY);
    const free = { ...life.policy, approval: 'none' } as const;
    expect(await approvalOf(life.snapshot, free, 'default', life.now)).toMatchObject({ kind: 'useless' });
  });

  test('given early counts for the coming rotation, on the date that is told', async () => {
    const life = newLife({ approval: 'required' });
    life.live(DAY);
    expect(await approvalOf(life.snapshot, life.policy, 'default', life.now)).toEqual({ kind: 'early' });
    life.happen({ kind: 'rotation-approved', at: life.now, stream: 'default' });
    const due = await entryOf(life, 'default', life.now);
    const first = life.keys('active').map(({ id }) => id);
    life.until(
      ({ keys }) => keys.some(({ id, state }) => state === 'active' && !first.includes(id)),
      life.policy.rotateEvery + DAY,
    );
    expect(Math.abs((due ?? 0) - life.now)).toBeLessThan(DAY / 24);
    expect(life.violations).toEqual([]);
  });

  test('is awaited once the rotation is due', async () => {
    const life = newLife({ approval: 'required' });
    life.live(DAY);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.live(DAY);
    expect(await approvalOf(life.snapshot, life.policy, 'default', life.now)).toEqual({ kind: 'awaited' });
  });
});

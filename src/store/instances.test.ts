import { describe, expect, test } from 'vitest';
import { stores } from '../../tests/store/stores.ts';

const facts = { host: 'mx1', pid: 42, roles: ['milter', 'reconcile'] };
const claim = (boot: string, now: number) => ({ name: 'one', boot, now, ttlMs: 100, facts });

describe.each(stores)('instances on $name', ({ open }) => {
  test('a name belongs to one process while that says so, and to the next once it does not', async () => {
    await using store = await open();
    expect(await store.claimInstance(claim('a', 1_000))).toStrictEqual({ kind: 'claimed', before: null });
    expect(await store.claimInstance(claim('b', 1_099))).toMatchObject({ kind: 'taken', by: { boot: 'a', ...facts } });
    expect(await store.renewInstance('one', 'a', 1_050, 100)).toBe(true);
    expect(await store.renewInstance('one', 'b', 1_050, 100)).toBe(false);
    expect(await store.claimInstance(claim('b', 1_149))).toMatchObject({ kind: 'taken' });
    expect(await store.claimInstance(claim('b', 1_150))).toMatchObject({ kind: 'claimed', before: { boot: 'a' } });
    expect(await store.renewInstance('one', 'a', 1_160, 100)).toBe(false);
    expect(await store.releaseInstance('one', 'a')).toBe(false);
    expect(await store.listInstances()).toStrictEqual([
      { name: 'one', boot: 'b', ...facts, startedAt: 1_150, seenAt: 1_150, expiresAt: 1_250 },
    ]);
    expect(await store.releaseInstance('one', 'b')).toBe(true);
    expect(await store.listInstances()).toStrictEqual([]);
  });

  test('of many that start under one name at once, one gets it', async () => {
    await using store = await open();
    const results = await Promise.all(Array.from({ length: 8 }, (_, n) => store.claimInstance(claim(`boot ${n}`, 5))));
    expect(results.filter((result) => result.kind === 'claimed')).toHaveLength(1);
  });

  test('what was said before the clock was put back by more than a day holds no name', async () => {
    await using store = await open();
    const day = 24 * 60 * 60 * 1000;
    await store.claimInstance(claim('a', 5 * day));
    expect(await store.claimInstance(claim('b', 3 * day))).toMatchObject({ kind: 'claimed' });
  });
});

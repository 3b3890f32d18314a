import { describe, expect, test } from 'vitest';
import { plainSnapshot } from '../../tests/store/arbitraries.ts';
import { stores } from '../../tests/store/stores.ts';
import { add, event, read } from '../../tests/store/support.ts';
import type { Claim, Store } from './store.ts';

const HOUR = 3_600_000;
const name = 'example.com';

async function claimOne(store: Store, now: number, owner = 'first', leaseMs = 1_000): Promise<Claim> {
  const [claim] = await store.claimDue({ now, limit: 10, owner, leaseMs });
  if (!claim) throw new Error('nothing was due');
  return claim;
}

describe.each(stores)('on $name', ({ open }) => {
  describe('claims', () => {
    test('what is due longest comes first, never more than asked for', async () => {
      await using store = await open();
      for (const [n, at] of [30, 10, 20, 5_000].entries()) await add(store, plainSnapshot(`d${n}.example`), at);
      const claims = await store.claimDue({ now: 100, limit: 2, owner: 'o', leaseMs: 1_000 });
      expect(claims.map((c) => c.name)).toStrictEqual(['d1.example', 'd2.example']);
      expect(
        (await store.claimDue({ now: 100, limit: 9, owner: 'o', leaseMs: 1_000 })).map((c) => c.name),
      ).toStrictEqual(['d0.example']);
      expect(await store.nextDueAt()).toBe(1_100);
    });

    test('a claimed domain is nobody else’s until its lease ends; then the first owner’s commit is stale', async () => {
      await using store = await open();
      const { version, snapshot } = await add(store, plainSnapshot(name), 10);
      const first = await claimOne(store, 100);
      expect(await store.claimDue({ now: 1_099, limit: 10, owner: 'second', leaseMs: 1_000 })).toStrictEqual([]);
      const second = await claimOne(store, 1_100, 'second');
      expect(second.token).toBeGreaterThan(first.token);
      const change = {
        before: snapshot,
        after: snapshot,
        events: [event(name, 'looked')],
        nextLookAt: 9_000,
        release: true,
      };
      expect(await store.commit({ claim: first, version }, change)).toStrictEqual({ kind: 'stale', why: 'lease' });
      expect(await store.renew(first, 5_000)).toBeNull();
      await store.release(first, 0);
      expect(await store.claimDue({ now: 1_200, limit: 10, owner: 'first', leaseMs: 1_000 })).toStrictEqual([]);
      expect(await store.commit({ claim: second, version }, change)).toStrictEqual({
        kind: 'committed',
        version: version + 1,
      });
      expect((await store.journal.list({})).items.map((e) => e.kind)).toStrictEqual(['looked', 'domain-added']);
      expect(await store.nextDueAt()).toBe(9_000);
    });

    test('the same owner that claims twice holds only its latest lease', async () => {
      await using store = await open();
      const { version, snapshot } = await add(store, plainSnapshot(name), 10);
      const early = await claimOne(store, 100);
      await claimOne(store, 2_000);
      expect(
        await store.commit({ claim: early, version }, { before: snapshot, after: snapshot, events: [] }),
      ).toStrictEqual({ kind: 'stale', why: 'lease' });
    });

    test('a renewed lease holds longer, a released one not at all', async () => {
      await using store = await open();
      await add(store, plainSnapshot(name), 10);
      const claim = await claimOne(store, 100);
      const renewed = await store.renew(claim, 4_000);
      expect(renewed).toStrictEqual({ ...claim, until: 4_000 });
      expect(await store.claimDue({ now: 3_999, limit: 1, owner: 'second', leaseMs: 1 })).toStrictEqual([]);
      await store.release(claim);
      expect((await claimOne(store, 200, 'second')).owner).toBe('second');
    });

    test('a look further ahead than 25 hours is due: the clock has been set back', async () => {
      await using store = await open();
      await add(store, plainSnapshot(name), 100 * HOUR);
      expect(await store.claimDue({ now: 75 * HOUR, limit: 1, owner: 'o', leaseMs: 1 })).toStrictEqual([]);
      expect((await claimOne(store, 74 * HOUR)).name).toBe(name);
    });

    test('several commits under one claim keep the lease until one gives it back', async () => {
      await using store = await open();
      const stored = await add(store, plainSnapshot(name), 10);
      const claim = await claimOne(store, 100);
      const change = { before: stored.snapshot, after: stored.snapshot, events: [], nextLookAt: 500 };
      await store.commit({ claim, version: stored.version }, change);
      expect(await store.claimDue({ now: 900, limit: 1, owner: 'second', leaseMs: 1 })).toStrictEqual([]);
      const last = await store.commit({ claim, version: stored.version + 1 }, { ...change, release: true });
      expect(last.kind).toBe('committed');
      expect((await claimOne(store, 900, 'second')).owner).toBe('second');
    });
  });

  describe('wake', () => {
    test('makes a sleeping domain due, and never later than it was', async () => {
      await using store = await open();
      await add(store, plainSnapshot(name), 5_000);
      expect(await store.wake(name, 9_000)).toBe(true);
      expect(await store.nextDueAt()).toBe(5_000);
      await store.wake(name, 300);
      expect(await store.nextDueAt()).toBe(300);
      expect(await store.wake('elsewhere.example', 300)).toBe(false);
    });

    test('during a look is not swallowed by it', async () => {
      await using store = await open();
      const { version, snapshot } = await add(store, plainSnapshot(name), 10);
      const claim = await claimOne(store, 100);
      await store.wake(name, 150);
      await store.wake(name, 170);
      expect(await store.nextDueAt()).toBe(1_100);
      await store.commit(
        { claim, version },
        { before: snapshot, after: snapshot, events: [], nextLookAt: 80_000, release: true },
      );
      expect(await store.nextDueAt()).toBe(150);
      await claimOne(store, 200);
      const again = await claimOne(store, 2_000);
      await store.release(again, 70_000);
      expect(await store.nextDueAt()).toBe(70_000);
    });
  });

  test('a command from elsewhere during a look makes that look stale, and is looked at as soon as it ends', async () => {
    await using store = await open();
    const { version, snapshot } = await add(store, plainSnapshot(name), 10);
    const claim = await claimOne(store, 100);
    const command = await store.commit(
      { name, version },
      { before: snapshot, after: snapshot, events: [event(name, 'rotation-requested')], nextLookAt: 120 },
    );
    expect(command.kind).toBe('committed');
    expect(await store.nextDueAt()).toBe(1_100);
    const look = await store.commit(
      { claim, version },
      { before: snapshot, after: snapshot, events: [], nextLookAt: 80_000, release: true },
    );
    expect(look).toStrictEqual({ kind: 'stale', why: 'version' });
    await store.release(claim);
    expect(await store.nextDueAt()).toBe(120);
    expect((await read(store, name)).version).toBe(version + 1);
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anySnapshot, anySuccessor, plainKey, plainSnapshot } from '../../tests/store/arbitraries.ts';
import { stores } from '../../tests/store/stores.ts';
import { add, read } from '../../tests/store/support.ts';
import type { Snapshot } from '../lifecycle/types.ts';
import type { Store } from './store.ts';

const name = 'example.com';

describe.each(stores)('on $name', ({ open, runs }) => {
  test('any snapshot comes back as it was written', async () => {
    await using store = await open();
    await fc.assert(
      fc.asyncProperty(anySnapshot(name), async (snapshot) => {
        await forget(store);
        const stored = await add(store, snapshot, 7);
        expect(stored.snapshot).toStrictEqual(snapshot);
        expect(stored.nextLookAt).toBe(7);
      }),
      { numRuns: runs(150) },
    );
  });

  test('a sequence of commits, each writing differences only, ends in the last snapshot, and the counters count it', async () => {
    await using store = await open();
    await fc.assert(
      fc.asyncProperty(anySnapshot(name), fc.array(fc.gen(), { minLength: 1, maxLength: 6 }), async (first, gens) => {
        await forget(store);
        let { version, snapshot } = await add(store, first);
        for (const gen of gens) {
          const after: Snapshot = gen(anySuccessor, snapshot);
          const result = await store.commit({ name, version }, { before: snapshot, after, events: [] });
          expect(result).toStrictEqual({ kind: 'committed', version: version + 1 });
          // Half of the time the program goes on with what it had in memory, as the reconciler does.
          if (version % 2 === 0) ({ version, snapshot } = await read(store, name));
          else {
            version += 1;
            snapshot = after;
          }
          expect((await read(store, name)).snapshot).toStrictEqual(after);
        }
        await expectTrueCounts(store, snapshot);
      }),
      { numRuns: runs(100) },
    );
  });

  test('entities that keep their identity are not written', async () => {
    const written: string[] = [];
    await using store = await open({ trace: (sql) => written.push(sql) });
    const [snapshot] = fc.sample(
      anySnapshot(name).filter(
        (s) => s.keys.length >= 3 && s.streams.length > 0 && s.signers.length > 0 && s.conditions.length > 0,
      ),
      { numRuns: 1, seed: 4 },
    );
    if (!snapshot) throw new Error('no sample');
    const stored = await add(store, snapshot);
    const [first, ...rest] = stored.snapshot.keys;
    if (!first) throw new Error('no key');
    written.length = 0;
    const after: Snapshot = {
      ...stored.snapshot,
      keys: [{ ...first, waited: first.waited + 1 }, ...rest],
      // New objects with the same content, as each look makes them.
      conditions: stored.snapshot.conditions.map((c) => ({ ...c })),
    };
    await store.commit({ name, version: stored.version }, { before: stored.snapshot, after, events: [] });
    const writes = written
      .filter((sql) => /^(insert|update|delete|replace)/i.test(sql))
      .map((sql) => sql.split(/["`]/).slice(0, 2).join('').trim());
    expect(writes.filter((what) => what !== 'update writers')).toStrictEqual(['update domains', 'update keys']);
  });

  test('a field that a view gains later is kept, without the schema knowing it', async () => {
    await using store = await open();
    const plain = plainSnapshot(name, { keys: [plainKey('k')] });
    const later = { note: 'new', nested: { list: [1, null] } };
    const snapshot: Snapshot = {
      ...plain,
      domain: { ...plain.domain, ...later },
      streams: plain.streams.map((stream) => ({ ...stream, ...later })),
      keys: plain.keys.map((key) => ({ ...key, ...later })),
      signers: [
        {
          id: 's',
          streams: [],
          acknowledgedGeneration: 0,
          acknowledgedAt: null,
          setAsideAt: null,
          retry: null,
          ...later,
        },
      ],
      conditions: [{ subject: { kind: 'domain' }, reason: 'r', severity: 'info', message: 'm', since: 1, ...later }],
    };
    expect((await add(store, snapshot)).snapshot).toStrictEqual(snapshot);
  });
});

async function forget(store: Store): Promise<void> {
  const stored = await store.snapshot(name);
  if (!stored) return;
  const { version, snapshot } = stored;
  const result = await store.commit({ name, version }, { before: snapshot, after: null, events: [] });
  expect(result.kind).toBe('committed');
  await expectTrueCounts(store, null);
}

async function expectTrueCounts(store: Store, snapshot: Snapshot | null): Promise<void> {
  const counts = await store.counts();
  for (const kind of ['mail', 'shadow'] as const)
    expect(counts.domains[kind]).toBe(snapshot?.domain.kind === kind ? 1 : 0);
  for (const [state, count] of Object.entries(counts.keys)) {
    expect(count).toBe(snapshot?.keys.filter((k) => k.state === state).length ?? 0);
  }
  for (const [severity, count] of Object.entries(counts.conditions)) {
    expect(count).toBe(snapshot?.conditions.filter((c) => c.severity === severity).length ?? 0);
  }
  const reasons = Object.groupBy(snapshot?.conditions ?? [], (c) => c.reason);
  expect(counts.reasons).toStrictEqual(
    Object.fromEntries(Object.entries(reasons).map(([reason, list]) => [reason, list?.length])),
  );
}

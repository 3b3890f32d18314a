import { describe, expect, test } from 'vitest';
import { tempDir } from '../../tests/support/temp.ts';
import { openMemoryStore } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { ACCEPTED, fileWitness, type Mark, olderText, storeAge, watchStore } from './witness.ts';

const append = (store: Store, kind = 'something', at = 1000) =>
  store.journal.append([{ actor: 'test', source: 'cli', domain: null, kind, details: { at }, at }]);
const newest = async (store: Store) => (await store.journal.list({ order: 'newest' }, { limit: 1 })).items[0];

/** Stands for one store, and for others put in its place. */
function replaceable(first: Store) {
  const place = { journal: first.journal };
  return { place, put: (store: Store) => Object.assign(place, { journal: store.journal }) };
}

describe('a mark of the journal', () => {
  test('fits the store that it was made of, however that went on; not one that is shorter, nor another of its length', async () => {
    using dir = tempDir('witness');
    await using store = await openMemoryStore();
    await using other = await openMemoryStore();
    for (let i = 0; i < 3; i++) await append(store);
    const witness = fileWitness(dir.path, 'one');
    expect(await storeAge(store, [witness])).toEqual({ kind: 'current' });
    const entry = await newest(store);
    if (entry === undefined) throw new Error('there is no entry');
    const mark: Mark = { seq: entry.seq, hash: entry.hash, at: 5000 };
    await witness.write(mark);
    await append(store);
    // Marks of every instance count, whatever this one is called.
    const renamed = fileWitness(dir.path, 'two');
    expect(await storeAge(store, [renamed])).toEqual({ kind: 'current' });

    const entries = (await newest(other))?.seq ?? 0;
    expect(await storeAge(other, [renamed])).toMatchObject({ kind: 'older', mark, missing: mark.seq - entries });
    for (let i = 0; i < 10; i++) await append(other, 'else');
    const age = await storeAge(other, [renamed]);
    expect(age).toMatchObject({ kind: 'older', missing: 0 });
    if (age.kind === 'older') expect(olderText(age)).toMatch(/entry 3 .*another entry 3 is there.*accept-restore/s);

    // An acceptance covers what was noted before it, and nothing after.
    await append(other, ACCEPTED, 4999);
    expect((await storeAge(other, [renamed])).kind).toBe('older');
    await append(other, ACCEPTED, 5000);
    expect((await storeAge(other, [renamed])).kind).toBe('current');
  });

  test('is covered by an acceptance that names it, whatever the clock of its machine said; a later mark is not', async () => {
    using dir = tempDir('witness');
    await using store = await openMemoryStore();
    await using other = await openMemoryStore();
    await append(store);
    const witness = fileWitness(dir.path, 'ahead');
    const note = async () => {
      const entry = await newest(store);
      if (entry === undefined) throw new Error('there is no entry');
      await witness.write({ seq: entry.seq, hash: entry.hash, at: 9_000_000 });
    };
    await note();
    const age = await storeAge(other, [witness]);
    if (age.kind !== 'older') throw new Error('another store passes for this one');
    const details = { unmet: [...age.unmet] };
    await other.journal.append([{ actor: 'a', source: 'cli', domain: null, kind: ACCEPTED, details, at: 1000 }]);
    expect((await storeAge(other, [witness])).kind).toBe('current');
    await append(store);
    await note();
    expect((await storeAge(other, [witness])).kind).toBe('older');
  });

  test('that cannot be read stops the start rather than being passed over', async () => {
    using dir = tempDir('witness');
    await using store = await openMemoryStore();
    const { writeFileSync } = await import('node:fs');
    writeFileSync(dir.join('witness-one'), '');
    await expect(storeAge(store, [fileWitness(dir.path, 'two')])).rejects.toThrow(/witness-one cannot be read/);
  });
});

describe('a store that is replaced while a server runs', () => {
  test('is not trusted from that moment on; a node of a cluster that lagged is, once it has caught up', async () => {
    await using store = await openMemoryStore();
    await using old = await openMemoryStore();
    await append(store);
    const { place, put } = replaceable(store);
    const noted: Mark[] = [];
    const told: string[] = [];
    let steady = 0;
    const watch = watchStore(
      place,
      [{ name: 'memory', read: async () => noted, write: async (mark) => void noted.push(mark) }],
      { now: () => 7, onOlder: (message) => told.push(message), steady: () => steady },
    );
    await watch.note();
    await watch.note();
    expect(noted).toHaveLength(1);
    await append(store);
    await watch.note();
    expect(noted.map(({ seq }) => seq)).toEqual([1, 2]);

    put(old);
    await watch.note();
    expect(watch.isTrusted()).toBe(false);
    put(store);
    await watch.note();
    expect(watch.isTrusted()).toBe(true);

    put(old);
    await watch.note();
    steady += 10_000;
    await watch.note();
    await watch.note();
    expect(watch.isTrusted()).toBe(false);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/older than what has been done.*journal ends with entry/s);
    expect(noted).toHaveLength(2);
  });
});

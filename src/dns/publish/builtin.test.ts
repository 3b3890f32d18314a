import { describe, expect, it } from 'vitest';
import { createBuiltinPublisher, type RecordStore } from './builtin.ts';
import type { RecordContent } from './publisher.ts';

/** A store in memory with the rules of the real one. */
function memoryStore(apexes: string[]): RecordStore & { readonly at: Map<string, RecordContent> } {
  const at = new Map<string, RecordContent>();
  return {
    at,
    apexes: async () => apexes,
    set: async ({ apex, name, desired, ours }) => {
      if (!apexes.includes(apex)) return { kind: 'no-such-zone' };
      const found = at.get(`${apex} ${name}`) ?? null;
      if (found !== null && found.value !== desired?.value && !ours.includes(found.value)) {
        return { kind: 'conflict', found: [found.value] };
      }
      at.set(`${apex} ${name}`, desired);
      return { kind: 'done' };
    },
  };
}

const desired = { value: 'v=DKIM1; p=x', ttl: 300 };

describe('the builtin publisher', () => {
  it('writes into the nearest zone above the name', async () => {
    const store = memoryStore(['example.com', '_domainkey.example.com', 'xample.com']);
    const publisher = createBuiltinPublisher(store);
    const change = { name: 's1._domainkey.example.com', desired, ours: [] };
    expect(await publisher.apply(change)).toEqual({ kind: 'done' });
    expect([...store.at]).toEqual([['_domainkey.example.com s1._domainkey.example.com', desired]]);
    expect(await publisher.apply({ ...change, desired: null, ours: [desired.value] })).toEqual({ kind: 'done' });
  });

  it('leaves what is not ours, and says so', async () => {
    const publisher = createBuiltinPublisher(memoryStore(['example.com']));
    await publisher.apply({ name: 'a.example.com', desired: { value: 'theirs', ttl: 300 }, ours: [] });
    expect(await publisher.apply({ name: 'a.example.com', desired, ours: [] })).toMatchObject({
      kind: 'conflict',
      found: ['theirs'],
      message: expect.stringContaining('"theirs" stands there'),
    });
  });

  it('refuses names outside of its zones and contents that no server takes', async () => {
    const publisher = createBuiltinPublisher(memoryStore(['example.com']));
    expect(await publisher.apply({ name: 's.example.org', desired, ours: [] })).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('dns.zones'),
    });
    const long = { value: 'x'.repeat(40_000), ttl: 300 };
    expect((await publisher.apply({ name: 's.example.com', desired: long, ours: [] })).kind).toBe('refused');
    expect((await publisher.apply({ name: 's.example.com', desired: { ...desired, ttl: 0 }, ours: [] })).kind).toBe(
      'refused',
    );
  });

  it('answers failed when the store does', async () => {
    const store: RecordStore = { ...memoryStore(['example.com']), set: () => Promise.reject(new Error('disk full')) };
    expect(await createBuiltinPublisher(store).apply({ name: 's.example.com', desired, ours: [] })).toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('disk full'),
    });
  });
});

import { describe, expect, test } from 'vitest';
import { plainKey, plainSnapshot } from '../../tests/store/arbitraries.ts';
import { stores } from '../../tests/store/stores.ts';
import { add, edPair, event, read, standingClock } from '../../tests/store/support.ts';
import type { KeyView, Snapshot } from '../lifecycle/types.ts';
import type { Json } from './json.ts';
import type { NewProof } from './proofs.ts';
import type { Store } from './store.ts';

const name = 'example.com';

describe.each(stores)('the history of keys on $name', ({ open }) => {
  test('stays whole when the domain has left, and goes on with the next key of a slot', async () => {
    const clock = standingClock(100);
    await using store = await open({ clock });
    const pair = edPair();
    const key = plainKey('k1', { selector: 'a', publicKey: pair.publicKey, createdAt: 100 });
    await add(store, plainSnapshot(name));
    await change(store, [key], {
      events: [event(name, 'key-created', { key: 'k1', selector: 'a', publicKey: pair.publicKey })],
      secrets: [{ keyId: 'k1', from: 'der', pkcs8: pair.pkcs8 }],
    });
    await change(store, [{ ...key, state: 'published' }], {
      events: [
        event(name, 'record-written', { keyId: 'k1', selector: 'a', value: 'v=DKIM1; p=AA', publisher: 'bind' }),
      ],
    });
    // Far more changes of the verdict than are shown at once, each of which must be kept.
    for (let at = 200; at < 260; at += 1) {
      const verdict = at % 2 === 0 ? 'missing' : 'seen';
      await change(store, [{ ...key, state: 'published' }], {
        proofs: [{ keyId: 'k1', at, expected: 'key', verdict, detail: { at } }],
      });
    }
    clock.set(300);
    await change(store, [{ ...key, state: 'removed', removedAt: 290 }], {
      events: [event(name, 'moved', { keyId: 'k1' })],
    });
    clock.set(400);
    const { snapshot, version } = await read(store, name);
    const gone = { before: snapshot, after: null, events: [event(name, 'domain-removed')] };
    expect((await store.commit({ name, version }, gone)).kind).toBe('committed');

    expect(await store.findKey('k1')).toBeNull();
    expect(await store.loadPrivateKey('k1')).toBeNull();
    const [first, ...none] = await store.keyHistory(name);
    expect(none).toStrictEqual([]);
    expect(first).toMatchObject({ id: 'k1', selector: 'a', publicKey: pair.publicKey, leftAt: 400 });
    expect(first?.last).toMatchObject({ state: 'removed', removedAt: 290 });
    expect(first?.events.map((entry) => entry.kind)).toStrictEqual(['key-created', 'record-written', 'moved']);
    expect(first?.events[1]).toMatchObject({
      actor: 'keyturn',
      source: 'test',
      details: { value: 'v=DKIM1; p=AA', publisher: 'bind' },
    });
    expect(first?.proofs.map(({ since }) => since)).toStrictEqual(Array.from({ length: 60 }, (_, n) => 200 + n));

    // The domain comes back, and its next key stands under the same selector.
    await add(store, plainSnapshot(name));
    const next = plainKey('k2', { selector: 'a', createdAt: 500 });
    const named = { at: 510, ...event(name, 'active-changed', { enter: ['a'], leave: [] }) };
    await change(store, [next], { events: [named] });
    const both = await store.keyHistory(name, 'a');
    expect(both.map(({ id, leftAt, events }) => [id, leftAt, events.length])).toStrictEqual([
      ['k1', 400, 3],
      ['k2', null, 1],
    ]);
    expect(await store.keyHistory(name, 'b')).toStrictEqual([]);
    expect(await store.keyHistory('elsewhere.example')).toStrictEqual([]);
  });

  test('knows of a key of which only the journal tells', async () => {
    await using store = await open();
    const told = { key: 'old', selector: 's', stream: 'default', algorithm: 'rsa', bits: 2048, publicKey: 'AA' };
    await store.journal.append([event(name, 'key-created', told)]);
    expect(await store.keyHistory(name)).toMatchObject([
      { id: 'old', selector: 's', algorithm: 'rsa', bits: 2048, publicKey: 'AA', last: null },
    ]);
  });
});

async function change(
  store: Store,
  keys: readonly KeyView[],
  rest: {
    events?: ReadonlyArray<{ kind: string; details: Json } & ReturnType<typeof event>>;
    proofs?: readonly NewProof[];
    secrets?: ReadonlyArray<{ keyId: string; from: 'der'; pkcs8: Uint8Array }>;
  },
): Promise<void> {
  const { snapshot, version } = await read(store, name);
  const after: Snapshot = { ...snapshot, keys };
  const result = await store.commit({ name, version }, { before: snapshot, after, events: [], ...rest });
  expect(result.kind).toBe('committed');
}

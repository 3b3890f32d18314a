import { describe, expect, test } from 'vitest';
import { plainKey, plainSnapshot } from '../../tests/store/arbitraries.ts';
import { stores } from '../../tests/store/stores.ts';
import { add, edPair, event, read, rsaPair, standingClock } from '../../tests/store/support.ts';
import type { Snapshot } from '../lifecycle/types.ts';

const name = 'example.com';

describe.each(stores)('on $name', ({ open }) => {
  describe('compare-and-set', () => {
    test('of two that read the same version one commits, and nothing of the other is left', async () => {
      await using store = await open();
      const { version, snapshot } = await add(store, plainSnapshot(name));
      const by = (id: string) =>
        store.commit(
          { name, version },
          { before: snapshot, after: { ...snapshot, keys: [plainKey(id)] }, events: [event(name, id)] },
        );
      const results = await Promise.all([by('a'), by('b')]);
      expect(results).toStrictEqual([
        { kind: 'committed', version: version + 1 },
        { kind: 'stale', why: 'version' },
      ]);
      expect((await read(store, name)).snapshot.keys.map((k) => k.id)).toStrictEqual(['a']);
      expect((await store.journal.list({ domain: name, order: 'oldest' })).items.map((e) => e.kind)).toStrictEqual([
        'domain-added',
        'a',
      ]);
    });

    test('a domain that left and came back under its name is not taken for the old one', async () => {
      await using store = await open();
      const first = await add(store, plainSnapshot(name));
      const gone = { before: first.snapshot, after: null, events: [event(name, 'domain-forgotten')] };
      expect((await store.commit({ name, version: first.version }, gone)).kind).toBe('committed');
      expect(await store.snapshot(name)).toBeNull();
      expect(await store.commit({ name, version: first.version }, gone)).toStrictEqual({ kind: 'stale', why: 'gone' });
      const second = await add(store, plainSnapshot(name));
      expect(second.version).toBeGreaterThan(first.version);
      expect(await store.commit({ name, version: first.version }, gone)).toStrictEqual({
        kind: 'stale',
        why: 'version',
      });
      expect((await store.journal.list({})).items).toHaveLength(3);
    });

    test('what cannot be stored takes nothing else with it', async () => {
      await using store = await open();
      const { version, snapshot } = await add(store, plainSnapshot(name));
      const bad = store.commit(
        { name, version },
        {
          before: snapshot,
          after: { ...snapshot, keys: [plainKey('a')] },
          events: [{ ...event(name, 'bad'), details: { at: new Date(0) } as never }],
        },
      );
      const good = store.zones.ensure('zone.example', 1);
      await expect(bad).rejects.toMatchObject({ name: 'StoreError', code: 'invalid' });
      await good;
      expect(await read(store, name)).toStrictEqual({ ...(await read(store, name)), version, snapshot });
      expect(await store.zones.serials()).toStrictEqual(new Map([['zone.example', 1]]));
      expect((await store.counts()).keys.created).toBe(0);
      expect((await store.journal.verify()).kind).toBe('intact');
    });

    test('a domain cannot be added twice, nor under a policy that is not there', async () => {
      await using store = await open();
      const domain = { snapshot: plainSnapshot(name), events: [event(name, 'domain-added')], nextLookAt: 0 };
      expect(await store.addDomain({ ...domain, policy: { kind: 'named', name: 'missing' } })).toStrictEqual({
        kind: 'no-such-policy',
      });
      const policy = { kind: 'named', name: 'default' } as const;
      expect((await store.addDomain({ ...domain, policy })).kind).toBe('added');
      expect(await store.addDomain({ ...domain, policy })).toStrictEqual({ kind: 'exists' });
      expect((await store.journal.list({})).items).toHaveLength(1);
    });
  });

  test('a request with a key takes effect once, whatever is asked under it the second time', async () => {
    const clock = standingClock(500);
    await using store = await open({ clock });
    const { version, snapshot } = await add(store, plainSnapshot(name));
    const once = { key: 'POST /rotations abc', result: { accepted: true } };
    const change = { before: snapshot, after: snapshot, events: [event(name, 'rotation-requested')], once };
    expect((await store.commit({ name, version }, change)).kind).toBe('committed');
    expect(await store.commit({ name, version: version + 1 }, change)).toStrictEqual({
      kind: 'repeated',
      result: { accepted: true },
    });
    expect(await store.earlierResult(once.key)).toStrictEqual({ accepted: true });
    expect(await store.earlierResult('another')).toBeUndefined();
    expect((await store.journal.list({ domain: name })).items).toHaveLength(2);
    expect(await store.forgetResults(500)).toBe(0);
    expect(await store.forgetResults(501)).toBe(1);
    expect(await store.earlierResult(once.key)).toBeUndefined();
  });

  describe('private keys', () => {
    test('come with their key in one commit, open for signers, and are destroyed for good', async () => {
      await using store = await open();
      const { version, snapshot } = await add(store, plainSnapshot(name));
      const ed = edPair();
      const rsa = rsaPair();
      const keys = [
        plainKey('ed', { publicKey: ed.publicKey, state: 'active' }),
        plainKey('rsa', { publicKey: rsa.publicKey, algorithm: 'rsa', bits: 2048 }),
      ];
      const after: Snapshot = { ...snapshot, keys };
      const secrets = [
        { keyId: 'ed', from: 'der', pkcs8: ed.pkcs8 },
        { keyId: 'rsa', from: 'der', pkcs8: rsa.pkcs8 },
      ] as const;
      expect((await store.commit({ name, version }, { before: snapshot, after, events: [], secrets })).kind).toBe(
        'committed',
      );
      expect(ed.pkcs8.equals((await store.loadPrivateKey('ed')) ?? Buffer.alloc(0))).toBe(true);
      expect(rsa.pkcs8.equals((await store.loadPrivateKey('rsa')) ?? Buffer.alloc(0))).toBe(true);
      expect(await store.loadPrivateKey('none')).toBeNull();

      const keyring = await store.keyring(name);
      expect(keyring?.streams).toStrictEqual([
        {
          name: 'default',
          keys: [{ id: 'ed', selector: 's-ed', algorithm: 'ed25519', bits: 256, pkcs8: expect.any(Buffer) }],
        },
      ]);
      expect(keyring?.mustSign).toBe(false);

      await store.commit({ name, version: version + 1 }, { before: after, after, events: [], destroy: ['ed'] });
      expect(await store.loadPrivateKey('ed')).toBeNull();
      expect((await store.keyring(name))?.streams[0]?.keys[0]?.pkcs8).toBeNull();
    });

    test('that are not the other half of the published key are refused', async () => {
      await using store = await open();
      const { version, snapshot } = await add(store, plainSnapshot(name));
      const after: Snapshot = { ...snapshot, keys: [plainKey('ed', { publicKey: edPair().publicKey })] };
      for (const pkcs8 of [edPair().pkcs8, rsaPair().pkcs8, Buffer.from('nonsense')]) {
        const change = { before: snapshot, after, events: [], secrets: [{ keyId: 'ed', from: 'der', pkcs8 }] as const };
        await expect(store.commit({ name, version }, change)).rejects.toMatchObject({ code: 'invalid' });
      }
      expect((await read(store, name)).version).toBe(version);
    });

    test('all keyrings come in order of name, shadow domains left out', async () => {
      await using store = await open();
      const domains = Array.from({ length: 300 }, (_, n) => {
        const plain = plainSnapshot(`d${String(n).padStart(3, '0')}.example`);
        return { ...plain, domain: { ...plain.domain, kind: n % 10 === 0 ? 'shadow' : 'mail' } } as const;
      });
      await Promise.all(domains.map((domain) => add(store, domain)));
      const names: string[] = [];
      for await (const keyring of store.keyrings()) names.push(keyring.domain);
      expect(names).toHaveLength(270);
      expect(names).toStrictEqual(names.toSorted());
    });
  });

  describe('the pool', () => {
    const kind = { algorithm: 'ed25519', bits: 256 } as const;

    test('gives each pair once; the commit that takes it takes it out', async () => {
      await using store = await open();
      const pairs = [edPair(), edPair()];
      for (const pair of pairs) await store.pool.put({ ...kind, ...pair });
      const [a, b] = [await store.pool.reserve(kind, 100, 1_000), await store.pool.reserve(kind, 100, 1_000)];
      if (!a || !b) throw new Error('the pool gave nothing');
      expect(a.publicKey).not.toBe(b.publicKey);
      expect(await store.pool.reserve(kind, 100, 1_000)).toBeNull();
      expect(await store.pool.reserve({ algorithm: 'rsa', bits: 2048 }, 100, 1_000)).toBeNull();

      const { version, snapshot } = await add(store, plainSnapshot(name));
      const after: Snapshot = { ...snapshot, keys: [plainKey('k', { publicKey: a.publicKey })] };
      const secrets = [{ keyId: 'k', from: 'pool', reservation: a.reservation }] as const;
      expect((await store.commit({ name, version }, { before: snapshot, after, events: [], secrets })).kind).toBe(
        'committed',
      );
      expect(await store.pool.size(kind)).toBe(1);
      const expected = pairs.find((pair) => pair.publicKey === a.publicKey);
      expect(expected?.pkcs8.equals((await store.loadPrivateKey('k')) ?? Buffer.alloc(0))).toBe(true);

      // The same pair a second time: gone, and with it the whole commit.
      const later: Snapshot = { ...after, keys: [...after.keys, plainKey('l', { publicKey: a.publicKey })] };
      const again = await store.commit(
        { name, version: version + 1 },
        {
          before: after,
          after: later,
          events: [event(name, 'key-created')],
          secrets: [{ keyId: 'l', from: 'pool', reservation: a.reservation }],
        },
      );
      expect(again).toStrictEqual({ kind: 'stale', why: 'pool' });
      expect((await read(store, name)).snapshot.keys).toHaveLength(1);
      expect((await store.counts()).keys.created).toBe(1);
    });

    test('gives a pair to no key with another public half', async () => {
      await using store = await open();
      await store.pool.put({ ...kind, ...edPair() });
      const reserved = await store.pool.reserve(kind, 100, 1_000);
      const { version, snapshot } = await add(store, plainSnapshot(name));
      const after: Snapshot = { ...snapshot, keys: [plainKey('k', { publicKey: edPair().publicKey })] };
      const secrets = [{ keyId: 'k', from: 'pool', reservation: reserved?.reservation ?? '' }] as const;
      const result = await store.commit({ name, version }, { before: snapshot, after, events: [], secrets });
      expect(result).toStrictEqual({ kind: 'stale', why: 'pool' });
      expect(await store.pool.size(kind)).toBe(1);
    });

    test('offers a pair again whose reservation ended, and takes no false pair', async () => {
      await using store = await open();
      await store.pool.put({ ...kind, ...edPair() });
      const first = await store.pool.reserve(kind, 100, 50);
      expect(await store.pool.reserve(kind, 149, 50)).toBeNull();
      expect((await store.pool.reserve(kind, 150, 50))?.reservation).toBe(first?.reservation);
      await expect(
        store.pool.put({ ...kind, publicKey: edPair().publicKey, pkcs8: edPair().pkcs8 }),
      ).rejects.toMatchObject({ code: 'invalid' });
    });
  });

  test('proofs: one row while nothing changes, one more for each change, the last twenty', async () => {
    await using store = await open();
    const first = await add(store, plainSnapshot(name, { keys: [plainKey('k')] }));
    let version = first.version;
    const prove = async (at: number, verdict: 'seen' | 'missing', detail: string) => {
      const { snapshot } = first;
      await store.commit(
        { name, version },
        {
          before: snapshot,
          after: snapshot,
          events: [],
          proofs: [{ keyId: 'k', at, expected: 'key', verdict, detail }],
        },
      );
      version += 1;
    };
    await prove(1, 'missing', 'one');
    await prove(2, 'missing', 'two');
    await prove(3, 'seen', 'three');
    expect(await store.proofs('k')).toStrictEqual([
      { keyId: 'k', since: 3, at: 3, times: 1, expected: 'key', verdict: 'seen', detail: 'three' },
      { keyId: 'k', since: 1, at: 2, times: 2, expected: 'key', verdict: 'missing', detail: 'two' },
    ]);
    for (let n = 4; n < 60; n++) await prove(n, n % 2 ? 'seen' : 'missing', String(n));
    const kept = await store.proofs('k');
    expect(kept).toHaveLength(20);
    expect(kept[0]?.at).toBe(59);
  });
});

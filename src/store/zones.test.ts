import { describe, expect, test } from 'vitest';
import { stores } from '../../tests/store/stores.ts';

const apex = 'dkim.example';
const name = 's1._domainkey.a.dkim.example';
const record = { value: 'v=DKIM1; p=AAAA', ttl: 300 };

describe.each(stores)('on $name', ({ open }) => {
  test('a record is set by compare-and-set, each change has its serial, repeating changes nothing', async () => {
    await using store = await open();
    const { zones } = store;
    await zones.ensure(apex, 2026010100);
    await zones.ensure(apex, 1);
    expect(await zones.set({ apex, name, desired: record, ours: [] })).toStrictEqual({
      kind: 'done',
      serial: 2026010101,
      changed: true,
    });
    expect(await zones.set({ apex, name, desired: record, ours: [] })).toStrictEqual({
      kind: 'done',
      serial: 2026010101,
      changed: false,
    });
    const other = { value: 'v=DKIM1; p=', ttl: 300 };
    expect(await zones.set({ apex, name, desired: other, ours: ['something else'] })).toStrictEqual({
      kind: 'conflict',
      found: [record.value],
    });
    expect(await zones.set({ apex, name, desired: null, ours: [] })).toStrictEqual({
      kind: 'conflict',
      found: [record.value],
    });
    // The same value with another TTL is ours by its value.
    expect(await zones.set({ apex, name, desired: { ...record, ttl: 3600 }, ours: [] })).toMatchObject({
      serial: 2026010102,
      changed: true,
    });
    expect(await zones.zone(apex)).toStrictEqual({
      apex,
      serial: 2026010102,
      records: [{ name, value: record.value, ttl: 3600 }],
    });
    expect(await zones.set({ apex, name, desired: null, ours: [record.value] })).toMatchObject({
      kind: 'done',
      changed: true,
    });
    expect(await zones.at(apex, name)).toStrictEqual([]);
    expect(await zones.serials()).toStrictEqual(new Map([[apex, 2026010103]]));
  });

  test('a zone that is not there takes no record; a removed one takes its records with it', async () => {
    await using store = await open();
    expect(await store.zones.set({ apex, name, desired: record, ours: [] })).toStrictEqual({ kind: 'no-such-zone' });
    await store.zones.ensure(apex, 5);
    await store.zones.set({ apex, name, desired: record, ours: [] });
    expect(await store.zones.remove(apex)).toBe(true);
    expect(await store.zones.remove(apex)).toBe(false);
    await store.zones.ensure(apex, 9);
    expect(await store.zones.zone(apex)).toStrictEqual({ apex, serial: 9, records: [] });
    expect(await store.zones.zone('other.example')).toBeNull();
  });

  test('the serial wraps by RFC 1982 and never becomes 0', async () => {
    await using store = await open();
    await store.zones.ensure(apex, 0xffffffff);
    expect(await store.zones.set({ apex, name, desired: record, ours: [] })).toMatchObject({ serial: 1 });
    await expect(store.zones.ensure('other.example', 2 ** 32)).rejects.toMatchObject({ code: 'invalid' });
  });
});

import { expect, test, vi } from 'vitest';
import { changesSince } from './history.ts';
import { createZone, recordsAt, ZoneError, zoneRecords } from './zone.ts';
import { createZoneStore } from './zone-store.ts';

const settings = { apex: 'Example.TEST', nameServers: ['ns1.example.test', 'ns2.example.net'] };

test('each change takes the next serial and is told; what changes nothing does neither', () => {
  const zones = createZoneStore([{ ...settings, serial: 41 }]);
  const told = vi.fn();
  const stop = zones.subscribe(told);
  const name = 'S1._domainkey.example.test';
  expect(zones.set(name, { value: 'v=DKIM1; p=AA', ttl: 300 })).toEqual({
    kind: 'changed',
    apex: 'example.test',
    serial: 42,
  });
  expect(zones.set(name, { value: 'v=DKIM1; p=AA', ttl: 300 })).toEqual({
    kind: 'unchanged',
    apex: 'example.test',
    serial: 42,
  });
  expect(zones.set(name, { value: 'v=DKIM1; p=AA', ttl: 60 })).toMatchObject({ kind: 'changed', serial: 43 });
  expect(zones.txt('s1._DOMAINKEY.example.test')).toEqual([{ value: 'v=DKIM1; p=AA', ttl: 60 }]);
  expect(zones.set(name, null, { serial: 100 })).toMatchObject({ kind: 'changed', serial: 100 });
  expect(zones.set(name, null)).toMatchObject({ kind: 'unchanged', serial: 100 });
  expect(zones.txt(name)).toEqual([]);
  expect(told.mock.calls.map(([apex, zone]) => [apex, zone.serial])).toEqual([
    ['example.test', 42],
    ['example.test', 43],
    ['example.test', 100],
  ]);
  stop();
  zones.set(name, { value: 'v=DKIM1; p=', ttl: 60 });
  expect(told).toHaveBeenCalledTimes(3);
});

test('a zone that is replaced grows, and one that is removed is gone', () => {
  const zones = createZoneStore([{ ...settings, serial: 7, records: [['a.example.test', { value: 'x', ttl: 1 }]] }]);
  expect(zones.txt('a.example.test')).toHaveLength(1);
  expect(zones.addZone(settings).serial).toBe(8);
  expect(zones.txt('a.example.test')).toEqual([]);
  const told = vi.fn();
  zones.subscribe(told);
  expect(zones.removeZone('EXAMPLE.test')).toBe(true);
  expect(told).toHaveBeenCalledWith('example.test', null);
  expect(zones.removeZone('example.test')).toBe(false);
  expect(zones.set('a.example.test', null)).toEqual({ kind: 'outside' });
});

test('a zone that is replaced by a newer one tells secondaries what differs, by an older one nothing', () => {
  const a = ['a.example.test', { value: 'a', ttl: 1 }] as const;
  const b = ['b.example.test', { value: 'b', ttl: 1 }] as const;
  const zones = createZoneStore([{ ...settings, serial: 7, records: [a] }]);
  const owners = (records: readonly { name: string; type: string }[] = []): string[] =>
    records.map(({ name, type }) => `${name} ${type}`).sort();
  const [change] = changesSince(zones.addZone({ ...settings, serial: 9, records: [b] }), 7) ?? [];
  expect([owners(change?.removed), owners(change?.added)]).toEqual([['a.example.test TXT'], ['b.example.test TXT']]);
  const other = zones.addZone({ ...settings, nameServers: ['ns9.example.test'], serial: 10, records: [b] });
  const [swap] = changesSince(other, 9) ?? [];
  expect([owners(swap?.removed), owners(swap?.added)]).toEqual([
    ['example.test NS', 'example.test NS'],
    ['example.test NS'],
  ]);
  expect(changesSince(other, 7)).toHaveLength(2);
  expect(changesSince(zones.addZone({ ...settings, serial: 3, records: [a] }), 10)).toBeNull();
});

test('records at the apex come and go beside SOA and NS', () => {
  const zones = createZoneStore([settings]);
  const types = (): string[] => [
    ...(recordsAt(zones.current().get('example.test') ?? expect.fail('no zone'), 'example.test')?.keys() ?? []),
  ];
  expect(zones.set('example.test', { value: 'v=spf1 -all', ttl: 60 })).toMatchObject({ kind: 'changed' });
  zones.set('a.example.test', { value: 'x', ttl: 60 });
  expect(types()).toEqual(['SOA', 'NS', 'TXT']);
  expect(zones.set('example.test', null)).toMatchObject({ kind: 'changed' });
  expect(types()).toEqual(['SOA', 'NS']);
  expect(zones.set('example.test', null)).toMatchObject({ kind: 'unchanged' });
});

test('the zone nearest to the name takes it', () => {
  const zones = createZoneStore([settings, { ...settings, apex: '_domainkey.example.test' }]);
  expect(zones.set('s1._domainkey.example.test', { value: 'x', ttl: 1 })).toMatchObject({
    apex: '_domainkey.example.test',
  });
  expect(zones.set('example.test', { value: 'v=spf1 -all', ttl: 1 })).toMatchObject({ apex: 'example.test' });
  expect(zones.set('sexample.test', { value: 'x', ttl: 1 })).toEqual({ kind: 'outside' });
});

test('what DNS does not allow is refused with a sentence and changes nothing', () => {
  const zones = createZoneStore([settings]);
  const before = zones.current().get('example.test');
  const refusals: [string, Parameters<typeof zones.set>[1], RegExp][] = [
    ['a.example.test', { value: 'x', ttl: -1 }, /TTL -1/],
    ['a.example.test', { value: 'x', ttl: 1.5 }, /TTL 1.5/],
    ['a.example.test', { value: '€', ttl: 1 }, /not made of octets/],
    ['a.example.test', { value: 'x'.repeat(70_000), ttl: 1 }, /longer than/],
    ['a..example.test', { value: 'x', ttl: 1 }, /empty label/],
    [`${'a'.repeat(64)}.example.test`, { value: 'x', ttl: 1 }, /63 octets/],
    ['a.example.test', [{ type: 'A', address: '300.1.1.1', ttl: 1 }], /not an IPv4 address/],
    ['a.example.test', [{ type: 'AAAA', address: 'fe80::1%lo', ttl: 1 }], /not an IPv6 address/],
    ['example.test', [{ type: 'CNAME', target: 'b.example.test', ttl: 1 }], /cannot be a CNAME/],
    [
      'a.example.test',
      [
        { type: 'CNAME', target: 'b.example.test', ttl: 1 },
        { type: 'TXT', value: 'x', ttl: 1 },
      ],
      /nothing else can stand beside it/,
    ],
    [
      'a.example.test',
      [
        { type: 'TXT', value: 'x', ttl: 1 },
        { type: 'TXT', value: 'y', ttl: 2 },
      ],
      /same TTL/,
    ],
  ];
  for (const [name, content, message] of refusals) {
    expect(zones.set(name, content)).toEqual({ kind: 'invalid', message: expect.stringMatching(message) });
  }
  expect(zones.current().get('example.test')).toBe(before);
  expect(() => createZone({ apex: 'example.test', nameServers: [] }, 1)).toThrow(ZoneError);
});

test('the SOA says who is in charge, also with a dot in the mailbox', () => {
  const soaOf = (hostmaster: string): unknown => createZone({ ...settings, hostmaster, negativeTtl: 30 }, 5).soa.data;
  expect(soaOf('john.doe@example.net')).toMatchObject({
    mname: 'ns1.example.test',
    rname: 'john\\.doe.example.net',
    serial: 5,
    minimum: 30,
  });
  expect(soaOf('dns.example.net')).toMatchObject({ rname: 'dns.example.net' });
});

test('changes are remembered one by one, so far back and no further', () => {
  const zones = createZoneStore([{ ...settings, serial: 1 }]);
  const current = () => zones.current().get('example.test') ?? expect.fail('no zone');
  for (let i = 0; i < 250; i += 1) zones.set('a.example.test', { value: `v${i}`, ttl: 1 });
  const last = changesSince(current(), 250);
  expect(last).toHaveLength(1);
  expect(last?.[0]?.removed.map(({ data }) => data)).toEqual([
    { kind: 'TXT', strings: [new Uint8Array(Buffer.from('v248'))] },
  ]);
  expect(last?.[0]?.added).toHaveLength(1);
  expect(changesSince(current(), 51)).toHaveLength(200);
  expect(changesSince(current(), 50)).toBeNull();
  expect([...zoneRecords(current())].map(({ type }) => type).sort()).toEqual(['NS', 'NS', 'TXT']);
});

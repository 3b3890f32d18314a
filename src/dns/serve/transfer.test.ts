import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ResourceRecord } from '../wire/message.ts';
import { isNewer } from './serial.ts';
import { axfrRecords, ixfrRecords } from './transfer.ts';
import type { RecordData } from './zone.ts';
import { createZoneStore, type ZoneStore } from './zone-store.ts';

const apex = 'example.test';
const name = fc
  .constantFrom('a', 'b', 's1._domainkey', 's2._domainkey', 'x.s1._domainkey')
  .map((label) => `${label}.${apex}`);
const content: fc.Arbitrary<readonly RecordData[]> = fc.oneof(
  fc.constant([]),
  fc
    .uniqueArray(fc.constantFrom('p', 'q', 'r'), { maxLength: 2 })
    .map((values) => values.map((value) => ({ type: 'TXT', value, ttl: 60 }) as const)),
  fc.constantFrom('t1', 't2').map((target) => [{ type: 'CNAME', target: `${target}.test`, ttl: 5 } as const]),
);
const changes = fc.array(fc.tuple(name, content, fc.integer({ min: 1, max: 2 ** 20 })), { maxLength: 25 });

const current = (zones: ZoneStore) => zones.current().get(apex) ?? expect.fail('no zone');
const text = (record: ResourceRecord): string =>
  JSON.stringify([record.name, record.type, record.ttl, record.data], (_, each) =>
    each instanceof Uint8Array ? Buffer.from(each).toString('hex') : each,
  );
const serialIn = (record: ResourceRecord | undefined): number | null =>
  record?.data.kind === 'SOA' ? record.data.serial : null;
const whole = (zones: ZoneStore): string[] => [...axfrRecords(current(zones))].slice(0, -1).map(text).sort();

/** What a secondary makes of an IXFR answer, by RFC 1995 section 4; the records it had come in, those it has go out. */
function applyIxfr(before: readonly string[], answer: readonly ResourceRecord[]): string[] {
  const [first, second] = answer;
  if (first === undefined || answer.length === 1) return [...before];
  if (second?.type !== 'SOA') return answer.slice(0, -1).map(text).sort();
  const records = new Set(before);
  let removing = false;
  for (const record of answer.slice(1, -1)) {
    if (record.type === 'SOA') removing = !removing;
    const had = records.has(text(record));
    // A removal of what is not there, or an addition of what is, would make a secondary give up.
    expect(had).toBe(removing);
    if (removing) records.delete(text(record));
    else records.add(text(record));
  }
  expect(text(answer.at(-1) ?? first)).toBe(text(first));
  return [...records].sort();
}

test('whatever a secondary has, an incremental transfer makes it the zone', () => {
  fc.assert(
    fc.property(changes, changes, fc.integer({ min: 1, max: 2 ** 32 - 1 }), (early, late, serial) => {
      const zones = createZoneStore([{ apex, nameServers: ['ns1.example.test'], serial }]);
      for (const [at, records] of early) zones.set(at, records);
      const had = whole(zones);
      const from = current(zones).serial;
      for (const [at, records, leap] of late) {
        const next = (current(zones).serial + leap) % 2 ** 32;
        zones.set(at, records, { serial: next });
      }
      const answer = [...ixfrRecords(current(zones), from)];
      expect(serialIn(answer[0])).toBe(current(zones).serial);
      expect(applyIxfr(had, answer)).toEqual(whole(zones));
      expect(current(zones).serial === from || isNewer(current(zones).serial, from)).toBe(true);
    }),
  );
});

test('a serial that is not known gets the whole zone, one that is newer the SOA alone', () => {
  const zones = createZoneStore([{ apex, nameServers: ['ns1.example.test'], serial: 10 }]);
  zones.set(`a.${apex}`, { value: 'p', ttl: 1 });
  expect(applyIxfr(['stale'], [...ixfrRecords(current(zones), 5)])).toEqual(whole(zones));
  expect([...ixfrRecords(current(zones), 12)].map(({ type }) => type)).toEqual(['SOA']);
});

/** What the built-in DNS server serves: zones with a serial that only grows, and their TXT records. */
import { readTogether } from './again.ts';
import { StoreError } from './errors.ts';
import type { Db } from './tables.ts';
import type { Batch, Writer } from './writer.ts';

export interface ZoneRecord {
  /** Fully qualified, lower case, no trailing dot. */
  readonly name: string;
  /** Joined TXT value. */
  readonly value: string;
  /** Seconds. */
  readonly ttl: number;
}

export interface StoredZone {
  readonly apex: string;
  /** RFC 1982 serial number; grows by one with every change. */
  readonly serial: number;
  readonly records: readonly ZoneRecord[];
}

export type ZoneChangeResult =
  | { readonly kind: 'done'; readonly serial: number; readonly changed: boolean }
  /** Other values than `ours` stand there; nothing was changed. */
  | { readonly kind: 'conflict'; readonly found: readonly string[] }
  | { readonly kind: 'no-such-zone' };

export interface ZoneChange {
  readonly apex: string;
  readonly name: string;
  readonly desired: { readonly value: string; readonly ttl: number } | null;
  /** Values that may be replaced; the desired value always may. */
  readonly ours: readonly string[];
}

export interface ZoneStore {
  /** Makes the zone with its first serial if it is not there. */
  ensure(apex: string, firstSerial: number): Promise<void>;
  /** Takes the zone and its records away; false when there was none. */
  remove(apex: string): Promise<boolean>;
  /** Apexes and serials, without records: cheap enough to poll. */
  serials(): Promise<ReadonlyMap<string, number>>;
  /** Zone and records in one consistent read. */
  zone(apex: string): Promise<StoredZone | null>;
  /** The record at one name: none or one. */
  at(apex: string, name: string): Promise<readonly ZoneRecord[]>;
  /** Compare-and-set at one name: one value or nothing (`desired` null) stands there afterwards. Repeating it changes nothing. */
  set(change: ZoneChange): Promise<ZoneChangeResult>;
}

export function createZones(db: Db, writer: Writer): ZoneStore {
  return {
    async ensure(apex, firstSerial) {
      if (!Number.isInteger(firstSerial) || firstSerial < 0 || firstSerial > 0xffffffff) {
        throw new StoreError(
          'invalid',
          `${firstSerial} is not a serial number for the zone ${apex}.`,
          'It is a whole number below 2^32.',
        );
      }
      await writer.write(async ({ trx }) => {
        if ((await serialOf(trx, apex)) === undefined)
          await trx.insertInto('zones').values({ apex, serial: firstSerial }).execute();
      });
    },

    async remove(apex) {
      return await writer.write(async ({ trx }) => {
        const { numDeletedRows } = await trx.deleteFrom('zones').where('apex', '=', apex).executeTakeFirst();
        return numDeletedRows > 0n;
      });
    },

    async serials() {
      const rows = await db.selectFrom('zones').selectAll().execute();
      return new Map(rows.map(({ apex, serial }) => [apex, serial]));
    },

    async zone(apex) {
      return await readTogether(db, async (trx) => {
        const serial = await serialOf(trx, apex);
        if (serial === undefined) return null;
        const records = await trx
          .selectFrom('zone_records')
          .select(['name', 'value', 'ttl'])
          .where('apex', '=', apex)
          .orderBy('name')
          .execute();
        return { apex, serial, records };
      });
    },

    at: (apex, name) => recordsAt(db, apex, name),

    set: (change) => writer.write((batch) => setRecord(batch, change)),
  };
}

async function setRecord({ trx, locked }: Batch, change: ZoneChange): Promise<ZoneChangeResult> {
  const { apex, name, desired, ours } = change;
  const zone = trx.selectFrom('zones').select('serial').where('apex', '=', apex);
  const serial = (await locked(zone).executeTakeFirst())?.serial;
  if (serial === undefined) return { kind: 'no-such-zone' };
  const [found] = await recordsAt(trx, apex, name);
  if (found?.value === desired?.value && found?.ttl === desired?.ttl) return { kind: 'done', serial, changed: false };
  if (found && found.value !== desired?.value && !ours.includes(found.value))
    return { kind: 'conflict', found: [found.value] };
  await trx.deleteFrom('zone_records').where('apex', '=', apex).where('name', '=', name).execute();
  if (desired)
    await trx.insertInto('zone_records').values({ apex, name, value: desired.value, ttl: desired.ttl }).execute();
  // RFC 1982: the serial wraps; 0 is skipped, for some secondaries take it for "unknown".
  const next = serial === 0xffffffff ? 1 : serial + 1;
  await trx.updateTable('zones').set({ serial: next }).where('apex', '=', apex).execute();
  return { kind: 'done', serial: next, changed: true };
}

async function serialOf(db: Db, apex: string): Promise<number | undefined> {
  return (await db.selectFrom('zones').select('serial').where('apex', '=', apex).executeTakeFirst())?.serial;
}

async function recordsAt(db: Db, apex: string, name: string) {
  return await db
    .selectFrom('zone_records')
    .select(['name', 'value', 'ttl'])
    .where('apex', '=', apex)
    .where('name', '=', name)
    .execute();
}

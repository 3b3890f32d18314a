/** What changed from one serial to the next, kept for a while so that secondaries need not fetch the whole zone (RFC 1995). */
import type { ResourceRecord } from '../wire/message.ts';
import { findName } from './name-tree.ts';
import type { RecordSets, Zone } from './zone.ts';

export interface Delta {
  /** The SOA before and after. */
  readonly from: ResourceRecord;
  readonly to: ResourceRecord;
  readonly removed: readonly ResourceRecord[];
  readonly added: readonly ResourceRecord[];
}

/** Changes kept per zone: a secondary that is further behind gets the whole zone. */
const KEPT = 200;

/** The zone's history with one more change in it. */
export function remember(
  zone: Zone,
  edits: ReadonlyMap<string, RecordSets | null>,
  to: ResourceRecord,
): readonly Delta[] {
  const removed: ResourceRecord[] = [];
  const added: ResourceRecord[] = [];
  for (const [name, sets] of edits) {
    const before = findName(zone.names, name) ?? new Map();
    for (const type of new Set([...before.keys(), ...(sets?.keys() ?? [])])) {
      if (type === 'SOA') continue;
      const old = before.get(type) ?? [];
      const now = sets?.get(type) ?? [];
      if (sameRecords(old, now)) continue;
      removed.push(...old);
      added.push(...now);
    }
  }
  return [...zone.history.slice(1 - KEPT), { from: zone.soa, to, removed, added }];
}

/** Whether two sets of one name and type are the same, TTL included. */
export function sameRecords(a: readonly ResourceRecord[], b: readonly ResourceRecord[]): boolean {
  return a === b || (a.length === b.length && a.every((record, i) => fingerprint(record) === fingerprint(b[i])));
}

function fingerprint(record: ResourceRecord | undefined): string {
  if (record === undefined) return '';
  const { data } = record;
  const content = data.kind === 'TXT' ? Buffer.concat(data.strings).toString('latin1') : JSON.stringify(data);
  return `${record.ttl} ${content}`;
}

/**
 * The changes that lead from `serial` to the zone as it is, oldest first; null where they are not all known, and the
 * whole zone must be sent.
 */
export function changesSince(zone: Zone, serial: number): readonly Delta[] | null {
  const start = zone.history.findIndex(({ from }) => from.data.kind === 'SOA' && from.data.serial === serial);
  return start < 0 ? null : zone.history.slice(start);
}

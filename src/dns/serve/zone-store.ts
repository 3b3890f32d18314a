/** The zones that the server serves, in memory. Keeping them on disk is the caller's matter. */
import { WireError } from '../wire/error.ts';
import { nameKey } from '../wire/name.ts';
import { remember, sameRecords } from './history.ts';
import { namesOf } from './name-tree.ts';
import { closest } from './names.ts';
import { addSerial, isNewer } from './serial.ts';
import {
  changeZone,
  createZone,
  type NameChange,
  type RecordData,
  type RecordSets,
  recordsAt,
  type Zone,
  ZoneError,
  type ZoneSettings,
} from './zone.ts';

/** Where a server takes its zones from. */
export interface ZoneSource {
  /** A live view: apex to zone. The zones themselves never change. */
  current(): ReadonlyMap<string, Zone>;
  /** Calls back after each change, with null for a zone that is gone. Returns a function that ends it. */
  subscribe(listener: (apex: string, zone: Zone | null) => void): () => void;
}

export type SetResult =
  | { readonly kind: 'changed'; readonly apex: string; readonly serial: number }
  | { readonly kind: 'unchanged'; readonly apex: string; readonly serial: number }
  /** No zone of ours contains the name. */
  | { readonly kind: 'outside' }
  /** DNS does not allow it. */
  | { readonly kind: 'invalid'; readonly message: string };

/** One TXT record (its joined value), any records, or nothing. */
export type NameContent = { readonly value: string; readonly ttl: number } | readonly RecordData[] | null;

export interface NewZone extends ZoneSettings {
  /** Serial to begin with; it must be newer than every one served before (see `startSerial`). Default 1. */
  readonly serial?: number;
  readonly records?: Iterable<readonly [name: string, content: NameContent]>;
}

export interface ZoneStore extends ZoneSource {
  /**
   * Adds a zone, or gives the one of this apex other settings and content. With a newer serial secondaries may fetch
   * what differs; with an older one they must be made to fetch the whole zone by hand.
   * @throws ZoneError for what DNS does not allow
   */
  addZone(zone: NewZone): Zone;
  removeZone(apex: string): boolean;
  /**
   * Makes `content` all that stands at `name` (at an apex: beside SOA and NS). A change takes the next serial; setting
   * what is there already changes nothing. With `serial` the caller chooses it, having saved it first.
   */
  set(name: string, content: NameContent, options?: { readonly serial?: number }): SetResult;
  /** The joined TXT values at a name. */
  txt(name: string): readonly { readonly value: string; readonly ttl: number }[];
}

/**
 * @example
 * const zones = createZoneStore([{ apex: 'keys.example.net', nameServers: ['ns1.example.net'] }]);
 * zones.set('s1._domainkey.keys.example.net', { value: 'v=DKIM1; p=…', ttl: 300 });
 */
export function createZoneStore(zones: Iterable<NewZone> = []): ZoneStore {
  const map = new Map<string, Zone>();
  const listeners = new Set<(apex: string, zone: Zone | null) => void>();
  const tell = (apex: string, zone: Zone | null): void => {
    for (const listener of [...listeners]) listener(apex, zone);
  };

  const store: ZoneStore = {
    current: () => map,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    addZone({ serial, records = [], ...settings }) {
      const content: NameChange[] = [];
      for (const [name, at] of records) content.push([name, recordList(at)]);
      const before = map.get(nameKey(settings.apex));
      const first = serial ?? (before === undefined ? 1 : addSerial(before.serial));
      const zone = succeed(before, createZone(settings, first, content));
      map.set(zone.apex, zone);
      tell(zone.apex, zone);
      return zone;
    },
    removeZone(apex) {
      const key = nameKey(apex);
      if (!map.delete(key)) return false;
      tell(key, null);
      return true;
    },
    set(name, content, options = {}) {
      try {
        const key = nameKey(name);
        const zone = closest(map, key);
        if (zone === undefined) return { kind: 'outside' };
        const serial = options.serial ?? addSerial(zone.serial);
        const changed = changeZone(zone, [[key, recordList(content)]], serial);
        if (sameSets(recordsAt(zone, key), recordsAt(changed, key))) {
          return { kind: 'unchanged', apex: zone.apex, serial: zone.serial };
        }
        map.set(zone.apex, changed);
        tell(zone.apex, changed);
        return { kind: 'changed', apex: zone.apex, serial };
      } catch (error) {
        if (error instanceof ZoneError || error instanceof WireError) {
          return { kind: 'invalid', message: error.message };
        }
        throw error;
      }
    },
    txt(name) {
      const key = nameKey(name);
      const zone = closest(map, key);
      const records = zone === undefined ? undefined : recordsAt(zone, key)?.get('TXT');
      return (records ?? []).flatMap(({ data, ttl }) =>
        data.kind === 'TXT' ? [{ value: Buffer.concat(data.strings).toString('latin1'), ttl }] : [],
      );
    },
  };
  for (const zone of zones) store.addZone(zone);
  return store;
}

/** The zone in the place of another, with what differs as one more change in its history. */
function succeed(before: Zone | undefined, zone: Zone): Zone {
  if (before === undefined || !isNewer(zone.serial, before.serial)) return zone;
  const edits = new Map<string, RecordSets | null>();
  for (const [name] of namesOf(before.names)) if (recordsAt(zone, name) == null) edits.set(name, null);
  for (const [name, sets] of namesOf(zone.names)) {
    if (!sameSets(recordsAt(before, name), sets)) edits.set(name, sets);
  }
  return { ...zone, history: remember(before, edits, zone.soa) };
}

function recordList(content: NameContent): readonly RecordData[] {
  if (content === null) return [];
  return 'value' in content ? [{ type: 'TXT', ...content }] : content;
}

/** Whether nothing but the serial differs. */
function sameSets(a: RecordSets | null | undefined, b: RecordSets | null | undefined): boolean {
  const [before, after] = [a ?? new Map(), b ?? new Map()];
  return (
    before.size === after.size &&
    [...before].every(([type, set]) => type === 'SOA' || sameRecords(set, after.get(type) ?? []))
  );
}

/** What the built-in DNS server serves: zones with a serial that only grows, and their TXT records. */

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

export interface ZoneStore {
  /** Makes the zone with its first serial if it is not there. */
  ensure(apex: string, firstSerial: number): Promise<void>;
  remove(apex: string): Promise<boolean>;
  /** Apexes and serials, without records: cheap enough to poll. */
  serials(): Promise<ReadonlyMap<string, number>>;
  /** Zone and records in one consistent read. */
  zone(apex: string): Promise<StoredZone | null>;
  /** The records at one name. */
  at(apex: string, name: string): Promise<readonly ZoneRecord[]>;
  /** Compare-and-set at one name: one value or nothing (`desired` null) stands there afterwards. Repeating it changes nothing. */
  set(change: {
    readonly apex: string;
    readonly name: string;
    readonly desired: { readonly value: string; readonly ttl: number } | null;
    /** Values that may be replaced; the desired value always may. */
    readonly ours: readonly string[];
  }): Promise<ZoneChangeResult>;
}

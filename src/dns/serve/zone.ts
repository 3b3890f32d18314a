/** A zone as data that never changes: each change makes a new one that shares what it did not touch. */
import { isIPv4, isIPv6 } from 'node:net';
import { type ResourceRecord, txtData, type RecordData as WireData, WireError } from '../wire/message.ts';
import { isSubdomain, nameKey } from '../wire/name.ts';
import { type Delta, remember } from './history.ts';
import { editTree, emptyTree, findName, type NameTree, namesOf } from './name-tree.ts';

/** What may stand at a name. TTLs in seconds; a TXT value is its strings joined, one character an octet. */
export type RecordData =
  | { readonly type: 'TXT'; readonly value: string; readonly ttl: number }
  | { readonly type: 'CNAME'; readonly target: string; readonly ttl: number }
  | { readonly type: 'A' | 'AAAA'; readonly address: string; readonly ttl: number };

/** A zone's own records. Durations in seconds. */
export interface ZoneSettings {
  readonly apex: string;
  /** Host names of all public name servers, secondaries included; the first is the SOA's primary. */
  readonly nameServers: readonly string[];
  /** Mailbox of the person in charge, as a mailbox or as a domain name. Default `hostmaster@APEX`. */
  readonly hostmaster?: string;
  readonly refresh?: number;
  readonly retry?: number;
  readonly expire?: number;
  /** How long the absence of a record may be remembered (SOA MINIMUM, RFC 2308 section 4). Default 60. */
  readonly negativeTtl?: number;
  /** TTL of the SOA and NS records. Default 3600. */
  readonly ttl?: number;
}

/** Record sets by type. */
export type RecordSets = ReadonlyMap<string, readonly ResourceRecord[]>;

export interface Zone {
  readonly apex: string;
  readonly serial: number;
  readonly settings: ZoneSettings;
  readonly soa: ResourceRecord;
  /** The SOA as it stands in negative answers: its TTL is how long they may be kept (RFC 2308 section 3). */
  readonly negativeSoa: ResourceRecord;
  readonly names: NameTree<RecordSets>;
  /** The newest changes, oldest first, for incremental transfers. */
  readonly history: readonly Delta[];
}

/** What is to stand at each name from now on; an empty list takes everything away. At the apex SOA and NS stay. */
export type NameChange = readonly [name: string, records: readonly RecordData[]];

/** A zone's content or settings that DNS does not allow. */
export class ZoneError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ZoneError';
  }
}

const defaults = { refresh: 3600, retry: 300, expire: 14 * 86_400, negativeTtl: 60, ttl: 3600 };
const LONGEST_TTL = 2 ** 31 - 1;
/** Leaves room for the rest of a message of 65,535 bytes. */
const LONGEST_VALUE = 60_000;

/** @throws ZoneError for names, values or combinations that DNS does not allow */
export function createZone(settings: ZoneSettings, serial: number, content: Iterable<NameChange> = []): Zone {
  const apex = key(settings.apex, 'the zone');
  if (settings.nameServers.length === 0) throw new ZoneError(`The zone ${apex} needs at least one name server`);
  const soa = soaOf(apex, settings, serial);
  const bare: Zone = {
    apex,
    serial,
    settings,
    soa,
    negativeSoa: negative(soa),
    names: editTree(emptyTree<RecordSets>(apex), [[apex, apexSets(settings, apex, soa)]]),
    history: [],
  };
  return { ...changeZone(bare, content, serial), history: [] };
}

/**
 * The zone with changed names and a new serial.
 * @throws ZoneError and changes nothing when one of the changes is not allowed
 */
export function changeZone(zone: Zone, changes: Iterable<NameChange>, serial: number): Zone {
  const { apex, settings } = zone;
  const edits = new Map<string, RecordSets | null>();
  for (const [name, records] of changes) {
    const at = key(name, `a name in ${apex}`);
    if (!isSubdomain(at, apex)) throw new ZoneError(`${name} is not in the zone ${apex}`);
    const sets = recordSets(at, records);
    if (at === apex && sets.has('CNAME')) throw new ZoneError(`${apex} is a zone of its own: it cannot be a CNAME`);
    edits.set(at, sets.size === 0 ? null : sets);
  }
  const soa = soaOf(apex, settings, serial);
  const own = edits.has(apex) ? edits.get(apex) : withoutOwn(findName(zone.names, apex) ?? new Map());
  edits.set(apex, new Map([...apexSets(settings, apex, soa), ...(own ?? [])]));
  return {
    ...zone,
    serial,
    soa,
    negativeSoa: negative(soa),
    names: editTree(zone.names, edits),
    history: remember(zone, edits, soa),
  };
}

/** The record sets at a canonical name: `undefined` without such a name, null for an empty non-terminal. */
export function recordsAt(zone: Zone, name: string): RecordSets | null | undefined {
  return findName(zone.names, name);
}

/** All records, without the SOA, in no particular order. */
export function* zoneRecords(zone: Zone): Generator<ResourceRecord> {
  for (const [, sets] of namesOf(zone.names)) {
    for (const [type, records] of sets) if (type !== 'SOA') yield* records;
  }
}

function withoutOwn(sets: RecordSets): RecordSets {
  return new Map([...sets].filter(([type]) => type !== 'SOA' && type !== 'NS'));
}

function recordSets(name: string, records: readonly RecordData[]): RecordSets {
  const sets = new Map<string, ResourceRecord[]>();
  for (const record of records) {
    const set = sets.get(record.type) ?? [];
    set.push({ name, type: record.type, class: 'IN', ttl: checkedTtl(record.ttl, name), data: wireData(record, name) });
    sets.set(record.type, set);
  }
  if (sets.has('CNAME') && records.length > 1) {
    throw new ZoneError(`${name} is a CNAME: nothing else can stand beside it (RFC 1034 section 3.6.2)`);
  }
  for (const [type, set] of sets) {
    // RFC 2181 section 5.2: one TTL for a whole set.
    if (set.some((record) => record.ttl !== set[0]?.ttl)) {
      throw new ZoneError(`The ${type} records of ${name} must all have the same TTL`);
    }
  }
  return sets;
}

function wireData(record: RecordData, name: string): WireData {
  switch (record.type) {
    case 'TXT':
      if (/[^\0-\xff]/.test(record.value)) throw new ZoneError(`The TXT value of ${name} is not made of octets`);
      if (record.value.length > LONGEST_VALUE) {
        throw new ZoneError(`The TXT value of ${name} is longer than ${LONGEST_VALUE} octets`);
      }
      return txtData(record.value);
    case 'CNAME':
      return { kind: 'CNAME', target: key(record.target, `the target of ${name}`) };
    case 'A':
      if (!isIPv4(record.address)) throw new ZoneError(`"${record.address}" of ${name} is not an IPv4 address`);
      return { kind: 'A', address: record.address };
    case 'AAAA':
      if (!isIPv6(record.address) || record.address.includes('%')) {
        throw new ZoneError(`"${record.address}" of ${name} is not an IPv6 address`);
      }
      return { kind: 'AAAA', address: record.address };
  }
}

function apexSets(settings: ZoneSettings, apex: string, soa: ResourceRecord): RecordSets {
  const ns = settings.nameServers.map((host): ResourceRecord => {
    const target = key(host, `a name server of ${apex}`);
    return { name: apex, type: 'NS', class: 'IN', ttl: settings.ttl ?? defaults.ttl, data: { kind: 'NS', target } };
  });
  return new Map([
    ['SOA', [soa]],
    ['NS', ns],
  ]);
}

function soaOf(apex: string, settings: ZoneSettings, serial: number): ResourceRecord {
  const { refresh, retry, expire, negativeTtl, ttl } = { ...defaults, ...settings };
  return {
    name: apex,
    type: 'SOA',
    class: 'IN',
    ttl: checkedTtl(ttl, apex),
    data: {
      kind: 'SOA',
      mname: key(settings.nameServers[0] ?? apex, `a name server of ${apex}`),
      rname: mailboxName(settings.hostmaster ?? `hostmaster@${apex}`),
      serial,
      refresh,
      retry,
      expire,
      minimum: checkedTtl(negativeTtl, apex),
    },
  };
}

function negative(soa: ResourceRecord): ResourceRecord {
  return soa.data.kind === 'SOA' ? { ...soa, ttl: Math.min(soa.ttl, soa.data.minimum) } : soa;
}

/** `john.doe@example.com` as a domain name: `john\.doe.example.com` (RFC 1035 section 8). */
function mailboxName(mailbox: string): string {
  const at = mailbox.lastIndexOf('@');
  if (at < 0) return key(mailbox, 'the hostmaster');
  return key(`${mailbox.slice(0, at).replaceAll('.', '\\.')}.${mailbox.slice(at + 1)}`, 'the hostmaster');
}

function checkedTtl(ttl: number, name: string): number {
  if (Number.isInteger(ttl) && ttl >= 0 && ttl <= LONGEST_TTL) return ttl;
  throw new ZoneError(`The TTL ${ttl} of ${name} is not a whole number of seconds from 0 to ${LONGEST_TTL}`);
}

function key(name: string, what: string): string {
  try {
    return nameKey(name);
  } catch (error) {
    if (error instanceof WireError) throw new ZoneError(`"${name}" cannot be ${what}: ${error.message}`);
    throw error;
  }
}

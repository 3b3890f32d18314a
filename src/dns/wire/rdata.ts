/** Record data, by type. What the program has no use for inside stays raw (RFC 3597). */
import { ipv4Bytes, ipv4Text, ipv6Bytes, ipv6Text } from './address.ts';
import { WireError } from './error.ts';
import type { Reader } from './reader.ts';
import type { Writer } from './writer.ts';

export interface SoaData {
  readonly kind: 'SOA';
  readonly mname: string;
  readonly rname: string;
  readonly serial: number;
  /** Seconds, as are the next three; `minimum` is the negative TTL (RFC 2308 §4). */
  readonly refresh: number;
  readonly retry: number;
  readonly expire: number;
  readonly minimum: number;
}

/** RFC 8945 §4.2. */
export interface TsigData {
  readonly kind: 'TSIG';
  readonly algorithm: string;
  /** Epoch seconds. */
  readonly timeSigned: number;
  readonly fudge: number;
  readonly mac: Uint8Array;
  readonly originalId: number;
  readonly error: number;
  readonly otherData: Uint8Array;
}

export interface TxtData {
  readonly kind: 'TXT';
  /** Each at most 255 bytes, at least one. */
  readonly strings: readonly Uint8Array[];
}

export type RecordData =
  /** No data at all: deletions and prerequisites of an UPDATE (RFC 2136 §2.4, §2.5). */
  | { readonly kind: 'EMPTY' }
  /** Any other type, and any type whose data the program need not understand. */
  | { readonly kind: 'RAW'; readonly bytes: Uint8Array }
  | { readonly kind: 'A'; readonly address: string }
  | { readonly kind: 'AAAA'; readonly address: string }
  | { readonly kind: 'NS'; readonly target: string }
  | { readonly kind: 'CNAME'; readonly target: string }
  | { readonly kind: 'DNAME'; readonly target: string }
  | { readonly kind: 'PTR'; readonly target: string }
  | SoaData
  | { readonly kind: 'MX'; readonly preference: number; readonly exchange: string }
  | TxtData
  | {
      readonly kind: 'SRV';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly kind: 'CAA'; readonly flags: number; readonly tag: string; readonly value: Uint8Array }
  | TsigData;

/** Reads the data of a record of `type`; the reader is confined to exactly that data. */
export function readRecordData(reader: Reader, type: string): RecordData {
  if (reader.remaining === 0) return { kind: 'EMPTY' };
  switch (type) {
    case 'A':
      return { kind: type, address: ipv4Text(reader.take(4)) };
    case 'AAAA':
      return { kind: type, address: ipv6Text(reader.take(16)) };
    case 'NS':
    case 'CNAME':
    case 'DNAME':
    case 'PTR':
      return { kind: type, target: reader.name() };
    case 'SOA':
      return {
        kind: type,
        mname: reader.name(),
        rname: reader.name(),
        serial: reader.u32(),
        refresh: reader.u32(),
        retry: reader.u32(),
        expire: reader.u32(),
        minimum: reader.u32(),
      };
    case 'MX':
      return { kind: type, preference: reader.u16(), exchange: reader.name() };
    case 'TXT': {
      const strings: Uint8Array[] = [];
      while (reader.remaining > 0) strings.push(reader.characterString());
      return { kind: type, strings };
    }
    case 'SRV':
      return { kind: type, priority: reader.u16(), weight: reader.u16(), port: reader.u16(), target: reader.name() };
    case 'CAA': {
      const flags = reader.u8();
      const tag = Buffer.from(reader.characterString()).toString('latin1');
      return { kind: type, flags, tag, value: reader.take(reader.remaining) };
    }
    case 'TSIG':
      return {
        kind: type,
        algorithm: reader.name(),
        timeSigned: reader.u48(),
        fudge: reader.u16(),
        mac: reader.take(reader.u16()),
        originalId: reader.u16(),
        error: reader.u16(),
        otherData: reader.take(reader.u16()),
      };
    default:
      return { kind: 'RAW', bytes: reader.take(reader.remaining) };
  }
}

/** Writes the data of a record of `type`; `RAW` and `EMPTY` go with every type, all others only with their own. */
export function writeRecordData(writer: Writer, type: string, data: RecordData): void {
  if (data.kind !== 'EMPTY' && data.kind !== 'RAW' && data.kind !== type) {
    throw new WireError('bad-rdata', `data of type ${data.kind} cannot stand in a record of type ${type}`);
  }
  switch (data.kind) {
    case 'EMPTY':
      break;
    case 'RAW':
      writer.raw(data.bytes);
      break;
    case 'A':
      writer.raw(ipv4Bytes(data.address));
      break;
    case 'AAAA':
      writer.raw(ipv6Bytes(data.address));
      break;
    case 'NS':
    case 'CNAME':
    case 'PTR':
      writer.name(data.target, true);
      break;
    case 'DNAME':
      // RFC 6672 §2.5: never compressed.
      writer.name(data.target, false);
      break;
    case 'SOA':
      writer.name(data.mname, true);
      writer.name(data.rname, true);
      writer.u32(data.serial);
      writer.u32(data.refresh);
      writer.u32(data.retry);
      writer.u32(data.expire);
      writer.u32(data.minimum);
      break;
    case 'MX':
      writer.u16(data.preference);
      writer.name(data.exchange, true);
      break;
    case 'TXT':
      if (data.strings.length === 0) throw new WireError('bad-rdata', 'a TXT record needs at least one string');
      for (const string of data.strings) writer.characterString(string);
      break;
    case 'SRV':
      writer.u16(data.priority);
      writer.u16(data.weight);
      writer.u16(data.port);
      writer.name(data.target, false);
      break;
    case 'CAA':
      writer.u8(data.flags);
      writer.characterString(Buffer.from(data.tag, 'latin1'));
      writer.raw(data.value);
      break;
    case 'TSIG':
      writer.name(data.algorithm, false);
      writer.u48(data.timeSigned);
      writer.u16(data.fudge);
      writer.lengthPrefixed(() => writer.raw(data.mac));
      writer.u16(data.originalId);
      writer.u16(data.error);
      writer.lengthPrefixed(() => writer.raw(data.otherData));
      break;
  }
}

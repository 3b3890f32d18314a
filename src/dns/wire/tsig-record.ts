/** Where a message's TSIG record stands and what it says. */
import { WireError } from './error.ts';
import { readRecordData, type TsigData, writeRecordData } from './rdata.ts';
import { Reader } from './reader.ts';
import type { Writer } from './writer.ts';

const tsigType = 250;
const classAny = 255;

export interface LocatedTsig {
  readonly kind: 'tsig';
  /** Where the record starts: what is before it was signed. */
  readonly offset: number;
  readonly keyName: string;
  readonly tsig: TsigData;
}

/** Finds the TSIG record, which must be the last of the additional section (RFC 8945 §5.1). */
export function locateTsig(
  bytes: Uint8Array,
): LocatedTsig | { readonly kind: 'none' } | { readonly kind: 'malformed'; readonly message: string } {
  try {
    return locate(new Reader(bytes));
  } catch (error) {
    if (error instanceof WireError) return { kind: 'malformed', message: error.message };
    throw error;
  }
}

function locate(reader: Reader): ReturnType<typeof locateTsig> {
  reader.skip(4);
  const questions = reader.u16();
  const others = reader.u16() + reader.u16();
  const additionals = reader.u16();
  for (let i = 0; i < questions; i++) {
    reader.name();
    reader.skip(4);
  }
  for (let i = 0; i < others + additionals; i++) {
    const offset = reader.offset;
    const keyName = reader.name();
    const type = reader.u16();
    const recordClass = reader.u16();
    const ttl = reader.u32();
    const length = reader.u16();
    if (type !== tsigType) {
      reader.skip(length);
      continue;
    }
    if (i !== others + additionals - 1 || additionals === 0) {
      return { kind: 'malformed', message: 'the TSIG record is not the last of the additional section' };
    }
    const tsig = reader.within(length, 'the TSIG record', () => readRecordData(reader, 'TSIG'));
    if (tsig.kind !== 'TSIG' || recordClass !== classAny || ttl !== 0 || reader.remaining > 0) {
      return { kind: 'malformed', message: 'the TSIG record needs data, class ANY, TTL 0 and the last place' };
    }
    return { kind: 'tsig', offset, keyName, tsig };
  }
  return { kind: 'none' };
}

/** Writes a TSIG record; no name in it is compressed. */
export function writeTsigRecord(writer: Writer, keyName: string, data: TsigData): void {
  writer.name(keyName, false);
  writer.u16(tsigType);
  writer.u16(classAny);
  writer.u32(0);
  writer.lengthPrefixed(() => writeRecordData(writer, 'TSIG', data));
}

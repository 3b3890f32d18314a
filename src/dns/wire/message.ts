/**
 * DNS messages (RFC 1035 §4, RFC 2136, RFC 6891): bytes to data and back.
 * In an UPDATE the four sections are zone, prerequisites, updates and additional data, in this order.
 */
import {
  classCode,
  className,
  type Opcode,
  opcodeCode,
  opcodeName,
  type Rcode,
  type RecordClass,
  rcodeCode,
  rcodeName,
  typeCode,
  typeName,
} from './codes.ts';
import { WireError } from './error.ts';
import { type RecordData, readRecordData, writeRecordData } from './rdata.ts';
import { Reader } from './reader.ts';
import { Writer } from './writer.ts';

export type { Opcode, Rcode, RecordClass } from './codes.ts';
export { WireError, type WireErrorCode } from './error.ts';
export type { RecordData, SoaData, TsigData, TxtData } from './rdata.ts';
export { txtData, txtStrings, txtValue, txtValues } from './txt.ts';

export interface Flags {
  readonly qr: boolean;
  readonly aa: boolean;
  readonly tc: boolean;
  readonly rd: boolean;
  readonly ra: boolean;
  readonly ad: boolean;
  readonly cd: boolean;
}

export interface Question {
  readonly name: string;
  readonly type: string;
  readonly class: RecordClass;
}

export interface ResourceRecord {
  readonly name: string;
  /** The mnemonic, or `TYPE123`. */
  readonly type: string;
  readonly class: RecordClass;
  /** Seconds. */
  readonly ttl: number;
  readonly data: RecordData;
}

export interface EdnsOption {
  readonly code: number;
  readonly data: Uint8Array;
}

/** The OPT pseudo-record, without the upper bits of the response code, which are part of {@link Message.rcode}. */
export interface Edns {
  readonly udpSize: number;
  readonly version: number;
  readonly do: boolean;
  readonly options: readonly EdnsOption[];
}

export interface Message {
  readonly id: number;
  readonly opcode: Opcode;
  readonly rcode: Rcode;
  readonly flags: Flags;
  readonly questions: readonly Question[];
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
  /** Without the OPT record; a TSIG, where there is one, is last. */
  readonly additionals: readonly ResourceRecord[];
  readonly edns?: Edns;
}

export const noFlags: Flags = { qr: false, aa: false, tc: false, rd: false, ra: false, ad: false, cd: false };

/** A message with everything left out being empty, zero or false. */
export function createMessage(parts: Partial<Omit<Message, 'flags'>> & { readonly flags?: Partial<Flags> }): Message {
  return {
    id: 0,
    opcode: 'QUERY',
    rcode: 'NOERROR',
    questions: [],
    answers: [],
    authorities: [],
    additionals: [],
    ...parts,
    flags: { ...noFlags, ...parts.flags },
  };
}

/** The first twelve octets, for answering what cannot be decoded; null when there are fewer. */
export interface Header {
  readonly id: number;
  readonly opcode: Opcode;
  readonly flags: Flags;
}

export function peekHeader(bytes: Uint8Array): Header | null {
  if (bytes.length < 12) return null;
  const reader = new Reader(bytes);
  const id = reader.u16();
  const bits = reader.u16();
  return { id, opcode: opcodeName((bits >> 11) & 15), flags: readFlags(bits) };
}

/** The data of a message. Throws {@link WireError}, and nothing else, for whatever is not a well-formed message. */
export function decodeMessage(bytes: Uint8Array): Message {
  if (bytes.length > 0xffff) throw new WireError('too-large', `a message of ${bytes.length} bytes is over 65535`);
  const reader = new Reader(bytes);
  const id = reader.u16();
  const bits = reader.u16();
  const counts = [reader.u16(), reader.u16(), reader.u16(), reader.u16()] as const;

  const questions: Question[] = [];
  for (let i = 0; i < counts[0]; i++) {
    questions.push({ name: reader.name(), type: typeName(reader.u16()), class: className(reader.u16()) });
  }
  const answers = readSection(reader, counts[1]);
  const authorities = readSection(reader, counts[2]);
  const additionals: ResourceRecord[] = [];
  let opt: { readonly edns: Edns; readonly extendedRcode: number } | undefined;
  for (let i = 0; i < counts[3]; i++) {
    const record = readRecord(reader);
    if (record.type === 'OPT') {
      if (opt !== undefined) throw new WireError('bad-message', 'the message has more than one OPT record');
      opt = readEdns(record);
    } else {
      if (record.type === 'TSIG' && i !== counts[3] - 1) throw new WireError('bad-message', 'a TSIG must come last');
      additionals.push(record);
    }
  }
  if (reader.remaining > 0) throw new WireError('bad-message', `${reader.remaining} bytes follow the message`);

  const message = {
    id,
    opcode: opcodeName((bits >> 11) & 15),
    rcode: rcodeName((bits & 15) | ((opt?.extendedRcode ?? 0) << 4)),
    flags: readFlags(bits),
    questions,
    answers,
    authorities,
    additionals,
  };
  return opt === undefined ? message : { ...message, edns: opt.edns };
}

export interface EncodeOptions {
  /**
   * The most bytes that the receiver takes; with it a message that is too long is cut: first additional data goes,
   * which no answer needs, then everything but the question and the OPT record, and TC is set (RFC 2181 §9).
   * Without it a message over 65,535 bytes is an error, as it must be for zone transfers.
   */
  readonly maxSize?: number;
}

/** The bytes of a message, names compressed. Throws {@link WireError} for what the wire cannot carry. */
export function encodeMessage(message: Message, options: EncodeOptions = {}): Uint8Array {
  const { maxSize } = options;
  if (maxSize === undefined) return write(message);
  const attempts: readonly (() => Message)[] = [
    () => message,
    () => ({ ...message, additionals: [] }),
    () => ({
      ...message,
      answers: [],
      authorities: [],
      additionals: [],
      flags: { ...message.flags, tc: true },
    }),
  ];
  for (const attempt of attempts) {
    const bytes = writeIfSmall(attempt());
    if (bytes !== null && bytes.length <= maxSize) return bytes;
  }
  throw new WireError('too-large', `not even the question fits into ${maxSize} bytes`);
}

function writeIfSmall(message: Message): Uint8Array | null {
  try {
    return write(message);
  } catch (error) {
    if (error instanceof WireError && error.code === 'too-large') return null;
    throw error;
  }
}

function readFlags(bits: number): Flags {
  return {
    qr: (bits & 0x8000) !== 0,
    aa: (bits & 0x0400) !== 0,
    tc: (bits & 0x0200) !== 0,
    rd: (bits & 0x0100) !== 0,
    ra: (bits & 0x0080) !== 0,
    ad: (bits & 0x0020) !== 0,
    cd: (bits & 0x0010) !== 0,
  };
}

function readSection(reader: Reader, count: number): ResourceRecord[] {
  const records: ResourceRecord[] = [];
  for (let i = 0; i < count; i++) {
    const record = readRecord(reader);
    if (record.type === 'OPT' || record.type === 'TSIG') {
      throw new WireError('bad-message', `a ${record.type} record stands outside the additional section`);
    }
    records.push(record);
  }
  return records;
}

function readRecord(reader: Reader): ResourceRecord {
  const name = reader.name();
  const type = typeName(reader.u16());
  const recordClass = reader.u16();
  const ttl = reader.u32();
  const data = reader.within(reader.u16(), `the data of ${name} ${type}`, () => readRecordData(reader, type));
  // OPT keeps its payload size where others have their class: never a mnemonic.
  return { name, type, class: type === 'OPT' ? recordClass : className(recordClass), ttl, data };
}

function readEdns(record: ResourceRecord): { edns: Edns; extendedRcode: number } {
  if (record.name !== '.') throw new WireError('bad-message', 'the OPT record is not at the root');
  const options: EdnsOption[] = [];
  if (record.data.kind === 'RAW') {
    const reader = new Reader(record.data.bytes);
    while (reader.remaining > 0) options.push({ code: reader.u16(), data: reader.take(reader.u16()) });
  }
  return {
    edns: {
      udpSize: typeof record.class === 'number' ? record.class : 0,
      version: (record.ttl >>> 16) & 0xff,
      do: (record.ttl & 0x8000) !== 0,
      options,
    },
    extendedRcode: record.ttl >>> 24,
  };
}

function write(message: Message): Uint8Array {
  const writer = new Writer();
  const { flags, edns } = message;
  const rcode = rcodeCode(message.rcode);
  if (rcode > 15 && edns === undefined) {
    throw new WireError('out-of-range', `the response code ${message.rcode} needs EDNS`);
  }
  writer.u16(message.id);
  writer.u16(
    (flags.qr ? 0x8000 : 0) |
      (opcodeCode(message.opcode) << 11) |
      (flags.aa ? 0x0400 : 0) |
      (flags.tc ? 0x0200 : 0) |
      (flags.rd ? 0x0100 : 0) |
      (flags.ra ? 0x0080 : 0) |
      (flags.ad ? 0x0020 : 0) |
      (flags.cd ? 0x0010 : 0) |
      (rcode & 15),
  );
  writer.u16(message.questions.length);
  writer.u16(message.answers.length);
  writer.u16(message.authorities.length);
  writer.u16(message.additionals.length + (edns === undefined ? 0 : 1));
  for (const question of message.questions) {
    writer.name(question.name, true);
    writer.u16(typeCode(question.type));
    writer.u16(classCode(question.class));
  }
  for (const record of message.answers) writeRecord(writer, record);
  for (const record of message.authorities) writeRecord(writer, record);
  if (edns !== undefined) writeEdns(writer, edns, rcode >> 4);
  for (const record of message.additionals) writeRecord(writer, record);
  return writer.finish();
}

function writeRecord(writer: Writer, record: ResourceRecord): void {
  // RFC 8945 §4.2: the key's name is not compressed, so that signing and verifying see the same bytes.
  writer.name(record.name, record.type !== 'TSIG');
  writer.u16(typeCode(record.type));
  writer.u16(classCode(record.class));
  writer.u32(record.ttl);
  writer.lengthPrefixed(() => writeRecordData(writer, record.type, record.data));
}

function writeEdns(writer: Writer, edns: Edns, extendedRcode: number): void {
  writer.name('.', false);
  writer.u16(typeCode('OPT'));
  writer.u16(edns.udpSize);
  writer.u8(extendedRcode);
  writer.u8(edns.version);
  writer.u16(edns.do ? 0x8000 : 0);
  writer.lengthPrefixed(() => {
    for (const option of edns.options) {
      writer.u16(option.code);
      writer.lengthPrefixed(() => writer.raw(option.data));
    }
  });
}

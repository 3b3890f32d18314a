/** From bytes to messages, with nothing believed unseen. */
import { className, type Opcode, opcodeName, rcodeName, typeName } from './codes.ts';
import { WireError } from './error.ts';
import type { Edns, EdnsOption, Flags, Message, Question, ResourceRecord } from './message.ts';
import { readRecordData } from './rdata.ts';
import { Reader } from './reader.ts';

/** What must be known to answer a message that cannot be decoded. */
export interface Header {
  readonly id: number;
  readonly opcode: Opcode;
  readonly flags: Flags;
}

/** Reads the header alone; null where there are fewer than its twelve octets. */
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

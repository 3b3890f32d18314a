/** From messages to bytes. */
import { classCode, opcodeCode, rcodeCode, typeCode } from './codes.ts';
import { WireError } from './error.ts';
import type { Edns, Message, ResourceRecord } from './message.ts';
import { writeRecordData } from './rdata.ts';
import { Writer } from './writer.ts';

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

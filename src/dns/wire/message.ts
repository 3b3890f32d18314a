/**
 * DNS messages (RFC 1035 §4, RFC 2136, RFC 6891): bytes to data and back.
 * In an UPDATE the four sections are zone, prerequisites, updates and additional data, in this order.
 */
import type { Opcode, Rcode, RecordClass } from './codes.ts';
import type { RecordData } from './rdata.ts';

export type { Opcode, Rcode, RecordClass } from './codes.ts';
export { decodeMessage, type Header, peekHeader } from './decode.ts';
export { type EncodeOptions, encodeMessage } from './encode.ts';
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

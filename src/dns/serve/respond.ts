/** From the bytes of a request to the bytes of its answer: headers, EDNS, TSIG, size limits, who may transfer. */

import { WireError } from '../wire/error.ts';
import { createMessage, decodeMessage, encodeMessage, type Message, peekHeader, type Rcode } from '../wire/message.ts';
import { nameKey } from '../wire/name.ts';
import { answerTsigError, signTsig, type TsigKey, tsigSize, type Verification, verifyTsig } from '../wire/tsig.ts';
import { type Answer, answer } from './answer.ts';
import { axfrRecords, ixfrRecords, serialOf, transferMessages } from './transfer.ts';
import type { Zone } from './zone.ts';

export type Transport = 'udp' | 'tcp';

export type Response =
  /** Nothing is said: too short for a header, or itself an answer (two servers must not talk to each other for ever). */
  | { readonly kind: 'silence' }
  /** `alike` is what makes answers equal for rate limiting. */
  | { readonly kind: 'message'; readonly bytes: Uint8Array; readonly alike: string }
  | { readonly kind: 'stream'; readonly messages: Iterable<Uint8Array> };

export interface ResponderOptions {
  readonly zones: () => ReadonlyMap<string, Zone>;
  /** Keys that requests may be signed with; each may transfer every zone. */
  readonly keys: readonly TsigKey[];
  /** Whether an address may transfer a zone without a key. */
  readonly mayTransfer: (apex: string, address: string) => boolean;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** What is safe in one unfragmented packet everywhere (DNS flag day 2020). */
export const UDP_SIZE = 1232;
const PLAIN_UDP_SIZE = 512;
const TCP_SIZE = 65_535;

type Signed = Extract<Verification, { readonly status: 'ok' }>;

/** Answers requests. Never throws for whatever bytes arrive. */
export function createResponder(
  options: ResponderOptions,
): (bytes: Uint8Array, address: string, transport: Transport) => Response {
  const seconds = (): number => Math.floor(options.now() / 1000);
  const roomFor = new Map(options.keys.map((key) => [key, tsigSize(key)]));

  const finish = (message: Message, query: Message | null, transport: Transport, signed: Signed | null): Uint8Array => {
    const room = signed === null ? 0 : (roomFor.get(signed.key) ?? 0);
    const bytes = encodeMessage(message, { maxSize: sizeFor(query, transport) - room });
    if (signed === null) return bytes;
    return signTsig(bytes, signed.key, { time: seconds(), requestMac: signed.mac }).bytes;
  };

  return (bytes, address, transport) => {
    const header = peekHeader(bytes);
    if (header === null || header.flags.qr) return { kind: 'silence' };
    const bare = (rcode: Rcode): Response => {
      const { id, opcode, flags } = header;
      const reply = createMessage({ id, opcode, rcode, flags: { qr: true, rd: flags.rd } });
      return { kind: 'message', bytes: encodeMessage(reply), alike: `!${rcode}` };
    };

    let query: Message;
    try {
      query = decodeMessage(bytes);
    } catch (error) {
      if (error instanceof WireError) return bare(header.opcode === 'QUERY' ? 'FORMERR' : 'NOTIMP');
      throw error;
    }

    const verification = verify(bytes, query, options.keys, seconds());
    if (verification.status === 'malformed') return bare('FORMERR');
    if (verification.status !== 'ok' && verification.status !== 'missing') {
      const reply = encodeMessage(replyTo(query, { rcode: 'NOTAUTH' }));
      return { kind: 'message', bytes: answerTsigError(reply, verification, seconds()), alike: '!TSIG' };
    }
    const signed = verification.status === 'ok' ? verification : null;
    const failure = (rcode: Rcode): Response => {
      const reply = replyTo(query, { rcode });
      return { kind: 'message', bytes: finish(reply, query, transport, signed), alike: `!${rcode}` };
    };

    if (query.edns !== undefined && query.edns.version > 0) return failure('BADVERS');
    if (query.opcode !== 'QUERY') return failure('NOTIMP');
    const [question] = query.questions;
    // RFC 9619: exactly one.
    if (question === undefined || query.questions.length > 1) return failure('FORMERR');

    if (question.type === 'AXFR' || (question.type === 'IXFR' && transport === 'tcp')) {
      if (transport === 'udp') return failure('FORMERR');
      const zone = options.zones().get(nameKey(question.name));
      if (zone === undefined) return failure('NOTAUTH');
      if (signed === null && !options.mayTransfer(zone.apex, address)) return failure('REFUSED');
      const serial = question.type === 'IXFR' ? serialOf(query) : null;
      if (question.type === 'IXFR' && serial === null) return failure('FORMERR');
      const signer = signed === null ? null : { key: signed.key, requestMac: signed.mac, now: seconds };
      const records = serial === null ? axfrRecords(zone) : ixfrRecords(zone, serial);
      return { kind: 'stream', messages: transferMessages(query, records, signer) };
    }

    // An IXFR over UDP gets the SOA: "come over TCP" where it is newer than the secondary's (RFC 1995 section 2).
    const asked = question.type === 'IXFR' ? { ...question, type: 'SOA' } : question;
    const found = answer(options.zones(), asked);
    const reply = replyTo(query, found);
    return { kind: 'message', bytes: finish(reply, query, transport, signed), alike: likeness(found, question.name) };
  };
}

/** The answer cut down to its question, with TC: what rate limiting sends to say "come back over TCP". */
export function truncated(query: Uint8Array): Uint8Array | null {
  try {
    return encodeMessage(replyTo(decodeMessage(query), { rcode: 'NOERROR' }, { tc: true }));
  } catch {
    return null;
  }
}

function verify(bytes: Uint8Array, query: Message, keys: readonly TsigKey[], now: number): Verification {
  const last = query.additionals.at(-1);
  return last?.type === 'TSIG' ? verifyTsig(bytes, keys, { now }) : { status: 'missing' };
}

function replyTo(
  query: Message,
  reply: Pick<Answer, 'rcode'> & Partial<Answer>,
  flags: { readonly tc?: boolean } = {},
): Message {
  return createMessage({
    id: query.id,
    opcode: query.opcode,
    rcode: reply.rcode,
    flags: { qr: true, aa: reply.aa === true, rd: query.flags.rd, ...flags },
    questions: query.questions,
    answers: reply.answers ?? [],
    authorities: reply.authorities ?? [],
    // RFC 6891 section 6.1.1: an OPT in the answer exactly where there was one in the request; DO is copied (RFC 3225).
    ...(query.edns === undefined ? {} : { edns: { udpSize: UDP_SIZE, version: 0, do: query.edns.do, options: [] } }),
  });
}

function sizeFor(query: Message | null, transport: Transport): number {
  if (transport === 'tcp') return TCP_SIZE;
  const offered = query?.edns?.udpSize ?? PLAIN_UDP_SIZE;
  return Math.min(Math.max(offered, PLAIN_UDP_SIZE), UDP_SIZE);
}

/** Positive answers are equal by name, negative ones by zone (names are without end), errors by code. */
function likeness(found: Answer, name: string): string {
  if (found.rcode === 'NOERROR' && found.answers.length > 0) return nameKey(name);
  return found.zone === null ? `!${found.rcode}` : `-${found.zone.apex}`;
}

/** One request to one server and its answer, over UDP or TCP. */
import { randomInt } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { decodeMessage, encodeMessage, type Message, type Question } from './message.ts';
import { sameName } from './name.ts';
import { askTcp } from './tcp.ts';
import { TransportError } from './transport-error.ts';
import { signTsig, type TsigKey, type Verification, verifyTsig } from './tsig.ts';
import { askUdp } from './udp.ts';

export { TransportError, type TransportErrorCode } from './transport-error.ts';

export interface ExchangeOptions {
  /** An IPv4 or IPv6 address. */
  readonly address: string;
  /** 53 where left out. */
  readonly port?: number;
  /** `auto` (the default) asks over UDP, and over TCP when the answer is cut or the request too long. */
  readonly transport?: 'auto' | 'udp' | 'tcp';
  /** Milliseconds for the whole exchange; 5,000 where left out. */
  readonly timeoutMs?: number;
  /** How often a request is sent over UDP within that time; 2 where left out. */
  readonly attempts?: number;
  readonly signal?: AbortSignal;
  /** Signs the request and demands that the answer be signed. `now` gives epoch seconds. */
  readonly tsig?: { readonly key: TsigKey; readonly now: () => number; readonly fudge?: number };
}

export interface Exchange {
  readonly message: Message;
  readonly bytes: Uint8Array;
  readonly transport: 'udp' | 'tcp';
  /** From the first packet to the answer. */
  readonly milliseconds: number;
  /** How the answer was signed, where a signature was demanded. */
  readonly verification?: Extract<Verification, { readonly status: 'ok' }>;
}

/** A request as it is sent, and the check that an answer must pass. */
export interface Prepared {
  readonly bytes: Uint8Array;
  readonly mac: Uint8Array | null;
  /** What to call the exchange in errors: `the query for example.com TXT to 192.0.2.1 port 53`. */
  readonly what: string;
  /** The accepted answer, or the error that it means. */
  readonly judge: (bytes: Uint8Array, transport: 'udp' | 'tcp') => Judged | TransportError;
}

export type Judged = Pick<Exchange, 'message' | 'bytes' | 'verification'>;

/**
 * Sends a request and answers what the server says, whatever its response code.
 * A {@link Message} gets a random id; bytes go as they are. Over UDP each exchange has a socket, and so a port, of its own,
 * and packets that are not the answer are ignored until time is up (RFC 5452 §9).
 * Throws {@link TransportError} alone for what servers and networks do; WireError for a request that cannot be encoded.
 */
export async function exchange(request: Message | Uint8Array, options: ExchangeOptions): Promise<Exchange> {
  const prepared = prepare(request, options);
  const { transport = 'auto', timeoutMs = 5000 } = options;
  const start = performance.now();
  const deadline = start + timeoutMs;
  const done = (judged: Judged, by: 'udp' | 'tcp'): Exchange => ({
    ...judged,
    transport: by,
    milliseconds: performance.now() - start,
  });
  if (options.signal?.aborted) {
    throw new TransportError('aborted', `${prepared.what} was called off before it was sent`, { sent: false });
  }
  // 1,232 bytes pass every path unfragmented (RFC 9715).
  if (transport === 'udp' || (transport === 'auto' && prepared.bytes.length <= 1232)) {
    const judged = await askUdp(prepared, options, deadline);
    if (transport === 'udp' || !judged.message.flags.tc) return done(judged, 'udp');
  }
  return done(await askTcp(prepared, options, deadline), 'tcp');
}

/** Signs and encodes; also used for zone transfers, which read more than one answer, and where `id` must differ from others' under way. */
export function prepare(
  request: Message | Uint8Array,
  options: ExchangeOptions,
  id: number = randomInt(0x10000),
): Prepared {
  const unsigned = request instanceof Uint8Array ? request : encodeMessage({ ...request, id });
  const sent = decodeMessage(unsigned);
  const { tsig } = options;
  const signed = tsig === undefined ? null : signTsig(unsigned, tsig.key, signOptions(tsig));
  const what = describe(sent, options);
  return {
    bytes: signed?.bytes ?? unsigned,
    mac: signed?.mac ?? null,
    what,
    judge: (bytes, transport) => {
      const message = tryDecode(bytes);
      if (message instanceof Error) {
        return new TransportError('malformed', `${what} brought no DNS message: ${message.message}`, {
          sent: true,
          transport,
          cause: message,
        });
      }
      const mismatch = whyNoAnswer(sent, message);
      if (mismatch !== null) {
        return new TransportError('mismatch', `${what} brought another message: ${mismatch}`, {
          sent: true,
          transport,
        });
      }
      if (tsig === undefined || signed === null) return { message, bytes };
      const verification = verifyTsig(bytes, tsig.key, { now: tsig.now(), requestMac: signed.mac });
      if (verification.status === 'ok') return { message, bytes, verification };
      return new TransportError(
        'tsig',
        `${what} brought an answer (${message.rcode}) whose TSIG does not hold: ${verification.status}`,
        { sent: true, transport, verification, answer: message },
      );
    },
  };
}

function signOptions(tsig: NonNullable<ExchangeOptions['tsig']>): { time: number; fudge?: number } {
  return tsig.fudge === undefined ? { time: tsig.now() } : { time: tsig.now(), fudge: tsig.fudge };
}

function tryDecode(bytes: Uint8Array): Message | Error {
  try {
    return decodeMessage(bytes);
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}

/** Why a message is not the answer to `request`, or null where it is. */
function whyNoAnswer(request: Message, answer: Message): string | null {
  if (!answer.flags.qr) return 'it is itself a request';
  if (answer.id !== request.id) return `its id is ${answer.id}, not ${request.id}`;
  if (answer.opcode !== request.opcode) return `its opcode is ${answer.opcode}, not ${request.opcode}`;
  // An answer to an UPDATE may leave its sections out (RFC 2136 §3.8), as may an error to anything.
  const mayBeBare = request.opcode === 'UPDATE' || answer.rcode !== 'NOERROR';
  if (answer.questions.length === 0 && mayBeBare) return null;
  const same =
    answer.questions.length === request.questions.length &&
    answer.questions.every((question, i) => sameQuestion(question, request.questions[i]));
  return same ? null : 'it repeats another question';
}

function sameQuestion(a: Question, b: Question | undefined): boolean {
  return b !== undefined && a.type === b.type && a.class === b.class && sameName(a.name, b.name);
}

function describe(request: Message, options: ExchangeOptions): string {
  const { address, port = 53 } = options;
  const question = request.questions[0];
  const subject = question === undefined ? 'nothing' : `${question.name} ${question.type}`;
  const kind = request.opcode === 'QUERY' ? 'query' : String(request.opcode);
  return `the ${kind} for ${subject} to ${isIPv6(address) ? `[${address}]` : address} port ${port}`;
}

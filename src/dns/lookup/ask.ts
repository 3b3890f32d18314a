/** One question to one server, with the failures of networks and servers as ordinary results. */
import { createMessage, type Message } from '../wire/message.ts';
import { exchange, TransportError, type TransportErrorCode } from '../wire/transport.ts';
import { type Endpoint, endpointText } from './endpoint.ts';

export type Asked =
  | {
      readonly kind: 'answer';
      readonly message: Message;
      readonly transport: 'udp' | 'tcp';
      readonly milliseconds: number;
    }
  | {
      readonly kind: 'failure';
      readonly code: TransportErrorCode;
      readonly message: string;
      readonly transport: 'udp' | 'tcp';
      readonly milliseconds: number;
    };

export interface AskOptions {
  /** Ask for recursion: for resolvers, never for authoritative servers. */
  readonly recursive?: boolean;
  /** Ask a validating resolver not to validate (CD, RFC 4035 section 3.2.2). */
  readonly unchecked?: boolean;
  /** Milliseconds, all attempts together. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** What passes every path unfragmented (RFC 9715). */
const EDNS = { udpSize: 1232, version: 0, do: false, options: [] };
const ATTEMPTS = 3;

/**
 * Asks over UDP with EDNS, over TCP when the answer is cut, and without EDNS where the server does not know it.
 * @throws the reason of `signal` alone
 */
export async function ask(server: Endpoint, name: string, type: string, options: AskOptions): Promise<Asked> {
  const start = performance.now();
  const query = createMessage({
    flags: { rd: options.recursive === true, cd: options.unchecked === true },
    questions: [{ name, type, class: 'IN' }],
    edns: EDNS,
  });
  const { edns: _, ...plain } = query;
  const first = await attempt(query, server, options, options.timeoutMs);
  const knowsNoEdns =
    first.kind === 'answer' &&
    first.message.edns === undefined &&
    (first.message.rcode === 'FORMERR' || first.message.rcode === 'NOTIMP');
  if (!knowsNoEdns) return first;
  const left = Math.max(100, options.timeoutMs - (performance.now() - start));
  return attempt(plain, server, options, left);
}

async function attempt(query: Message, server: Endpoint, options: AskOptions, timeoutMs: number): Promise<Asked> {
  const start = performance.now();
  const { signal } = options;
  try {
    const { message, transport, milliseconds } = await exchange(query, {
      ...server,
      timeoutMs,
      attempts: ATTEMPTS,
      ...(signal === undefined ? {} : { signal }),
    });
    return { kind: 'answer', message, transport, milliseconds };
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    const transport = /over TCP/.test(error.message) ? 'tcp' : 'udp';
    const milliseconds = performance.now() - start;
    return { kind: 'failure', code: error.code, message: error.message, transport, milliseconds };
  }
}

/** What an unusable response code of an authoritative server means, for people. */
export function rcodeDetail(server: Endpoint, message: Message): string {
  const where = endpointText(server);
  switch (message.rcode) {
    case 'REFUSED':
    case 'NOTAUTH':
      return `${where} answers ${message.rcode}: it does not serve this zone; check the delegation (NS records)`;
    case 'SERVFAIL':
      return `${where} answers SERVFAIL: it has trouble with the zone; look at that server's log`;
    default:
      return `${where} answers ${message.rcode}`;
  }
}

/**
 * Reading from the server that is written to: over TCP, which no cache in between and no spoofer answers, and signed with the key of the
 * updates where the server takes that, so that it answers from the view that is written to.
 */
import { createMessage, type Message } from '../wire/message.ts';
import { isSubdomain, parent, sameName } from '../wire/name.ts';
import { type Exchange, TransportError } from '../wire/transport.ts';
import type { PublishResult } from './publisher.ts';
import { readSeen, type Seen } from './rfc2136-change.ts';

export interface Asked {
  readonly address: string;
  readonly port: number;
  /** How the server is called in messages. */
  readonly server: string;
  readonly signal?: AbortSignal;
  /** Sends a query and answers what comes back. @throws TransportError */
  readonly query: (message: Message, signal: AbortSignal | undefined) => Promise<Exchange>;
}

type Trouble = Extract<PublishResult, { readonly kind: 'refused' | 'failed' }>;

/** What the server shows at a name, with authority. */
export async function readRecords(
  asked: Asked,
  name: string,
): Promise<{ readonly kind: 'seen'; readonly seen: Seen } | Trouble> {
  const answer = await query(asked, name, 'TXT');
  if (answer.kind !== 'answer') return answer;
  return { kind: 'seen', seen: readSeen(name, answer.message.answers) };
}

/**
 * The zone of the server that a name lies in: the owner of the SOA that comes with its answers, above the name where a
 * CNAME leads away from it. The server itself is asked, since a resolver would remember that the name does not exist.
 */
export async function zoneAt(
  asked: Asked,
  name: string,
): Promise<{ readonly kind: 'zone'; readonly zone: string } | Trouble> {
  for (let at: string | null = name; at !== null && at !== '.'; at = parent(at)) {
    const answer = await query(asked, at, 'SOA');
    if (answer.kind !== 'answer') return answer;
    const owner = at;
    const soa = [...answer.message.answers, ...answer.message.authorities].find(
      (record) => record.type === 'SOA' && isSubdomain(owner, record.name),
    );
    if (soa !== undefined) return { kind: 'zone', zone: soa.name };
  }
  const message = `Publishing ${name}: ${asked.server} shows no zone that it lies in. Set the publisher's zone.`;
  return { kind: 'refused', message };
}

type Answered = { readonly kind: 'answer'; readonly message: Message };

async function query(asked: Asked, name: string, type: string): Promise<Answered | Trouble> {
  const doing = `Reading ${name} ${type} at ${asked.server}`;
  let answered: Exchange;
  try {
    const request = createMessage({ questions: [{ name, type, class: 'IN' }] });
    answered = await asked.query(request, asked.signal);
  } catch (error) {
    if (error instanceof TransportError) return { kind: 'failed', message: `${doing}: ${error.message}.` };
    throw error;
  }
  const { message } = answered;
  const { rcode, flags } = message;
  if (rcode === 'REFUSED' || rcode === 'NOTAUTH') {
    const advice = 'Name the primary of the zone as server, and let it answer queries from here';
    return { kind: 'refused', message: `${doing}: it answers ${rcode}. ${advice}.` };
  }
  if (rcode !== 'NOERROR' && rcode !== 'NXDOMAIN') {
    return { kind: 'failed', message: `${doing}: it answers ${rcode}. Look at its log.` };
  }
  if (flags.aa) return { kind: 'answer', message };
  const cut = message.authorities.find((record) => record.type === 'NS' && !sameName(record.name, '.'));
  const why = cut === undefined ? 'does not answer with authority' : `has given ${cut.name} away to other servers`;
  return { kind: 'refused', message: `${doing}: it ${why}. Name the primary of the name's own zone as server.` };
}

/** The decisions of the RFC 2136 publisher, without I/O: what is seen at a name, and the update that it calls for. */
import { createMessage, type Message, type ResourceRecord, txtData, txtValue } from '../wire/message.ts';
import { sameName } from '../wire/name.ts';
import type { RecordChange } from './publisher.ts';

/** What an authoritative server shows at a name. A wildcard of the zone may show through where nothing stands. */
export interface Seen {
  readonly txt: readonly ResourceRecord[];
  /** The target of a CNAME. */
  readonly cname: string | null;
}

export type Decision =
  | { readonly kind: 'done' }
  /** `expectsNothing`: foreign data is seen, and the server is asked to act only if it does not really stand there. */
  | { readonly kind: 'update'; readonly message: Message; readonly expectsNothing: boolean };

/** Reads the answer to a TXT query. */
export function readSeen(name: string, answers: readonly ResourceRecord[]): Seen {
  const here = answers.filter((record) => sameName(record.name, name));
  const cname = here.map(({ data }) => (data.kind === 'CNAME' ? data.target : null)).find((target) => target !== null);
  return { txt: here.filter(({ data }) => data.kind === 'TXT'), cname: cname ?? null };
}

/** The joined values, and a CNAME in words, for people. */
export function seenValues(seen: Seen): string[] {
  const values = seen.txt.map(joined);
  return seen.cname === null ? values : [...values, `CNAME ${seen.cname}`];
}

/** Whether two looks show the same: values, TTLs and CNAME, in whatever order. */
export function sameSeen(a: Seen, b: Seen): boolean {
  const key = ({ txt, cname }: Seen): string =>
    JSON.stringify([cname, txt.map((record) => `${record.ttl} ${joined(record)}`).sort()]);
  return key(a) === key(b);
}

/** Whether exactly the desired record is seen, or nothing where nothing is desired. */
export function isDesired(seen: Seen, { desired }: RecordChange): boolean {
  if (seen.cname !== null) return false;
  if (desired === null) return seen.txt.length === 0;
  const [only, ...others] = seen.txt;
  return only !== undefined && others.length === 0 && joined(only) === desired.value && only.ttl === desired.ttl;
}

/**
 * What to send. The prerequisites make each update a compare-and-set (RFC 2136 §2.4): over nothing, "no TXT and no CNAME
 * here"; over our own, "exactly these records". Over foreign data the first form is sent as well, for the data may be
 * a wildcard's: then the name is free, and prerequisites, which know no wildcards, tell the two cases apart.
 */
export function decide(zone: string, change: RecordChange, seen: Seen): Decision {
  if (isDesired(seen, change)) return { kind: 'done' };
  const { name, desired } = change;
  const mayGo = new Set(desired === null ? change.ours : [...change.ours, desired.value]);
  const isOurs = seen.cname === null && seen.txt.every((record) => mayGo.has(joined(record)));
  const additions: ResourceRecord[] =
    desired === null ? [] : [{ name, type: 'TXT', class: 'IN', ttl: desired.ttl, data: txtData(desired.value) }];
  const replaces = isOurs && seen.txt.length > 0;
  const message = createMessage({
    opcode: 'UPDATE',
    questions: [{ name: zone, type: 'SOA', class: 'IN' }],
    answers: replaces
      ? // Value-dependent prerequisites carry TTL 0 and the data as it stands, string by string (RFC 2136 §2.4.2).
        seen.txt.map(({ data }) => ({ name, type: 'TXT', class: 'IN', ttl: 0, data }))
      : [empty(name, 'TXT', 'NONE'), empty(name, 'CNAME', 'NONE')],
    authorities: [...(replaces ? [empty(name, 'TXT', 'ANY')] : []), ...additions],
  });
  return { kind: 'update', message, expectsNothing: !isOurs };
}

function empty(name: string, type: string, recordClass: 'NONE' | 'ANY'): ResourceRecord {
  return { name, type, class: recordClass, ttl: 0, data: { kind: 'EMPTY' } };
}

function joined({ data }: ResourceRecord): string {
  return data.kind === 'TXT' ? txtValue(data) : '';
}

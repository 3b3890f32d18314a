/** What an authoritative server answers (RFC 1034 section 4.3.2, RFC 2308): from zones and a question to sections. Pure. */
import type { Question, Rcode, ResourceRecord } from '../wire/message.ts';
import { nameKey } from '../wire/name.ts';
import { closest } from './names.ts';
import { type RecordSets, recordsAt, type Zone } from './zone.ts';

export interface Answer {
  readonly rcode: Rcode;
  readonly aa: boolean;
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
  /** The zone that the question's name lies in; null outside all zones. */
  readonly zone: Zone | null;
}

/** CNAMEs followed within our own zones before the rest is left to the resolver. */
const LONGEST_CHAIN = 8;

const refused: Answer = { rcode: 'REFUSED', aa: false, answers: [], authorities: [], zone: null };

/**
 * Answers a question of opcode QUERY that is no zone transfer.
 * Outside our zones it is REFUSED. A CNAME is answered for any type and followed while it stays in our zones.
 */
export function answer(zones: ReadonlyMap<string, Zone>, question: Question): Answer {
  if (question.class !== 'IN' && question.class !== 'ANY') return refused;
  const asked = nameKey(question.name);
  const first = closest(zones, asked);
  if (first === undefined) return refused;

  const answers: ResourceRecord[] = [];
  const seen = new Set<string>();
  let name = asked;
  let zone = first;
  for (;;) {
    const sets = recordsAt(zone, name);
    // RFC 6604 section 2: the code tells about the last name of the chain.
    if (sets === undefined) return { ...negative('NXDOMAIN', zone, answers), zone: first };
    const found = sets === null ? [] : matching(sets, question.type);
    if (found.length > 0) {
      answers.push(...(name === asked ? echo(found, question.name) : found));
      return { rcode: 'NOERROR', aa: true, answers, authorities: [], zone: first };
    }
    const alias = sets?.get('CNAME');
    if (alias === undefined) return { ...negative('NOERROR', zone, answers), zone: first };
    answers.push(...(name === asked ? echo(alias, question.name) : alias));
    seen.add(name);
    const target = targetOf(alias);
    const next = closest(zones, target);
    // What lies elsewhere, or leads in a circle, is for the resolver to find out.
    if (next === undefined || seen.has(target) || seen.size >= LONGEST_CHAIN) {
      return { rcode: 'NOERROR', aa: true, answers, authorities: [], zone: first };
    }
    name = target;
    zone = next;
  }
}

/** NODATA or NXDOMAIN, with the SOA that says how long it may be kept (RFC 2308 section 3). */
function negative(rcode: Rcode, zone: Zone, answers: readonly ResourceRecord[]): Omit<Answer, 'zone'> {
  return { rcode, aa: true, answers, authorities: [zone.negativeSoa] };
}

function matching(sets: RecordSets, type: string): readonly ResourceRecord[] {
  if (type !== 'ANY') return sets.get(type) ?? [];
  // RFC 8482 section 4.1: one record set of those that are there is enough.
  const [some = []] = sets.values();
  return some;
}

/** Owner names spelt as they were asked for: resolvers that vary the case check it, and the name compresses. */
function echo(records: readonly ResourceRecord[], name: string): readonly ResourceRecord[] {
  return records[0]?.name === name ? records : records.map((record) => ({ ...record, name }));
}

function targetOf(alias: readonly ResourceRecord[]): string {
  const data = alias[0]?.data;
  return data?.kind === 'CNAME' ? nameKey(data.target) : '.';
}

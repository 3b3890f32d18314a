/** Reading an answer: the chain of CNAMEs in it, what stands at its end, and what its SOA says. */
import type { Message, ResourceRecord } from '../wire/message.ts';
import { isSubdomain, nameKey } from '../wire/name.ts';

export interface Reading {
  /** Targets of the CNAMEs that were followed, in order; the last is the name that the records are of. */
  readonly cnames: readonly string[];
  /** Canonical: where the chain in this answer ends. */
  readonly end: string;
  /** The records of the wanted type there. */
  readonly records: readonly ResourceRecord[];
  /** The chain comes back to a name that it has passed. */
  readonly loop: boolean;
  /** Of the authority section. */
  readonly soa: ResourceRecord | null;
}

/** Chains longer than this are treated as loops; resolvers give up at about this length too. */
export const LONGEST_CHAIN = 12;

export function readAnswer(message: Message, name: string, type: string): Reading {
  const byOwner = new Map<string, ResourceRecord[]>();
  for (const record of message.answers) {
    const owner = nameKey(record.name);
    const list = byOwner.get(owner);
    if (list === undefined) byOwner.set(owner, [record]);
    else list.push(record);
  }
  const soa = message.authorities.find((record) => record.data.kind === 'SOA') ?? null;
  const cnames: string[] = [];
  const seen = new Set<string>();
  for (let end = nameKey(name); ; ) {
    seen.add(end);
    const at = byOwner.get(end) ?? [];
    const records = at.filter((record) => record.type === type);
    const alias = at.find((record) => record.data.kind === 'CNAME')?.data;
    if (records.length > 0 || alias?.kind !== 'CNAME') return { cnames, end, records, loop: false, soa };
    cnames.push(alias.target);
    end = nameKey(alias.target);
    if (seen.has(end) || cnames.length > LONGEST_CHAIN) return { cnames, end, records: [], loop: true, soa };
  }
}

/** Seconds for which the absence of a record may be remembered (RFC 2308 section 5); null without an SOA. */
export function negativeTtl(soa: ResourceRecord | null): number | null {
  return soa?.data.kind === 'SOA' ? Math.min(soa.ttl, soa.data.minimum) : null;
}

export interface Referral {
  /** Apex of the zone below. */
  readonly apex: string;
  readonly hosts: readonly string[];
  /** Addresses that came along, by host name. */
  readonly glue: ReadonlyMap<string, readonly string[]>;
  /** Seconds. */
  readonly ttl: number;
}

/** What a server of the zone `apex` says about a zone cut between its apex and `name` (RFC 1034 section 4.3.2), or null. */
export function readReferral(message: Message, apex: string, name: string): Referral | null {
  if (message.flags.aa || message.rcode !== 'NOERROR' || message.answers.length > 0) return null;
  const cut = message.authorities.find(
    ({ type, name: owner }) =>
      type === 'NS' && nameKey(owner) !== nameKey(apex) && isSubdomain(owner, apex) && isSubdomain(name, owner),
  );
  if (cut === undefined) return null;
  const child = nameKey(cut.name);
  const hosts = message.authorities.flatMap(({ name: owner, data }) =>
    data.kind === 'NS' && nameKey(owner) === child ? [nameKey(data.target)] : [],
  );
  const glue = new Map<string, string[]>();
  for (const { name: owner, data } of message.additionals) {
    const host = nameKey(owner);
    // A server may speak for addresses in its own zone only.
    if ((data.kind !== 'A' && data.kind !== 'AAAA') || !hosts.includes(host) || !isSubdomain(host, apex)) continue;
    glue.set(host, [...(glue.get(host) ?? []), data.address]);
  }
  return { apex: child, hosts, glue, ttl: cut.ttl };
}

/** Everything that can be said of a domain's DKIM records from outside: for `keyturn check`, on any domain, with no set-up. */
import {
  describeKeyRecordDefect,
  describeKeyRecordNote,
  type KeyRecordResult,
  parseKeyRecord,
} from '../../dkim/key-record.ts';
import { nameKey } from '../wire/name.ts';
import { endpointText } from './endpoint.ts';
import type { ServerAnswer } from './proof.ts';
import type { Look, Prover } from './prove.ts';

export interface Inspection {
  readonly domain: string;
  /** Apex of the zone that the domain lies in. */
  readonly apex: string | null;
  /** Authoritative servers, each address by itself. */
  readonly servers: readonly { readonly server: string; readonly address: string }[];
  readonly selectors: readonly SelectorReport[];
  /** What is the matter with the domain as a whole. */
  readonly problems: readonly string[];
}

/**
 * `usable`: a receiver can verify with it. `weak`: it can, and the record or the key is not as it should be.
 * `revoked` and `missing` are as they say; `invalid`: there is a record that receivers cannot use.
 * `inconsistent`: the servers do not agree. `unreachable`: nobody said.
 */
export type SelectorStatus = 'usable' | 'weak' | 'revoked' | 'missing' | 'invalid' | 'inconsistent' | 'unreachable';

export interface SelectorReport {
  readonly selector: string;
  readonly name: string;
  readonly status: SelectorStatus;
  /** The record, where the servers that answered agree on one. */
  readonly value: string | null;
  readonly parsed: KeyRecordResult | null;
  readonly algorithm: 'rsa' | 'ed25519' | null;
  readonly bits: number | null;
  /** Seconds. */
  readonly ttl: number | null;
  readonly negativeTtl: number;
  readonly cnames: readonly string[];
  /** The zone in which the record's data lives. */
  readonly apex: string | null;
  readonly answers: readonly InspectedAnswer[];
  /** Sentences for people: what is wrong, what is worth knowing. */
  readonly problems: readonly string[];
  readonly notes: readonly string[];
}

/** A server's answer; there is no verdict, for nothing in particular was expected. */
export type InspectedAnswer = Omit<ServerAnswer, 'verdict'> & { readonly reached: boolean };

/** Inspects a domain's selectors. Never throws for what servers do; `signal` ends it with its reason. */
export async function inspect(
  prover: Prover,
  domain: string,
  selectors: readonly string[],
  options: { readonly signal?: AbortSignal } = {},
): Promise<Inspection> {
  const key = nameKey(domain);
  const [zone, apex, ...looks] = await Promise.all([
    prover.serversOf(`_domainkey.${key}`, options.signal),
    prover.findApex(`_domainkey.${key}`, options.signal),
    ...selectors.map((selector) => prover.look(`${selector}._domainkey.${key}`, options)),
  ]);
  const lost = (zone?.lost ?? []).map(({ host, why }) => `The name server ${host} cannot be asked: ${why}`);
  return {
    domain: key,
    apex: apex.kind === 'found' ? apex.apex : null,
    servers: (zone?.servers ?? []).map((server) => {
      const address = endpointText(server);
      return { server: server.host ?? address, address };
    }),
    selectors: looks.map((look, index) => reportSelector(selectors[index] ?? '', look)),
    problems: [...(apex.kind === 'failed' ? [apex.message] : []), ...lost],
  };
}

/** What a look at one selector amounts to. Pure. */
export function reportSelector(selector: string, look: Look): SelectorReport {
  const reached = look.answers.filter(({ verdict }) => verdict !== 'unreachable' && verdict !== 'bogus');
  const distinct = new Set(reached.map(({ values }) => JSON.stringify([...values].sort())));
  const [first] = reached;
  const agreed = distinct.size === 1 ? (first?.values ?? []) : [];
  const value = agreed.length === 1 ? (agreed[0] ?? null) : null;
  const parsed = value === null ? null : parseKeyRecord(value);
  const silent = look.answers.filter((answer) => !reached.includes(answer));
  const problems = [
    ...(look.detail === undefined ? [] : [look.detail]),
    ...silent.map(({ server, detail }) => `${server} did not say: ${detail ?? 'no answer'}`),
    ...(distinct.size > 1
      ? ['The servers do not agree: wait for the zone to reach them all, or mend its transfer']
      : []),
    ...(agreed.length > 1
      ? [`There are ${agreed.length} TXT records; a selector has exactly one: remove the others`]
      : []),
    ...(parsed?.kind === 'invalid' ? parsed.defects.map(describeKeyRecordDefect) : []),
  ];
  const ttls = reached.flatMap(({ ttl }) => (ttl === null ? [] : [ttl]));
  return {
    selector,
    name: look.name,
    status: statusOf(reached.length, distinct.size, agreed.length, parsed),
    value,
    parsed,
    algorithm: parsed?.kind === 'key' ? parsed.algorithm : null,
    bits: parsed?.kind === 'key' ? parsed.bits : null,
    ttl: ttls.length === 0 ? null : Math.max(...ttls),
    negativeTtl: look.negativeTtl,
    cnames: first?.cnames ?? [],
    apex: look.apex,
    answers: look.answers.map(({ verdict, ...answer }) => ({
      ...answer,
      reached: verdict !== 'unreachable' && verdict !== 'bogus',
    })),
    problems,
    notes: parsed === null || parsed.kind === 'invalid' ? [] : parsed.notes.map(describeKeyRecordNote),
  };
}

function statusOf(reached: number, distinct: number, values: number, parsed: KeyRecordResult | null): SelectorStatus {
  if (reached === 0) return 'unreachable';
  if (distinct > 1) return 'inconsistent';
  if (values === 0) return 'missing';
  if (parsed === null) return 'invalid';
  if (parsed.kind !== 'key') return parsed.kind;
  return parsed.notes.some(({ kind }) => kind === 'weak-rsa' || kind === 'testing') ? 'weak' : 'usable';
}

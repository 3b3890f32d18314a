/**
 * Finds the selectors that a domain has, by asking for the usual ones: one question each to one authoritative server, a few at a time.
 * What answers is then looked at whole. A wildcard that answers for every name is told from records that are there.
 */
import { randomBytes } from 'node:crypto';
import { txtValues } from '../wire/message.ts';
import { nameKey } from '../wire/name.ts';
import { ask } from './ask.ts';
import { reportSelector, type SelectorReport } from './inspect.ts';
import { readAnswer, readReferral } from './interpret.ts';
import type { ZoneServers } from './name-servers.ts';
import type { Prover } from './prove.ts';
import { knownSelectors, serviceOf } from './selector-table.ts';

export interface FoundSelector extends SelectorReport {
  /** See {@link serviceOf}. */
  readonly service: string | null;
}

export interface Discovery {
  readonly domain: string;
  /** How many selectors were asked for. */
  readonly asked: number;
  /** Those that have a record, withdrawn ones included, in the order asked for. */
  readonly found: readonly FoundSelector[];
  /** The zone answers for every name below `_domainkey`: what is found is only what answers otherwise. */
  readonly wildcard: boolean;
  /** Why nothing can be said; null where DNS answered. */
  readonly trouble: string | null;
}

export interface DiscoveryOptions {
  /** Further selectors beside the usual ones. */
  readonly also?: readonly string[];
  /** Only `also`, not the usual ones. */
  readonly onlyThese?: boolean;
  /** Questions at once; 4 unless told. */
  readonly concurrency?: number;
  /** Milliseconds for one question; 3000 unless told. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

type Peek =
  | { readonly kind: 'nothing' }
  /** Its values, or the CNAME that leads on. */
  | { readonly kind: 'answer'; readonly print: string }
  /** A server of another zone knows. */
  | { readonly kind: 'elsewhere' }
  | { readonly kind: 'silent'; readonly why: string };

/** Never throws for what servers do; `signal` ends it with its reason. */
export async function discoverSelectors(
  prover: Prover,
  domain: string,
  { also = [], onlyThese = false, concurrency = 4, timeoutMs = 3000, signal }: DiscoveryOptions = {},
): Promise<Discovery> {
  const base = `_domainkey.${nameKey(domain)}`;
  const selectors = [
    ...new Set([...also, ...(onlyThese ? [] : knownSelectors.keys())].map((each) => each.toLowerCase())),
  ];
  const zone = await prover.serversOf(base, signal);
  const nobody = () => `keyturn-${randomBytes(6).toString('hex')}.${base}`;
  const byProver = (name: string) => peekBy(prover, name, signal);
  const byServer = (name: string) => (zone === null ? byProver(name) : peekAt(zone, name, timeoutMs, signal));
  // `_domainkey` may be a zone of its own: then its servers are asked, by way of the prover, which finds them.
  const peek = (await byServer(nobody())).kind === 'elsewhere' ? byProver : byServer;
  // Names that nobody has made: what answers for them answers for all.
  const everywhere = new Set<string>();
  for (let n = 0; n < 2; n++) {
    const there = await peek(nobody());
    if (there.kind === 'silent') {
      const trouble = `DNS did not answer for ${base}: ${there.why}`;
      return { domain: nameKey(domain), asked: 0, found: [], wildcard: false, trouble };
    }
    if (there.kind === 'answer') everywhere.add(there.print);
  }
  const hits = new Set<string>();
  const queue = [...selectors];
  const worker = async (): Promise<void> => {
    for (let selector = queue.shift(); selector !== undefined; selector = queue.shift()) {
      signal?.throwIfAborted();
      const there = await peek(`${selector}.${base}`);
      if (there.kind === 'nothing' || (there.kind === 'answer' && everywhere.has(there.print))) continue;
      hits.add(selector);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const found: FoundSelector[] = [];
  for (const selector of selectors.filter((each) => hits.has(each))) {
    const look = await prover.look(`${selector}.${base}`, signal === undefined ? {} : { signal });
    const report = reportSelector(selector, look);
    if (report.status === 'missing' || report.status === 'unreachable' || isNoKey(report)) continue;
    found.push({ ...report, service: serviceOf(selector, report.cnames) });
  }
  return { domain: nameKey(domain), asked: selectors.length, found, wildcard: everywhere.size > 0, trouble: null };
}

/** Text that has nothing to do with DKIM, such as an SPF record that a wildcard puts everywhere. */
function isNoKey({ value }: SelectorReport): boolean {
  return value !== null && !/(?:^|[;\s])p\s*=/i.test(value);
}

/** The first server that answers; a zone has several. */
async function peekAt(
  zone: ZoneServers,
  name: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Peek> {
  let why = 'no server';
  for (const server of zone.servers.slice(0, 3)) {
    const asked = await ask(server, name, 'TXT', { timeoutMs, signal });
    if (asked.kind === 'failure') {
      why = asked.message;
      continue;
    }
    const { message } = asked;
    if (message.rcode !== 'NOERROR' && message.rcode !== 'NXDOMAIN') {
      why = `it answers ${message.rcode}`;
      continue;
    }
    if (readReferral(message, zone.apex, name) !== null) return { kind: 'elsewhere' };
    const { records, cnames, end } = readAnswer(message, name, 'TXT');
    if (records.length > 0) return { kind: 'answer', print: txtValues(records).join('\n') };
    return cnames.length > 0 ? { kind: 'answer', print: `→ ${nameKey(end)}` } : { kind: 'nothing' };
  }
  return { kind: 'silent', why };
}

/** Where the zone's servers cannot be told (only resolvers may be asked). */
async function peekBy(prover: Prover, name: string, signal: AbortSignal | undefined): Promise<Peek> {
  const { answers, detail } = await prover.look(name, signal === undefined ? {} : { signal });
  const reached = answers.filter(({ verdict }) => verdict !== 'unreachable' && verdict !== 'bogus');
  const [first] = reached;
  if (first === undefined) return { kind: 'silent', why: detail ?? answers[0]?.detail ?? 'nobody could be asked' };
  const { values, cnames } = first;
  if (values.length > 0) return { kind: 'answer', print: values.join('\n') };
  return cnames.length > 0 ? { kind: 'answer', print: `→ ${cnames.at(-1)}` } : { kind: 'nothing' };
}

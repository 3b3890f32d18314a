/**
 * A caching resolver in the program itself: it asks the servers of given zones and remembers answers and their absence as
 * receivers' resolvers do (RFC 1034 section 5.3.3, RFC 2308). The demo and the tests put it between a verifier and the
 * name servers, so that a key that is published too late or withdrawn too early fails there as it would in the world.
 */
import { type Clock, systemClock } from '../../lifecycle/clock.ts';
import type { Message, ResourceRecord, TxtData } from '../wire/message.ts';
import { isSubdomain, labelCount, nameKey } from '../wire/name.ts';
import { ask } from './ask.ts';
import { type Endpoint, parseEndpoint } from './endpoint.ts';
import { LONGEST_CHAIN, negativeTtl, readAnswer } from './interpret.ts';
import { createTtlCache } from './ttl-cache.ts';

export interface CachingResolverOptions {
  /** Zones and their servers, asked in order until one answers. The longest match wins; `.` takes everything else. */
  readonly upstream: readonly { readonly apex: string; readonly servers: readonly string[] }[];
  /** Whether the upstream servers are recursive resolvers. Default false: they are authoritative. */
  readonly recursive?: boolean;
  readonly clock?: Clock;
  /** Milliseconds per server. Default 2,000. */
  readonly timeoutMs?: number;
  /** Record sets remembered. Default 100,000. */
  readonly size?: number;
}

export type Cached =
  | { readonly kind: 'found'; readonly records: readonly ResourceRecord[]; readonly fromCache: boolean }
  /** NXDOMAIN, or NODATA where the name `exists`. */
  | { readonly kind: 'none'; readonly exists: boolean; readonly fromCache: boolean }
  | { readonly kind: 'failed'; readonly message: string };

export interface CachingResolver {
  resolve(name: string, type: string): Promise<Cached>;
  /** TXT records as `node:dns` gives them: a list of lists of strings. @throws Error as {@link CachingResolver.lookup} does */
  resolveTxt(name: string): Promise<string[][]>;
  /**
   * The signature that mail verifiers take for a resolver: `lookup('s1._domainkey.example.test', 'TXT')`.
   * @throws Error with the code `ENOTFOUND`, `ENODATA` or `ESERVFAIL` of `node:dns`
   */
  lookup(name: string, type: string): Promise<string[][]>;
  statistics(): { readonly hits: number; readonly negativeHits: number; readonly misses: number };
  clear(): void;
}

type Entry =
  | { readonly kind: 'records'; readonly records: readonly ResourceRecord[] }
  | { readonly kind: 'nodata' }
  | { readonly kind: 'nxdomain' };

type Step = { readonly entry: Entry; readonly fromCache: boolean } | { readonly failed: string };

/** RFC 2308 section 5 advises one to three hours at most for absence; RFC 8767 section 4 a week for data. */
const LONGEST_NEGATIVE = 3 * 3600;
const LONGEST_POSITIVE = 7 * 86_400;

/** @throws RangeError for a server that is no address */
export function createCachingResolver(options: CachingResolverOptions): CachingResolver {
  const { clock = systemClock, timeoutMs = 2000, size = 100_000, recursive = false } = options;
  const upstream = options.upstream
    .map(({ apex, servers }) => ({ apex: nameKey(apex), servers: servers.map((server) => parseEndpoint(server)) }))
    .sort((a, b) => labelCount(b.apex) - labelCount(a.apex));
  const cache = createTtlCache<Entry>(size);
  const underWay = new Map<string, Promise<Step>>();
  const counts = { hits: 0, negativeHits: 0, misses: 0 };

  const remembered = (name: string, type: string): Entry | undefined => {
    const now = clock.now();
    // RFC 2308 section 5: NXDOMAIN is remembered for the name, whatever the type.
    return cache.get(`${name} ${type}`, now) ?? cache.get(`${name} CNAME`, now) ?? cache.get(`${name} *`, now);
  };

  const keep = (name: string, type: string, entry: Entry, seconds: number, at: number): void => {
    // Counted from when the question was asked: an answer that was long on its way is not kept for longer.
    cache.set(`${name} ${type}`, entry, at, seconds * 1000);
  };

  const fetch = async (name: string, type: string): Promise<Step> => {
    const at = clock.now();
    const zone = upstream.find(({ apex }) => isSubdomain(name, apex));
    if (zone === undefined) return { failed: `No server is known for ${name}` };
    const answer = await firstAnswer(zone.servers, name, type, { recursive, timeoutMs });
    if ('failed' in answer) return answer;
    const { message } = answer;
    const own = message.answers.filter((record) => nameKey(record.name) === name);
    for (const kept of [own.filter((record) => record.type === type), own.filter(({ type: t }) => t === 'CNAME')]) {
      const [first] = kept;
      if (first === undefined) continue;
      const entry: Entry = { kind: 'records', records: kept };
      keep(name, first.type, entry, Math.min(...kept.map(({ ttl }) => ttl), LONGEST_POSITIVE), at);
      return { entry, fromCache: false };
    }
    const { soa } = readAnswer(message, name, type);
    const ttl = Math.min(negativeTtl(soa) ?? 0, LONGEST_NEGATIVE);
    const absent: Entry = { kind: message.rcode === 'NXDOMAIN' ? 'nxdomain' : 'nodata' };
    keep(name, absent.kind === 'nxdomain' ? '*' : type, absent, ttl, at);
    return { entry: absent, fromCache: false };
  };

  /** One name without its CNAMEs followed; equal questions at once share one query. */
  const step = (name: string, type: string): Promise<Step> => {
    const entry = remembered(name, type);
    if (entry !== undefined) {
      if (entry.kind === 'records') counts.hits += 1;
      else counts.negativeHits += 1;
      return Promise.resolve({ entry, fromCache: true });
    }
    const key = `${name} ${type}`;
    const pending = underWay.get(key);
    if (pending !== undefined) return pending;
    counts.misses += 1;
    const started = fetch(name, type).finally(() => underWay.delete(key));
    underWay.set(key, started);
    return started;
  };

  const resolve = async (name: string, type: string): Promise<Cached> => {
    let fromCache = true;
    let current = nameKey(name);
    for (let hops = 0; hops <= LONGEST_CHAIN; hops += 1) {
      const found = await step(current, type);
      if ('failed' in found) return { kind: 'failed', message: found.failed };
      const { entry } = found;
      fromCache = fromCache && found.fromCache;
      if (entry.kind !== 'records') return { kind: 'none', exists: entry.kind === 'nodata', fromCache };
      const alias = entry.records[0]?.data;
      if (alias?.kind !== 'CNAME' || type === 'CNAME') return { kind: 'found', records: entry.records, fromCache };
      current = nameKey(alias.target);
    }
    return { kind: 'failed', message: `${name} ${type}: its CNAMEs lead in a circle, or too far` };
  };

  const lookup = async (name: string, type: string): Promise<string[][]> => {
    const found = await resolve(name, type);
    if (found.kind === 'failed') throw dnsError('ESERVFAIL', found.message);
    if (found.kind === 'none') throw dnsError(found.exists ? 'ENODATA' : 'ENOTFOUND', `query${type} ${name}`);
    return found.records.flatMap(({ data }) => (data.kind === 'TXT' ? [texts(data)] : []));
  };

  return {
    resolve,
    lookup,
    resolveTxt: (name) => lookup(name, 'TXT'),
    statistics: () => ({ ...counts }),
    clear: () => cache.clear(),
  };
}

async function firstAnswer(
  servers: readonly Endpoint[],
  name: string,
  type: string,
  options: { readonly recursive: boolean; readonly timeoutMs: number },
): Promise<{ readonly message: Message } | { readonly failed: string }> {
  let failed = `No server is known for ${name}`;
  for (const server of servers) {
    const asked = await ask(server, name, type, options);
    if (asked.kind === 'failure') failed = asked.message;
    else if (asked.message.rcode === 'NOERROR' || asked.message.rcode === 'NXDOMAIN') return asked;
    else failed = `The query for ${name} ${type} was answered ${asked.message.rcode}`;
  }
  return { failed };
}

function texts(data: TxtData): string[] {
  return data.strings.map((string) => Buffer.from(string).toString('latin1'));
}

function dnsError(code: string, message: string): Error {
  return Object.assign(new Error(`${message}: ${code}`), { code });
}

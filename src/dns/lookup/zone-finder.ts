/** Which zone a name lies in, and which servers speak for that zone. */

import type { Verdict } from '../../lifecycle/types.ts';
import { isSubdomain, labelCount, nameKey, parent } from '../wire/name.ts';
import { ask } from './ask.ts';
import { parseEndpoint } from './endpoint.ts';
import { type Referral, readReferral } from './interpret.ts';
import { createNameServers, type ServerAddress, type ZoneServers } from './name-servers.ts';
import type { Resolution, Resolver } from './resolver.ts';
import { createTtlCache } from './ttl-cache.ts';

export type Located =
  | { readonly kind: 'zone'; readonly zone: ZoneServers }
  | { readonly kind: 'failed'; readonly verdict: Verdict & ('unreachable' | 'bogus'); readonly message: string };

export type ApexResult =
  | { readonly kind: 'found'; readonly apex: string }
  | { readonly kind: 'failed'; readonly message: string };

/** A zone whose authoritative servers are given, as for hidden primaries and split horizons. */
export interface ExplicitZone {
  readonly apex: string;
  /** `address`, `address:port`, `[v6]:port`, or a host name with or without a port. */
  readonly servers: readonly string[];
}

export interface ZoneFinderOptions {
  readonly zones: readonly ExplicitZone[];
  readonly resolver: Resolver | null;
  /** Port of servers that were found by their NS records. */
  readonly port: number;
  /** Milliseconds per question. */
  readonly timeoutMs: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export interface ZoneFinder {
  /** The zone of a name, as far as it can be told without asking resolvers for the name itself. */
  locate(name: string, signal?: AbortSignal): Promise<Located>;
  /** The zone below that a server referred to. */
  follow(referral: Referral, signal?: AbortSignal): Promise<Located>;
  /** The apex of the zone that holds, or would hold, the name; zone cuts below are found by asking its servers. */
  findApex(name: string, signal?: AbortSignal): Promise<ApexResult>;
  /** Forgets what is remembered of a zone and of these servers of it, which did not answer as they should. */
  forget(apex: string, servers: readonly ServerAddress[]): void;
}

const SECOND = 1000;
/** A zone's delegation is believed no longer than this: one that moves must be noticed before a key relies on it. */
const LONGEST_DELEGATION = 600 * SECOND;
const SHORTEST = 5 * SECOND;
const REMEMBERED = 50_000;
const DEEPEST = 16;
/** Servers of the parent zone that are asked for the delegation until one answers. */
const PARENTS_ASKED = 3;
/** Milliseconds for each. */
const PARENT_PATIENCE = 1000;

export function createZoneFinder(options: ZoneFinderOptions): ZoneFinder {
  const { resolver, now } = options;
  const explicit = options.zones.map(({ apex, servers }) => ({
    apex: nameKey(apex),
    servers: servers.map((server) => parseEndpoint(server)),
  }));
  const apexes = createTtlCache<string>(REMEMBERED);
  const zones = createTtlCache<ZoneServers>(REMEMBERED);
  /** Zones whose servers could not be asked for a delegation lately. */
  const mute = createTtlCache<true>(REMEMBERED);

  const resolve = async (name: string, type: string, signal?: AbortSignal): Promise<Resolution> =>
    resolver?.resolve(name, type, signal) ?? {
      kind: 'failed',
      message: `No server is known for ${name}: name a resolver, or the zone's servers`,
      transport: 'udp',
    };
  const nameServers = createNameServers({ resolve, port: options.port, now });

  /** Climbs from a name to the first that has an SOA record of its own; an apex is never a CNAME. */
  const climb = async (from: string, signal?: AbortSignal): Promise<string | Extract<Located, { kind: 'failed' }>> => {
    const passed: string[] = [];
    for (let name: string | null = from; name !== null; name = parent(name)) {
      const known = apexes.get(name, now());
      const resolution: Resolution | null = known === undefined ? await resolve(name, 'SOA', signal) : null;
      if (resolution !== null && (resolution.kind === 'failed' || resolution.kind === 'bogus')) {
        const verdict = resolution.kind === 'bogus' ? 'bogus' : 'unreachable';
        const message = `Looking for the zone of ${from}: ${resolution.message}`;
        return { kind: 'failed', verdict, message };
      }
      passed.push(name);
      if (resolution === null || (resolution.kind === 'found' && resolution.cnames.length === 0)) {
        const apex = known ?? name;
        const ttls = resolution?.kind === 'found' ? resolution.records.map(({ ttl }) => ttl) : [SHORTEST / SECOND];
        for (const below of passed) {
          if (apexes.get(below, now()) === undefined) apexes.set(below, apex, now(), lifetime(ttls));
        }
        return apex;
      }
    }
    const message = `Looking for the zone of ${from}: no name above it has an SOA record, not even the root`;
    return { kind: 'failed', verdict: 'unreachable', message };
  };

  const locateFrom = async (anchor: string, name: string, signal?: AbortSignal): Promise<Located> => {
    const given = longest(explicit, name);
    if (given !== undefined) return { kind: 'zone', zone: await nameServers.given(given.apex, given.servers, signal) };
    const apex = await climb(anchor, signal);
    if (typeof apex !== 'string') return apex;
    const known = zones.get(apex, now());
    if (known !== undefined) return { kind: 'zone', zone: known };
    const [ns, above] = await Promise.all([resolve(apex, 'NS', signal), delegation(apex, signal)]);
    if (ns.kind !== 'found') {
      const message = ns.kind === 'none' ? `The zone ${apex} has no NS records` : ns.message;
      return { kind: 'failed', verdict: ns.kind === 'bogus' ? 'bogus' : 'unreachable', message };
    }
    const zone = await nameServers.byName(apex, [...hostsOf(ns), ...(above?.hosts ?? [])], new Map(), signal);
    const ttls = ns.records.map(({ ttl }) => ttl);
    if (zone.lost.length === 0) zones.set(apex, zone, now(), lifetime(ttls));
    return { kind: 'zone', zone };
  };

  /**
   * What the parent zone says about who serves a zone. Receivers' resolvers begin there, so a server that only the parent
   * names counts as well. Where the parent cannot be asked, the zone's own word has to do.
   */
  const delegation = async (apex: string, signal?: AbortSignal): Promise<Referral | null> => {
    const above = parent(apex);
    if (above === null || mute.get(above, now()) !== undefined) return null;
    const parentApex = await climb(above, signal);
    if (typeof parentApex === 'string') {
      const ns = await resolve(parentApex, 'NS', signal);
      const zone = ns.kind === 'found' ? await nameServers.byName(parentApex, hostsOf(ns), new Map(), signal) : null;
      const timeoutMs = Math.min(options.timeoutMs, PARENT_PATIENCE);
      for (const server of zone?.servers.slice(0, PARENTS_ASKED) ?? []) {
        const asked = await ask(server, apex, 'NS', { timeoutMs, signal });
        if (asked.kind === 'failure') continue;
        const referral = readReferral(asked.message, parentApex, apex);
        return referral?.apex === apex ? referral : null;
      }
    }
    if (signal?.aborted !== true) mute.set(above, true, now(), LONGEST_DELEGATION);
    return null;
  };

  const finder: ZoneFinder = {
    locate: (name, signal) => locateFrom(anchorOf(nameKey(name)), nameKey(name), signal),
    async follow(referral, signal) {
      const given = explicit.find(({ apex }) => apex === referral.apex);
      if (given !== undefined)
        return { kind: 'zone', zone: await nameServers.given(given.apex, given.servers, signal) };
      return { kind: 'zone', zone: await nameServers.byName(referral.apex, referral.hosts, referral.glue, signal) };
    },
    async findApex(name, signal) {
      const key = nameKey(name);
      let located = await locateFrom(key.includes('_domainkey') ? anchorOf(key) : key, key, signal);
      for (let depth = 0; depth < DEEPEST; depth += 1) {
        if (located.kind === 'failed') return { kind: 'failed', message: located.message };
        const referral = await firstReferral(located.zone, key, options.timeoutMs, signal);
        if (referral === null) return { kind: 'found', apex: located.zone.apex };
        located = await finder.follow(referral, signal);
      }
      return { kind: 'failed', message: `Looking for the zone of ${name}: more than ${DEEPEST} delegations in a row` };
    },
    forget(apex, servers) {
      for (const { host } of servers) if (host !== null) nameServers.forget(host);
      zones.delete(apex);
      apexes.delete(apex);
    },
  };
  return finder;
}

/**
 * The name from which a zone is sought with recursive resolvers. They must never be asked for a selector's own name, nor
 * for `_domainkey`, before the record is there: they would remember that it is not (RFC 2308, RFC 8020). What lies
 * between is found by asking the zone's own servers.
 */
export function anchorOf(name: string): string {
  const domain = /(?:^|\.)_domainkey\.(.+)$/.exec(name)?.[1];
  if (domain !== undefined) return domain;
  return labelCount(name) > 2 ? (parent(name) ?? name) : name;
}

async function firstReferral(
  zone: ZoneServers,
  name: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Referral | null> {
  if (name === zone.apex) return null;
  for (const server of zone.servers) {
    const asked = await ask(server, name, 'SOA', { timeoutMs, signal });
    if (asked.kind !== 'answer') continue;
    const referral = readReferral(asked.message, zone.apex, name);
    if (referral !== null || asked.message.flags.aa) return referral;
  }
  return null;
}

function longest<Z extends { readonly apex: string }>(zones: readonly Z[], name: string): Z | undefined {
  const above = zones.filter(({ apex }) => isSubdomain(name, apex));
  return above.sort((a, b) => labelCount(b.apex) - labelCount(a.apex))[0];
}

function hostsOf(ns: Extract<Resolution, { readonly kind: 'found' }>): string[] {
  return ns.records.flatMap(({ data }) => (data.kind === 'NS' ? [nameKey(data.target)] : []));
}

function lifetime(ttls: readonly number[]): number {
  return Math.max(SHORTEST, Math.min(LONGEST_DELEGATION, ...ttls.map((ttl) => ttl * SECOND)));
}

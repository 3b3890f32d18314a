/** Which zone a name lies in, and which servers speak for that zone. */

import { isIP } from 'node:net';
import type { Verdict } from '../../lifecycle/types.ts';
import { isSubdomain, labelCount, nameKey, parent } from '../wire/name.ts';
import { ask } from './ask.ts';
import { type Endpoint, endpointText, parseEndpoint } from './endpoint.ts';
import { type Referral, readReferral } from './interpret.ts';
import type { Resolution, Resolver } from './resolver.ts';
import { createTtlCache } from './ttl-cache.ts';

export interface ServerAddress extends Endpoint {
  /** Host name where it is known. */
  readonly host: string | null;
}

export interface ZoneServers {
  readonly apex: string;
  /** Every address of every authoritative server. */
  readonly servers: readonly ServerAddress[];
  /** Name servers of the delegation whose addresses could not be found, and why. */
  readonly lost: readonly { readonly host: string; readonly why: string }[];
}

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
/** The same for the addresses of name servers, which fleets of domains share. */
const LONGEST_ADDRESS = 3600 * SECOND;
const SHORTEST = 5 * SECOND;
const REMEMBERED = 50_000;
const DEEPEST = 16;
/** No serious zone has more; a delegation made to have us flood somebody may. */
const MOST_HOSTS = 32;

export function createZoneFinder(options: ZoneFinderOptions): ZoneFinder {
  const { resolver, now } = options;
  const explicit = options.zones.map(({ apex, servers }) => ({
    apex: nameKey(apex),
    servers: servers.map((server) => parseEndpoint(server)),
  }));
  const apexes = createTtlCache<string>(REMEMBERED);
  const zones = createTtlCache<ZoneServers>(REMEMBERED);
  const hosts = createTtlCache<readonly string[]>(REMEMBERED);

  const resolve = async (name: string, type: string, signal?: AbortSignal): Promise<Resolution> =>
    resolver?.resolve(name, type, signal) ?? {
      kind: 'failed',
      message: `No server is known for ${name}: name a resolver, or the zone's servers`,
      transport: 'udp',
    };

  const addressesOf = async (
    host: string,
    signal?: AbortSignal,
  ): Promise<{ readonly addresses: readonly string[]; readonly why: string }> => {
    const known = hosts.get(host, now());
    if (known !== undefined) return { addresses: known, why: '' };
    const both = await Promise.all([resolve(host, 'A', signal), resolve(host, 'AAAA', signal)]);
    const records = both.flatMap((resolution) => (resolution.kind === 'found' ? resolution.records : []));
    const addresses = records.flatMap(({ data }) => ('address' in data ? [data.address] : []));
    const failure = both.find((resolution) => resolution.kind === 'failed' || resolution.kind === 'bogus');
    if (addresses.length === 0) {
      return { addresses, why: failure?.message ?? `${host} has no address (neither A nor AAAA)` };
    }
    // Half an answer is used now and not kept: the other half may be an address that must be asked too.
    if (failure === undefined) {
      const ttls = records.map(({ ttl }) => ttl);
      hosts.set(host, addresses, now(), lifetime(ttls, LONGEST_ADDRESS));
    }
    return { addresses, why: '' };
  };

  const serversOf = async (
    apex: string,
    names: readonly string[],
    glue: ReadonlyMap<string, readonly string[]>,
    signal?: AbortSignal,
  ): Promise<ZoneServers> => {
    const found = await Promise.all(
      [...new Set(names)].slice(0, MOST_HOSTS).map(async (host) => {
        const glued = glue.get(host);
        const { addresses, why } =
          glued === undefined ? await addressesOf(host, signal) : { addresses: glued, why: '' };
        return { host, addresses, why };
      }),
    );
    return {
      apex,
      servers: found.flatMap(({ host, addresses }) =>
        addresses.map((address) => ({ host, address, port: options.port })),
      ),
      lost: found.filter(({ addresses }) => addresses.length === 0).map(({ host, why }) => ({ host, why })),
    };
  };

  const explicitZone = async (
    { apex, servers }: (typeof explicit)[number],
    signal?: AbortSignal,
  ): Promise<ZoneServers> => {
    const found = await Promise.all(
      servers.map(async (server): Promise<Pick<ZoneServers, 'servers' | 'lost'>> => {
        if (isIP(server.address) !== 0) return { servers: [{ ...server, host: null }], lost: [] };
        const { addresses, why } = await addressesOf(nameKey(server.address), signal);
        if (addresses.length === 0) return { servers: [], lost: [{ host: server.address, why }] };
        return {
          servers: addresses.map((address) => ({ host: server.address, address, port: server.port })),
          lost: [],
        };
      }),
    );
    return { apex, servers: found.flatMap((each) => each.servers), lost: found.flatMap((each) => each.lost) };
  };

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
          if (apexes.get(below, now()) === undefined)
            apexes.set(below, apex, now(), lifetime(ttls, LONGEST_DELEGATION));
        }
        return apex;
      }
    }
    const message = `Looking for the zone of ${from}: no name above it has an SOA record, not even the root`;
    return { kind: 'failed', verdict: 'unreachable', message };
  };

  const locateFrom = async (anchor: string, name: string, signal?: AbortSignal): Promise<Located> => {
    const given = longest(explicit, name);
    if (given !== undefined) return { kind: 'zone', zone: await explicitZone(given, signal) };
    const apex = await climb(anchor, signal);
    if (typeof apex !== 'string') return apex;
    const known = zones.get(apex, now());
    if (known !== undefined) return { kind: 'zone', zone: known };
    const ns = await resolve(apex, 'NS', signal);
    if (ns.kind !== 'found') {
      const message = ns.kind === 'none' ? `The zone ${apex} has no NS records` : ns.message;
      return { kind: 'failed', verdict: ns.kind === 'bogus' ? 'bogus' : 'unreachable', message };
    }
    const names = ns.records.flatMap(({ data }) => (data.kind === 'NS' ? [nameKey(data.target)] : []));
    const zone = await serversOf(apex, names, new Map(), signal);
    const ttls = ns.records.map(({ ttl }) => ttl);
    if (zone.lost.length === 0) zones.set(apex, zone, now(), lifetime(ttls, LONGEST_DELEGATION));
    return { kind: 'zone', zone };
  };

  const finder: ZoneFinder = {
    locate: (name, signal) => locateFrom(anchorOf(nameKey(name)), nameKey(name), signal),
    async follow(referral, signal) {
      const given = explicit.find(({ apex }) => apex === referral.apex);
      if (given !== undefined) return { kind: 'zone', zone: await explicitZone(given, signal) };
      return { kind: 'zone', zone: await serversOf(referral.apex, referral.hosts, referral.glue, signal) };
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
      for (const { host } of servers) if (host !== null) hosts.delete(host);
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

function lifetime(ttls: readonly number[], longest: number): number {
  return Math.max(SHORTEST, Math.min(longest, ...ttls.map((ttl) => ttl * SECOND)));
}

export function serverText(server: ServerAddress): string {
  return server.host === null ? endpointText(server) : `${server.host} (${endpointText(server)})`;
}

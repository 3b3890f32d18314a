/** The addresses of name servers, found by the recursive resolvers and remembered for fleets of domains. */
import { isIP } from 'node:net';
import { nameKey } from '../wire/name.ts';
import { type Endpoint, endpointText } from './endpoint.ts';
import type { Resolution } from './resolver.ts';
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

export interface NameServersOptions {
  readonly resolve: (name: string, type: string, signal?: AbortSignal) => Promise<Resolution>;
  /** Port of servers that are known by name alone. */
  readonly port: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export interface NameServers {
  /** The servers of a zone by their host names; `glue` holds addresses that came with a referral. */
  byName(
    apex: string,
    hosts: readonly string[],
    glue: ReadonlyMap<string, readonly string[]>,
    signal?: AbortSignal,
  ): Promise<ZoneServers>;
  /** The servers of a zone as they were given: addresses, or host names with a port. */
  given(apex: string, servers: readonly Endpoint[], signal?: AbortSignal): Promise<ZoneServers>;
  forget(host: string): void;
}

const SECOND = 1000;
/** Addresses are believed no longer than this, and never for less than a moment. */
const LONGEST_ADDRESS = 3600 * SECOND;
const SHORTEST = 5 * SECOND;
const REMEMBERED = 50_000;
/** No serious zone has more; a delegation made to have us flood somebody may. */
const MOST_HOSTS = 32;

export function createNameServers(options: NameServersOptions): NameServers {
  const { resolve, now, port } = options;
  const known = createTtlCache<readonly string[]>(REMEMBERED);

  const addressesOf = async (
    host: string,
    signal?: AbortSignal,
  ): Promise<{ readonly addresses: readonly string[]; readonly why: string }> => {
    const remembered = known.get(host, now());
    if (remembered !== undefined) return { addresses: remembered, why: '' };
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
      known.set(
        host,
        addresses,
        now(),
        Math.max(SHORTEST, Math.min(LONGEST_ADDRESS, ...ttls.map((ttl) => ttl * SECOND))),
      );
    }
    return { addresses, why: '' };
  };

  return {
    async byName(apex, hosts, glue, signal) {
      const all = [...new Set(hosts)];
      const found = await Promise.all(
        all.slice(0, MOST_HOSTS).map(async (host) => {
          const glued = glue.get(host);
          const { addresses, why } =
            glued === undefined ? await addressesOf(host, signal) : { addresses: glued, why: '' };
          return { host, addresses, why };
        }),
      );
      const why = `a zone with more than ${MOST_HOSTS} name servers is not asked further`;
      return {
        apex,
        servers: found.flatMap(({ host, addresses }) => addresses.map((address) => ({ host, address, port }))),
        lost: [
          ...found.filter(({ addresses }) => addresses.length === 0).map(({ host, why }) => ({ host, why })),
          ...all.slice(MOST_HOSTS).map((host) => ({ host, why })),
        ],
      };
    },
    async given(apex, servers, signal) {
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
    },
    forget: (host) => known.delete(host),
  };
}

export function serverText(server: ServerAddress): string {
  return server.host === null ? endpointText(server) : `${server.host} (${endpointText(server)})`;
}

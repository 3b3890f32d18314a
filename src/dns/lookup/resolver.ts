/** A stub resolver: asks recursive resolvers, one after another until one has an answer. */
import type { ResourceRecord } from '../wire/message.ts';
import { ask } from './ask.ts';
import { type Endpoint, endpointText, parseEndpoint } from './endpoint.ts';
import { negativeTtl, readAnswer } from './interpret.ts';

export type Resolution = ResolutionOutcome & { readonly transport: 'udp' | 'tcp' };

type ResolutionOutcome =
  /** Records of the wanted type at the end of the CNAMEs. */
  | { readonly kind: 'found'; readonly records: readonly ResourceRecord[]; readonly cnames: readonly string[] }
  /** `exists`: the name is there, without records of this type (NODATA); otherwise NXDOMAIN. `ttl` in seconds. */
  | {
      readonly kind: 'none';
      readonly exists: boolean;
      readonly cnames: readonly string[];
      readonly ttl: number | null;
    }
  /** DNSSEC validation failed: with checking disabled there is an answer. */
  | { readonly kind: 'bogus'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string };

export interface ResolverOptions {
  /** `address`, `address:port`, `[v6]:port`. */
  readonly servers: readonly string[];
  /** Port of servers that do not say one. Default 53. */
  readonly port?: number;
  /** Milliseconds per server. Default 3,000. */
  readonly timeoutMs?: number;
}

export interface Resolver {
  readonly servers: readonly Endpoint[];
  resolve(name: string, type: string, signal?: AbortSignal): Promise<Resolution>;
}

/** @throws RangeError for a server that is no address */
export function createResolver(options: ResolverOptions): Resolver {
  const { port = 53, timeoutMs = 3000 } = options;
  const servers = options.servers.map((server) => parseEndpoint(server, port));
  return {
    servers,
    async resolve(name, type, signal) {
      let last: Resolution = { kind: 'failed', message: 'No recursive resolver is configured', transport: 'udp' };
      for (const server of servers) {
        last = await resolveAt(server, name, type, { timeoutMs, signal });
        if (last.kind === 'found' || last.kind === 'none' || signal?.aborted === true) return last;
      }
      return last;
    },
  };
}

/** Asks one recursive resolver. */
export async function resolveAt(
  server: Endpoint,
  name: string,
  type: string,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<Resolution> {
  const asked = await ask(server, name, type, { ...options, recursive: true });
  const { transport } = asked;
  if (asked.kind === 'failure') return { kind: 'failed', message: asked.message, transport };
  const { message } = asked;
  const where = endpointText(server);
  if (message.rcode === 'NOERROR' || message.rcode === 'NXDOMAIN') {
    const { records, cnames, loop, soa } = readAnswer(message, name, type);
    if (loop) {
      const circle = `${name} ${type}: its CNAMEs lead in a circle: ${cnames.join(' → ')}`;
      return { kind: 'failed', message: circle, transport };
    }
    if (records.length > 0) return { kind: 'found', records, cnames, transport };
    return { kind: 'none', exists: message.rcode === 'NOERROR', cnames, ttl: negativeTtl(soa), transport };
  }
  if (message.rcode === 'SERVFAIL') {
    // With validation switched off it answers: the data is there, and its signatures do not hold (RFC 4035 section 5.5).
    const unchecked = await ask(server, name, type, { ...options, recursive: true, unchecked: true });
    if (unchecked.kind === 'answer' && ['NOERROR', 'NXDOMAIN'].includes(String(unchecked.message.rcode))) {
      const why = 'it fails DNSSEC validation (SERVFAIL, and an answer with checking disabled)';
      const told = `${where} does not believe ${name} ${type}: ${why}; check the zone's DS and RRSIG records`;
      return { kind: 'bogus', message: told, transport };
    }
  }
  return { kind: 'failed', message: `${where} answers ${message.rcode} for ${name} ${type}`, transport };
}

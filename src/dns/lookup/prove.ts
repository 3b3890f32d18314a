/** Proving what DNS serves at a name: every authoritative server, and recursive resolvers where they are wanted. */
import { type Clock, systemClock } from '../../lifecycle/clock.ts';
import type { Verdict } from '../../lifecycle/types.ts';
import type { ResourceRecord } from '../wire/message.ts';
import { txtValues } from '../wire/message.ts';
import { nameKey } from '../wire/name.ts';
import { authoritativeAnswers, surveyVerdict } from './answers.ts';
import { type Endpoint, endpointText } from './endpoint.ts';
import { type Expected, judgeValues, overallVerdict } from './judge.ts';
import type { ZoneServers } from './name-servers.ts';
import type { Proof, ServerAnswer } from './proof.ts';
import { systemResolvers } from './resolv-conf.ts';
import { createResolver, resolveAt } from './resolver.ts';
import { createSemaphore } from './semaphore.ts';
import { type Survey, survey } from './survey.ts';
import { createTtlCache } from './ttl-cache.ts';
import { type ApexResult, createZoneFinder, type ExplicitZone } from './zone-finder.ts';

/**
 * `authoritative`: every authoritative server. `recursive`: the resolvers alone, for networks that let nothing else out.
 * `both`: the resolvers too, and only once the authoritative servers agree: a resolver that is asked too early remembers
 * that there is nothing.
 */
export type ProofMode = 'authoritative' | 'recursive' | 'both';

export interface ProverOptions {
  /** Default `authoritative`. */
  readonly mode?: ProofMode;
  /** Recursive resolvers, `address` or `address:port`. Default: those of `/etc/resolv.conf`. */
  readonly resolvers?: readonly string[];
  /** Zones whose authoritative servers are given; the longest match wins. */
  readonly zones?: readonly ExplicitZone[];
  /** Port of authoritative servers that were found by their NS records. Default 53. */
  readonly port?: number;
  /** Milliseconds for a whole proof. Default 10,000. */
  readonly timeoutMs?: number;
  /** Milliseconds for one server. Default 3,000. */
  readonly queryTimeoutMs?: number;
  /** Proofs at once; the others wait. Default 100. */
  readonly concurrency?: number;
  readonly clock?: Clock;
}

export interface Prover {
  /**
   * Asks, and says what was found; what servers do is never an error.
   * @throws the reason of `signal`, WireError for what is no domain name
   */
  prove(name: string, expected: Expected, options?: { readonly signal?: AbortSignal }): Promise<Proof>;
  /** The apex of the zone that holds the name, or would. */
  findApex(name: string, signal?: AbortSignal): Promise<ApexResult>;
  /** The servers of the zone that holds the name, as far as it can be told without asking them; null where they cannot be found. */
  serversOf(name: string, signal?: AbortSignal): Promise<ZoneServers | null>;
  /** What stands at a name, whatever it is. */
  look(name: string, options?: { readonly signal?: AbortSignal }): Promise<Look>;
}

/** What the authoritative servers (or, in recursive mode, the resolvers) serve at a name, unjudged but for agreement. */
export interface Look {
  readonly name: string;
  readonly apex: string | null;
  readonly answers: readonly ServerAnswer[];
  readonly negativeTtl: number;
  readonly detail?: string;
}

/** Where no SOA was seen: an hour, the upper middle of what zones have. Waiting too long is the safe error. */
export const UNKNOWN_NEGATIVE_TTL = 3600;
const REMEMBERED_SOAS = 50_000;

/**
 * A prover remembers apexes, name servers and their addresses within their TTL, so that one for a whole fleet is best.
 *
 * @example
 * const prover = createProver({ zones: [{ apex: 'example.test', servers: ['127.0.0.1:5300'] }] });
 * const proof = await prover.prove('s1._domainkey.example.test', { kind: 'key', value: 'v=DKIM1; k=rsa; p=…' });
 *
 * @throws RangeError for a resolver or server that is no address
 */
export function createProver(options: ProverOptions = {}): Prover {
  const { mode = 'authoritative', timeoutMs = 10_000, clock = systemClock } = options;
  const queryTimeoutMs = Math.min(options.queryTimeoutMs ?? 3000, timeoutMs);
  const resolverList = options.resolvers ?? systemResolvers();
  const resolver = createResolver({ servers: resolverList, timeoutMs: queryTimeoutMs });
  const now = (): number => clock.now();
  const finder = createZoneFinder({
    zones: options.zones ?? [],
    resolver: resolverList.length === 0 ? null : resolver,
    port: options.port ?? 53,
    timeoutMs: queryTimeoutMs,
    now,
  });
  const soas = createTtlCache<ResourceRecord>(REMEMBERED_SOAS);
  const line = createSemaphore(options.concurrency ?? 100);

  /** Runs `work` with the time that a proof has; past it, questions fail and the work ends by itself. */
  const timed = <T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> =>
    line.run(async () => {
      signal?.throwIfAborted();
      const timeout = AbortSignal.timeout(timeoutMs);
      const result = await work(signal === undefined ? timeout : AbortSignal.any([signal, timeout]));
      signal?.throwIfAborted();
      return result;
    });

  const askAll = async (name: string, signal: AbortSignal): Promise<Survey> =>
    survey(name, { finder, soas, timeoutMs: queryTimeoutMs, now, signal });

  const askResolvers = (name: string, expected: Expected, signal: AbortSignal): Promise<ResolverAnswer[]> =>
    Promise.all(resolver.servers.map((server) => resolverAnswer(server, name, expected, queryTimeoutMs, signal)));

  return {
    findApex: (name, signal) => timed(signal, (within) => finder.findApex(name, within)),
    serversOf: (name, signal) =>
      timed(signal, async (within) => {
        const located = await finder.locate(name, within);
        return located.kind === 'zone' ? located.zone : null;
      }),

    look: (name, { signal } = {}) =>
      timed(signal, async (within) => {
        const anything: Expected = { kind: 'absent' };
        if (mode === 'recursive') {
          const answers = await askResolvers(name, anything, within);
          const { negativeTtl: ttl } = recursiveFindings(answers);
          return { name: nameKey(name), apex: null, answers: answers.map(({ answer }) => answer), negativeTtl: ttl };
        }
        const found = await askAll(name, within);
        return {
          name: nameKey(name),
          apex: found.apexes.at(-1) ?? null,
          answers: authoritativeAnswers(found, anything),
          negativeTtl: found.negativeTtl ?? UNKNOWN_NEGATIVE_TTL,
          ...(found.failure === null ? {} : { detail: found.failure.message }),
        };
      }),

    prove: (name, expected, { signal } = {}) =>
      timed(signal, async (within): Promise<Proof> => {
        const base = { name: nameKey(name), expected: expected.kind };
        if (mode === 'recursive') {
          const answers = await askResolvers(name, expected, within);
          const findings = recursiveFindings(answers);
          return { ...base, at: now(), apex: null, answers: answers.map(({ answer }) => answer), ...findings };
        }
        const found = await askAll(name, within);
        const answers = authoritativeAnswers(found, expected);
        const authoritative = surveyVerdict(found, expected);
        const negative = found.negativeTtl ?? UNKNOWN_NEGATIVE_TTL;
        const early = mode === 'authoritative' || authoritative !== 'seen' || resolver.servers.length === 0;
        const further = early ? [] : await askResolvers(name, expected, within);
        const findings = recursiveFindings(further);
        return {
          ...base,
          at: now(),
          verdict: early || findings.verdict === 'unreachable' ? authoritative : findings.verdict,
          apex: found.apexes.at(-1) ?? null,
          answers: [...answers, ...further.map(({ answer }) => answer)],
          negativeTtl: negative,
          ...(found.failure === null ? {} : { detail: found.failure.message }),
        };
      }),
  };
}

interface ResolverAnswer {
  readonly answer: ServerAnswer;
  readonly negativeTtl: number | null;
}

async function resolverAnswer(
  server: Endpoint,
  name: string,
  expected: Expected,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ResolverAnswer> {
  const start = performance.now();
  const resolution = await resolveAt(server, name, 'TXT', { timeoutMs, signal });
  const said = (parts: Partial<ServerAnswer> & Pick<ServerAnswer, 'verdict'>, ttl: number | null): ResolverAnswer => ({
    answer: {
      server: endpointText(server),
      address: endpointText(server),
      role: 'resolver',
      values: [],
      ttl: null,
      cnames: [],
      transport: resolution.transport,
      milliseconds: performance.now() - start,
      ...parts,
    },
    negativeTtl: ttl,
  });
  switch (resolution.kind) {
    case 'found': {
      const values = txtValues(resolution.records);
      const ttl = resolution.records[0]?.ttl ?? null;
      return said({ ...judgeValues(values, expected), values, ttl, cnames: resolution.cnames }, null);
    }
    case 'none':
      return said({ ...judgeValues([], expected), cnames: resolution.cnames }, resolution.ttl);
    case 'bogus':
      return said({ verdict: 'bogus', detail: resolution.message }, null);
    case 'failed':
      return said({ verdict: 'unreachable', detail: resolution.message }, null);
  }
}

/** A resolver that cannot be reached says nothing about the record: the others decide, as long as there is one. */
function recursiveFindings(answers: readonly ResolverAnswer[]): { verdict: Verdict; negativeTtl: number } {
  const verdicts = answers.map(({ answer }) => answer.verdict).filter((verdict) => verdict !== 'unreachable');
  const ttls = answers.flatMap(({ negativeTtl: ttl }) => (ttl === null ? [] : [ttl]));
  return {
    verdict: overallVerdict(verdicts),
    negativeTtl: ttls.length === 0 ? UNKNOWN_NEGATIVE_TTL : Math.max(...ttls),
  };
}

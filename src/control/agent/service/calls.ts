/** The calls of agents, each behind the same guarantees: known by token or certificate, one process a name, its own domains only. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { z } from 'zod';
import type { Clock } from '../../../lifecycle/clock.ts';
import { roughDuration } from '../../../settings/durations.ts';
import type { Store } from '../../../store/store.ts';
import { errorText, type Log } from '../../log.ts';
import type { Operator } from '../../operations.ts';
import { BOOT_HEADER, helloRequest, missingRequest, PATH, reportsRequest, TIME_HEADER } from '../wire.ts';
import { authenticate, type KnownAgent, shownBy } from './authenticate.ts';
import type { AgentClaims } from './claims.ts';
import { answer, answerProblem, Problem, readBody, understand } from './exchange.ts';
import { countFailures } from './failures.ts';
import { agentActor, changesOf, type KeyringSource, missingOf, pageOf } from './keyrings.ts';
import { takeReports } from './reports.ts';
import { tailJournal } from './tail.ts';

export interface CallsOptions {
  readonly agents: readonly KnownAgent[];
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly claims: AgentClaims;
  /** Of a name without a word, milliseconds. */
  readonly lease: number;
  /** How often the journal is read while agents wait, milliseconds. */
  readonly interval: number;
  /** Aborted when the server stops: those who wait are answered at once. */
  readonly stopping: AbortSignal;
  /** The store is the one that is known: what is read from it may be given away. */
  readonly mayServe: () => boolean;
}

/** A clock that is off by more is told of, milliseconds. */
export const CLOCK_TOLERANCE = 60_000;
const longestWait = 25_000;

const boot = z.string().regex(/^[0-9a-f-]{36}$/);
const pageQuery = z.object({ after: z.string().max(255).optional() });
const changesQuery = z.object({
  since: z.string().regex(/^\d{1,15}\.[0-9a-f]{0,16}$/),
  wait: z.coerce.number().min(0).max(longestWait).default(0),
});

export function createCalls(
  options: CallsOptions,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const { agents, store, clock, log, claims, lease, interval, stopping, mayServe } = options;
  const failures = countFailures(clock);
  const watchClock = createClockComparison(options);
  const operator = (agent: KnownAgent): Operator => ({ store, clock, actor: agentActor(agent) });
  const source: KeyringSource = { store, operator, tail: tailJournal(store, interval), log };

  function admit(request: IncomingMessage): KnownAgent {
    const { socket } = request;
    const shown = shownBy(request.headers.authorization, socket instanceof TLSSocket ? socket : null);
    const found = authenticate(agents, shown, clock.now());
    if (found.kind === 'agent') return found.agent;
    const address = socket.remoteAddress ?? 'unknown';
    if (failures.failed(address))
      throw new Problem('too-many-failures', 'wait a minute before the next attempt', { 'retry-after': '60' });
    log.warn('agent-refused', { address, why: found.why });
    throw new Problem('not-authenticated', found.why, { 'www-authenticate': 'Bearer' });
  }

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    const agent = admit(request);
    const url = URL.parse(request.url ?? '/', 'http://agent.invalid');
    if (url === null) throw new Problem('bad-request', 'the address cannot be understood');
    if (!mayServe()) throw new Problem('internal', 'this instance is not sure of its store: see its log');
    const given = request.headers[BOOT_HEADER];
    const itsBoot = boot.safeParse(given);
    if (!itsBoot.success) throw new Problem('bad-request', `the header ${BOOT_HEADER} is missing`);
    await watchClock(agent, request.headers[TIME_HEADER]);
    const call = `${request.method} ${url.pathname}`;
    if (call === `POST ${PATH}hello`) return greet(agent, itsBoot.data, request);
    if (call === `GET ${PATH}check`)
      return { time: clock.now(), ...demands(agent), held: await claims.holder(agent.name) };
    const letGo = await claims.hold(agent.name, itsBoot.data);
    if (letGo === null)
      throw new Problem('not-greeted', `this process does not hold the name ${agent.name} (any more): greet again`);
    try {
      const time = () => clock.now();
      switch (call) {
        case `GET ${PATH}keyrings`: {
          const { after } = understand(pageQuery, Object.fromEntries(url.searchParams));
          const page = await pageOf(agent, after ?? null, source);
          return { time: time(), ...page };
        }
        case `GET ${PATH}changes`: {
          const { since, wait } = understand(changesQuery, Object.fromEntries(url.searchParams));
          const gone = new AbortController();
          response.once('close', () => gone.abort());
          const signal = AbortSignal.any([gone.signal, stopping, AbortSignal.timeout(Math.min(wait, lease / 2))]);
          const changes = await changesOf(agent, since, source, signal);
          if (changes === null)
            throw new Problem('position-unknown', 'the journal has no such entry: read all keyrings again');
          return { time: time(), ...changes };
        }
        case `POST ${PATH}missing`: {
          const { domains } = await readBody(request, missingRequest);
          return { time: time(), ...(await missingOf(agent, domains, source)) };
        }
        case `POST ${PATH}reports`: {
          const { reports } = await readBody(request, reportsRequest);
          const counts = await takeReports(agent, reports, operator(agent));
          if (counts.refused > 0) log.warn('agent-reports-refused', { agent: agent.name, count: counts.refused });
          return { time: time(), ...counts };
        }
        case `POST ${PATH}bye`: {
          await claims.release(agent.name, itsBoot.data);
          log.info('agent-left', { agent: agent.name });
          return { time: time() };
        }
        default:
          throw new Problem('no-such-call', 'the other side may be of another version');
      }
    } finally {
      letGo();
    }
  }

  async function greet(agent: KnownAgent, itsBoot: string, request: IncomingMessage): Promise<unknown> {
    const hello = await readBody(request, helloRequest);
    const { name } = agent;
    const claimed = await claims.claim(name, { boot: itsBoot, install: hello.install, host: hello.host });
    if (claimed.kind === 'taken') {
      const { host, silentFor } = claimed.by;
      log.warn('agent-name-taken', { agent: name, held: host, refused: hello.host });
      throw new Problem(
        'name-taken',
        `an agent on ${host} runs as ${name} and was heard ${roughDuration(silentFor)} ago: stop one of the two, or give each an entry and a token of its own`,
        { 'retry-after': String(Math.ceil(lease / 1000)) },
      );
    }
    log.info('agent-greeted', {
      agent: name,
      host: hello.host,
      version: hello.version,
      signers: hello.signers.map((signer) => `${signer.name} (${signer.kind})`),
    });
    return { time: clock.now(), lease, ...demands(agent) };
  }

  return async (request, response) => {
    try {
      await answer(request, response, await respond(request, response), stopping.aborted);
    } catch (error) {
      if (error instanceof Problem) return answerProblem(response, error, clock.now());
      if (request.destroyed && response.destroyed) return;
      log.error('agent-call-failed', { call: `${request.method}`, error: errorText(error) });
      answerProblem(response, new Problem('internal', 'see the log of the server; try again'), clock.now());
    }
  };
}

function demands({ name, binding }: KnownAgent) {
  const { algorithms, atMost } = binding.abilities ?? { algorithms: ['rsa', 'ed25519'] as const, atMost: null };
  return { name, algorithms: [...algorithms], atMost };
}

/** Says once when an agent's clock is found to be off, and once when it is right again. */
function createClockComparison({ store, clock, log }: CallsOptions) {
  const off = new Set<string>();
  return async ({ name }: KnownAgent, header: string | string[] | undefined): Promise<void> => {
    const theirs = Number(header);
    if (!Number.isFinite(theirs) || header === undefined) return;
    const by = Math.round(theirs - clock.now());
    const isOff = Math.abs(by) > CLOCK_TOLERANCE;
    if (isOff === off.has(name)) return;
    if (isOff) off.add(name);
    else off.delete(name);
    const kind = isOff ? 'agent-clock-off' : 'agent-clock-right';
    if (!isOff) log.info(kind, { agent: name });
    else
      log.warn(kind, {
        agent: name,
        milliseconds: by,
        advice: `see to the time service there (and here): the agent signs by the time of this server meanwhile, and nothing waits for its clock`,
      });
    const details = isOff ? { agent: name, milliseconds: by } : { agent: name };
    await store.journal.append([{ actor: name, source: 'agent', domain: null, kind, details }]);
  };
}

/**
 * A running agent: its signers sign by what it has, whether or not the control plane is there, and what it has is brought up to date
 * whenever it is. What is acknowledged was written to the disk before, so that no start goes back behind it.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../../lifecycle/clock.ts';
import { roughDuration } from '../../../settings/durations.ts';
import { readSecret } from '../../../settings/secret.ts';
import { createKeyringCache } from '../../../store/keyring/cache.ts';
import { loadKeyringKeys } from '../../../store/keyring/keyring-key.ts';
import { createRecordSealer } from '../../../store/keyring/sealed-record.ts';
import { ConfigError, pathBeside } from '../../config/load.ts';
import { lockInstance } from '../../instance-lock.ts';
import { errorText, type Log } from '../../log.ts';
import { startRepeating } from '../../repeating.ts';
import { changesAnswer, helloAnswer, MOST_REPORTS, missingAnswer, pageAnswer, reportsAnswer } from '../wire.ts';
import type { LoadedAgentConfig } from './config.ts';
import { createControlTime } from './control-time.ts';
import { createHoldings, type Holdings, type LoadingTurn } from './holdings.ts';
import { type Link, LinkError, openLink } from './link.ts';
import { createLocalSigners, type LocalSigners } from './local-signers.ts';
import { createOutbox } from './outbox.ts';
import { openState, write } from './state.ts';
import type { AgentStatus } from './status.ts';

export interface AgentOptions {
  readonly loaded: LoadedAgentConfig;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** Random numbers in [0, 1), for pauses that do not all end at once. */
  readonly random?: () => number;
}

export interface RunningAgent extends AsyncDisposable {
  /** Where the built-in milter listens; empty while it waits for its first keyrings. */
  readonly endpoints: readonly string[];
  status(): AgentStatus;
  /** Resolves when the agent is stopped; rejects with {@link AgentTaken} when another holds its name, or with the error of a socket. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** Another agent runs under this one's name, here or elsewhere. */
export class AgentTaken extends Error {
  override readonly name = 'AgentTaken';
}

/** A socket of a signer cannot be opened: without it the agent is of no use. */
class SocketsClosed extends Error {
  override readonly name = 'SocketsClosed';
}

const shortestPause = 500;
const longestPause = 30_000;
/** How long the control plane is asked to wait for news, milliseconds. */
const wait = 25_000;
/** How often everything is compared with the control plane, milliseconds. */
const compareEvery = 3_600_000;

/** Makes what a link to the control plane needs of the configuration. @throws ConfigError */
export function linkOf(
  { config: { control }, file }: LoadedAgentConfig,
  env: AgentOptions['env'],
  { boot, now, onTime }: Pick<Parameters<typeof openLink>[0], 'boot' | 'now' | 'onTime'>,
): Link {
  const path = (written: string) => pathBeside(file, written);
  let token: string | null = null;
  try {
    token = control.token === undefined ? null : readSecret(control.token, { path, env });
  } catch (error) {
    throw new ConfigError([`control.token: ${errorText(error)}`]);
  }
  return openLink({
    urls: control.url,
    token,
    pins: control.pin ?? null,
    ca: control.ca === undefined ? null : path(control.ca),
    cert: control.cert === undefined ? null : path(control.cert),
    key: control.key === undefined ? null : path(control.key),
    boot,
    now,
    onTime,
  });
}

/** @throws AgentTaken, ConfigError, StoreError or FeedError for its folder, or an Error naming a socket; nothing is left open then. */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const { loaded, env, clock, log, version, random = Math.random } = options;
  const { config, dataFolder } = loaded;
  const state = openState(dataFolder);
  const lock = lockInstance(dataFolder, 'agent');
  if (lock === null)
    throw new AgentTaken(
      `another agent runs in ${dataFolder}: stop it, or give this one another folder with \`data:\``,
    );
  const closers: Array<() => Promise<void> | void> = [() => lock.release()];
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  const elapsed = () => performance.now();
  const stopping = new AbortController();
  const boot = randomUUID();
  try {
    const time = createControlTime(clock, elapsed);
    const keys = loadKeyringKeys({ file: join(dataFolder, 'keyrings.key'), mayMake: true, environment: env });
    const cache = createKeyringCache(dataFolder, createRecordSealer(keys));
    closers.push(() => cache.close());
    const signers = await createLocalSigners({ loaded, env, clock: time.clock, log });
    closers.push(() => signers.close());
    const link = linkOf(loaded, env, { boot, now: () => clock.now(), onTime: time.heard });
    closers.push(() => link.close());
    const outbox = createOutbox(elapsed);
    const holdings = createHoldings({ cache, signers, outbox, log, elapsed, now: () => time.clock.now() });
    closers.push(() => holdings.stop());

    const connection = createConnection(options, { link, time, elapsed });
    const begun = await holdings.begin();
    if (state.value.taken)
      log.warn('agent-waits', {
        reason: 'another agent held its name when it ended: it signs when the control plane has greeted it',
      });
    if (begun && !state.value.taken) await openSockets(holdings, signers, log);

    const status = (): AgentStatus => ({
      name: connection.name,
      pid: process.pid,
      url: link.url,
      ...connection.facts(),
      clockAhead: time.ahead(),
      milter: [...signers.endpoints],
      ...holdings.facts(),
      reportsWaiting: outbox.size,
      at: clock.now(),
    });
    const failed = (what: string) => (error: unknown) => log.error(what, { error: errorText(error) });
    let shown = '';
    closers.push(
      startRepeating(1000, async () => holdings.collectSignatures(), failed('signatures-not-collected')),
      startRepeating(
        config.inspectEvery,
        (signal) => holdings.inspect(signal),
        failed('signers-not-inspected'),
        Math.min(config.inspectEvery, 2000),
      ),
      startRepeating(
        2000,
        async () => {
          const { at: _, ...facts } = status();
          if (JSON.stringify(facts) === shown) return;
          shown = JSON.stringify(facts);
          write(join(dataFolder, 'status.json'), status());
        },
        failed('status-not-written'),
      ),
      startRepeating(
        100,
        () => sendReports(),
        () => undefined,
      ),
    );

    /** Reports wait until the control plane is heard: the loop below says what is the matter. */
    async function sendReports(): Promise<void> {
      if (!connection.isUp) return;
      for (let letters = outbox.take(); letters !== null && !stopping.signal.aborted; letters = outbox.take()) {
        try {
          const body = { reports: letters.reports };
          const { refused } = await link.call({ method: 'POST', path: 'reports', body, answer: reportsAnswer });
          letters.settle();
          if (refused > 0) log.debug('reports-refused', { count: refused });
        } catch (error) {
          if (!(error instanceof LinkError) || (error.problem !== 'bad-request' && error.problem !== 'too-large'))
            return;
          // What is not understood would stand in the way of all that comes after it for ever.
          letters.settle();
          log.error('reports-not-understood', { count: letters.reports.length, why: error.message });
        }
      }
    }

    /** Everything, page by page; where to follow from. */
    async function loadAll(): Promise<string> {
      let position: string | null = null;
      let after: string | null = null;
      const named = new Set<string>();
      const turn = await holdings.loading();
      try {
        do {
          const query: string = after === null ? '' : `?after=${encodeURIComponent(after)}`;
          const path = `keyrings${query}`;
          const page = await link.call({
            method: 'GET',
            path,
            answer: pageAnswer,
            timeout: 60_000,
            signal: stopping.signal,
          });
          position ??= page.position;
          for (const { domain } of page.items) named.add(domain);
          await turn.add(page.items);
          after = page.next;
        } while (after !== null);
        await askForMissing(named, turn);
      } catch (error) {
        await turn.abandon();
        throw error;
      }
      await turn.finish();
      return position ?? '0.';
    }

    /** Domains that were not named are asked for one by one: that a list is short is no reason to stop signing. */
    async function askForMissing(named: ReadonlySet<string>, turn: LoadingTurn): Promise<void> {
      const missing = holdings.domains().filter((domain) => !named.has(domain));
      for (let i = 0; i < missing.length; i += MOST_REPORTS) {
        const domains = missing.slice(i, i + MOST_REPORTS);
        const { items, unknown } = await link.call({
          method: 'POST',
          path: 'missing',
          body: { domains },
          answer: missingAnswer,
          timeout: 60_000,
          signal: stopping.signal,
        });
        await turn.add(items);
        if (unknown.length > 0)
          log.warn('domains-unknown', {
            count: unknown.length,
            domains: unknown.slice(0, 10),
            advice:
              'the control plane has neither keys for them nor a record of their leaving (is it the right one, and whole?): they go on being signed with the keys that are here',
          });
      }
    }

    async function followOnce(): Promise<void> {
      const { abilities, names } = signers;
      const hello = await link.call({
        method: 'POST',
        path: 'hello',
        answer: helloAnswer,
        signal: stopping.signal,
        body: { version, install: state.value.install, host: hostname(), signers: names, ...abilities },
      });
      connection.greeted(hello);
      warnOfAbilities(signers, hello, log);
      let position = await loadAll();
      state.setTaken(false);
      connection.up();
      if (!holdings.isOpen) await openSockets(holdings, signers, log);
      const loadedAt = elapsed();
      while (!stopping.signal.aborted && elapsed() - loadedAt < compareEvery) {
        const path = `changes?since=${position}&wait=${wait}`;
        const changes = await link.call({
          method: 'GET',
          path,
          answer: changesAnswer,
          timeout: wait + 15_000,
          signal: stopping.signal,
        });
        await holdings.apply(changes.items);
        position = changes.position;
        connection.heard();
      }
    }

    async function follow(): Promise<void> {
      while (!stopping.signal.aborted) {
        try {
          await followOnce();
        } catch (error) {
          if (stopping.signal.aborted) return;
          if (error instanceof SocketsClosed) throw error;
          const pause = connection.lost(error);
          if (pause === null) {
            state.setTaken(true);
            throw new AgentTaken(errorText(error));
          }
          if (!(error instanceof LinkError) || !staying.has(error.problem ?? '')) link.next();
          await sleep(pause * (0.5 + random() / 2), undefined, { signal: stopping.signal }).catch(() => undefined);
        }
      }
    }

    const following = follow();
    // Whoever asks is told; nobody has to.
    following.catch(() => undefined);
    let stopped: Promise<void> | null = null;
    const stop = (): Promise<void> => {
      stopped ??= (async () => {
        stopping.abort();
        await following.catch(() => undefined);
        if (connection.isUp) {
          await sendReports().catch(() => undefined);
          await link.call({ method: 'POST', path: 'bye', answer: byeAnswer, timeout: 1000 }).catch(() => undefined);
        }
        await close();
      })();
      return stopped;
    };
    log.info('agent-started', {
      boot,
      folder: dataFolder,
      signers: signers.names.map(({ name, kind }) => `${name} (${kind})`),
    });
    return {
      get endpoints() {
        return signers.endpoints;
      },
      status,
      ended: following,
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Refusals that another instance would answer with as well. */
const staying = new Set<string>(['name-taken', 'not-greeted', 'position-unknown']);

const byeAnswer = changesAnswer.pick({ time: true });

/** @throws SocketsClosed */
async function openSockets(holdings: Holdings, signers: LocalSigners, log: Log): Promise<void> {
  try {
    await holdings.open();
  } catch (error) {
    throw new SocketsClosed(errorText(error));
  }
  log.info('ready', { domains: holdings.domains().length, milter: signers.endpoints });
}

function warnOfAbilities(
  { abilities }: LocalSigners,
  hello: { algorithms: readonly string[]; atMost: number | null; name: string },
  log: Log,
): void {
  const lacking = hello.algorithms.filter((algorithm) => !abilities.algorithms.some((each) => each === algorithm));
  if (lacking.length > 0)
    log.warn('abilities-differ', {
      lacking,
      advice: `no signer here signs with ${lacking.join(' or ')}: say \`algorithms: [${abilities.algorithms.join(', ')}]\` for ${hello.name} in keyturn.yaml, or its keys are waited for in vain`,
    });
  if (abilities.atMost !== null && (hello.atMost === null || hello.atMost > abilities.atMost))
    log.warn('abilities-differ', {
      advice: `a signer here signs with ${abilities.atMost} keys of a stream at most: say \`atMost: ${abilities.atMost}\` for ${hello.name} in keyturn.yaml`,
    });
}

/** How the line to the control plane is: what is said of it once, and how long to wait before the next attempt. */
function createConnection(
  { clock, log }: AgentOptions,
  { link, time, elapsed }: { link: Link; time: ReturnType<typeof createControlTime>; elapsed: () => number },
) {
  let name: string | null = null;
  let isUp = false;
  let trouble: string | null = null;
  let since = clock.now();
  let heardAt: number | null = null;
  let failures = 0;
  let takenSince: number | null = null;
  let lostAt = elapsed();
  let clockWasOff = false;
  const heard = () => {
    heardAt = clock.now();
    if (time.isOff === clockWasOff) return;
    clockWasOff = time.isOff;
    if (clockWasOff)
      log.warn('clock-off', {
        milliseconds: time.ahead(),
        advice:
          "this machine's clock and the control plane's are far apart: see to the time service; signatures carry the control plane's time meanwhile",
      });
    else log.info('clock-right');
  };
  return {
    get name() {
      return name;
    },
    get isUp() {
      return isUp;
    },
    heard,
    greeted(hello: { readonly name: string }) {
      name = hello.name;
      takenSince = null;
      heard();
    },
    up() {
      failures = 0;
      if (isUp) return heard();
      isUp = true;
      since = clock.now();
      log.info('control-reached', {
        agent: name,
        url: link.url,
        ...(trouble === null ? {} : { after: roughDuration(elapsed() - lostAt) }),
      });
      trouble = null;
      heard();
    },
    /** The pause before the next attempt; null where it is to end. */
    lost(error: unknown): number | null {
      const text = errorText(error);
      const its = error instanceof LinkError ? error.problem : null;
      // A process that lost its name, or its place in the journal, begins anew: that is no trouble yet.
      if (its === 'not-greeted' || its === 'position-unknown') {
        log.info('control-begins-anew', { why: text });
        return failures++ === 0 ? 0 : shortestPause;
      }
      if (isUp) lostAt = elapsed();
      isUp = false;
      if (its === 'name-taken') {
        takenSince ??= elapsed();
        const lease = (error instanceof LinkError ? error.retryAfter : null) ?? longestPause;
        if (elapsed() - takenSince > 2 * lease) return null;
      }
      if (trouble !== text) {
        since = clock.now();
        const advice = 'what is here goes on being signed; it is tried again';
        if (error instanceof LinkError)
          log[error.kind === 'away' ? 'warn' : 'error']('control-not-reached', { why: text, advice });
        else log.error('control-not-followed', { error: text, advice });
      }
      trouble = text;
      const pause = Math.min(longestPause, shortestPause * 2 ** Math.min(failures, 10));
      failures += 1;
      return its === 'name-taken' ? Math.min(pause, 5000) : pause;
    },
    facts: (): Pick<AgentStatus, 'connection' | 'since' | 'heardAt' | 'trouble'> => ({
      connection: isUp ? 'up' : 'down',
      since,
      heardAt,
      trouble,
    }),
  };
}

/**
 * A running agent: its signers sign by what it has, whether or not the control plane is there, and what it has is brought up to date
 * whenever it is. What is acknowledged was written to the disk before, so that no start goes back behind it.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '../../../lifecycle/clock.ts';
import { createKeyringCache } from '../../../store/keyring/cache.ts';
import { loadKeyringKeys } from '../../../store/keyring/keyring-key.ts';
import { createRecordSealer } from '../../../store/keyring/sealed-record.ts';
import { lockInstance } from '../../instance-lock.ts';
import { errorText, type Log } from '../../log.ts';
import { startRepeating } from '../../repeating.ts';
import type { LoadedAgentConfig } from './config.ts';
import { createConnection } from './connection.ts';
import { createControlTime } from './control-time.ts';
import { AgentTaken, createDialogue, SocketError } from './dialogue.ts';
import { createHoldings } from './holdings.ts';
import { linkOf } from './link-of.ts';
import { createLocalSigners } from './local-signers.ts';
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
  /** Resolves when the agent is stopped; rejects with `AgentTaken` when another holds its name, or with the error of a socket. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
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

    const connection = createConnection({ clock, log, link, time, elapsed });
    const openSockets = async () => {
      try {
        await holdings.open();
      } catch (error) {
        throw new SocketError(errorText(error));
      }
      log.info('ready', { domains: holdings.domains().length, milter: signers.endpoints });
    };
    const dialogue = createDialogue({
      ...{ link, connection, holdings, outbox, signers, state, log, version, random, elapsed, openSockets },
      stopping: stopping.signal,
    });
    const begun = await holdings.begin();
    if (state.value.taken)
      log.warn('agent-waits', {
        reason: 'another agent held its name when it ended: it signs when the control plane has greeted it',
      });
    if (begun && !state.value.taken) await openSockets();

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
        () => dialogue.sendReports(),
        () => undefined,
      ),
    );

    const following = dialogue.follow();
    // Whoever asks is told; nobody has to.
    following.catch(() => undefined);
    let stopped: Promise<void> | null = null;
    const stop = (): Promise<void> => {
      stopped ??= (async () => {
        stopping.abort();
        await following.catch(() => undefined);
        await dialogue.sayGoodbye();
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

/** The signing milter on a machine without a store: it signs by what Redis tells, and by what it has on disk where Redis is away. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../lifecycle/clock.ts';
import { createKeyringBook } from '../../signers/keyring-book.ts';
import type { Signer } from '../../signers/signer.ts';
import { createKeyringCache } from '../../store/keyring/cache.ts';
import type { Registration } from '../../store/keyring/follower.ts';
import { createRedisFeed } from '../../store/keyring/redis-feed.ts';
import type { Binding } from '../bindings.ts';
import { ConfigError, type LoadedConfig } from '../config/load.ts';
import { lockInstance } from '../instance-lock.ts';
import { errorText, type Log } from '../log.ts';
import { type MilterRole, openMilter } from '../milter-role.ts';
import { createFollower, type Follower } from './follower.ts';
import { openKeyringRedis } from './open-redis.ts';
import { milterTarget } from './target.ts';

export interface FollowingMilter extends AsyncDisposable {
  readonly milter: MilterRole;
  readonly follower: Follower;
  readonly endpoints: readonly string[];
  /** Lets messages that are being signed go out, tells what was seen, and closes everything. */
  stop(): Promise<void>;
}

export interface FollowingMilterOptions {
  readonly loaded: LoadedConfig;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends a start that waits. */
  readonly signal: AbortSignal;
}

/** True where the process of this configuration signs by Redis, and opens no store. */
export function followsRedis({ roles, keyrings }: LoadedConfig['config']): boolean {
  return keyrings.redis !== undefined && roles.milter && !roles.reconcile && !roles.dns;
}

/**
 * Starts when everything is loaded and the control plane waits for this milter; that may take until a control plane runs. No socket is open before.
 * @throws ConfigError, StoreError (the key), FeedError `name-taken` or `wrong-key`, or an Error naming a socket that cannot be opened.
 */
export async function startFollowingMilter(options: FollowingMilterOptions): Promise<FollowingMilter> {
  const { loaded, env, clock, log, signal } = options;
  const { config, dataFolder } = loaded;
  const name = config.instance;
  const closers: Array<() => Promise<void> | void> = [];
  const stop = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  try {
    makeFolder(dataFolder);
    const lock = lockInstance(dataFolder, name);
    if (lock === null) {
      throw new ConfigError([
        `another process runs as "${name}" on ${dataFolder}: stop it, or give this one another name`,
      ]);
    }
    closers.push(() => lock.release());
    const redis = openKeyringRedis(loaded, { env, mayMakeKey: false });
    if (redis === null) throw new ConfigError(['keyrings.redis is missing: where are the keyrings to come from?']);
    const { signs } = config.milter;
    const registration: Registration = {
      name,
      installation: installationOf(dataFolder),
      boot: randomUUID(),
      host: redis.host,
      signs,
    };
    const book = createKeyringBook();
    const binding: Binding = { signerId: name, ...signs };
    let signer: Signer | null = null;
    const follower = createFollower({
      feed: createRedisFeed({ ...redis, registration, clock }),
      cache: createKeyringCache(join(dataFolder, 'keyrings'), redis.sealer),
      target: milterTarget(book, binding, () => signer),
      registration,
      clock,
      log,
    });
    closers.push(() => follower.stop());
    const from = await follower.start(signal);
    const milter = await openMilter(name, config.milter, book, { clock, log });
    closers.push(() => milter.stop());
    signer = milter.signer;
    follower.follow();
    log.info('ready', { instance: name, milter: milter.server.endpoints, keyrings: from, domains: book.size });
    return {
      milter,
      follower,
      endpoints: milter.server.endpoints,
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Names the data folder over restarts; made at the first start. */
function installationOf(folder: string): string {
  const file = join(folder, 'installation');
  try {
    const text = readFileSync(file, 'utf8').trim();
    if (/^[0-9a-f-]{36}$/.test(text)) return text;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  const made = randomUUID();
  writeFileSync(file, `${made}\n`, { mode: 0o600 });
  return made;
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new ConfigError([`cannot make the data folder ${folder}: ${errorText(error)}`]);
  }
}

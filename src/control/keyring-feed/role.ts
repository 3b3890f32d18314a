/** What a control plane does for followers: it keeps Redis filled, and hears what they report. */
import type { Clock } from '../../lifecycle/clock.ts';
import { createRedisFollowers } from '../../store/keyring/redis-followers.ts';
import { createKeyringWriter } from '../../store/keyring/redis-writer.ts';
import type { Store } from '../../store/store.ts';
import type { Binding } from '../bindings.ts';
import type { LoadedConfig } from '../config/load.ts';
import { errorText, type Log } from '../log.ts';
import { startRepeating } from '../repeating.ts';
import { createFollowerCollector, type FollowerCollector } from './collector.ts';
import { openKeyringRedis } from './open-redis.ts';
import { createKeyringPublisher, type KeyringPublisher } from './publisher.ts';

export interface KeyringFeedRole {
  readonly publisher: KeyringPublisher;
  readonly collector: FollowerCollector;
  stop(): Promise<void>;
}

/** How often the journal is asked for what changed, milliseconds: a change is to reach every milter within a second. */
export const publishEvery = 150;
const collectEvery = 300;

/** Null where no Redis is configured, or this process does not reconcile. @throws ConfigError, StoreError for the keyrings' key. */
export function startKeyringFeedRole(
  loaded: LoadedConfig,
  {
    store,
    clock,
    log,
    env,
    bindings,
    mayAct,
  }: {
    readonly store: Store;
    readonly clock: Clock;
    readonly log: Log;
    readonly env: Readonly<Record<string, string | undefined>>;
    /** Followers are added to it. */
    readonly bindings: Binding[];
    readonly mayAct: () => boolean;
  },
): KeyringFeedRole | null {
  const { config } = loaded;
  if (!config.roles.reconcile) return null;
  const redis = openKeyringRedis(loaded, { env, mayMakeKey: true });
  if (redis === null) return null;
  const { link, layout, sealer } = redis;
  const publisher = createKeyringPublisher({ store, writer: createKeyringWriter(link, layout, sealer), clock, log });
  const followers = createRedisFollowers(link, layout, sealer, clock);
  const collector = createFollowerCollector({ store, followers, clock, log, instance: config.instance, bindings });
  const failed = (what: string) => (error: unknown) => log.error(what, { error: errorText(error) });
  const whenMay = (task: (signal: AbortSignal) => Promise<void>) => async (signal: AbortSignal) => {
    if (mayAct()) await task(signal);
  };
  const closers = [
    startRepeating(publishEvery, whenMay(publisher.tick), failed('keyrings-not-published')),
    startRepeating(collectEvery, whenMay(collector.tick), failed('followers-not-heard')),
  ];
  return {
    publisher,
    collector,
    async stop() {
      // What waits for a Redis that says nothing ends with the time that a command may take.
      await Promise.all(closers.map((close) => close()));
      await collector.release();
      await link.close();
    },
  };
}

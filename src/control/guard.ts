/**
 * Whether this process may act: its name is its own, and the store is the one that it knows. Everything that reaches for signers, DNS or
 * leases asks. What has been loaded goes on signing whatever the answer, for that is what it was when both were certain.
 */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../lifecycle/clock.ts';
import type { Store } from '../store/store.ts';
import { type LoadedConfig, pathBeside } from './config/load.ts';
import { lockInstance } from './instance-lock.ts';
import { heartbeat, InstanceTaken, startInstance } from './instances.ts';
import { openKeyringRedis } from './keyring-feed/open-redis.ts';
import { errorText, type Log, silentLog } from './log.ts';
import { redisWitness } from './redis-witness.ts';
import { startRepeating } from './repeating.ts';
import { fileWitness, olderText, type StoreAge, storeAge, type Witness, watchStore } from './witness.ts';

/** The store was put back from an old backup, or is another one: a person decides. */
export class StoreOlder extends Error {
  override readonly name = 'StoreOlder';
}

export interface Guard {
  /** Made at each start. */
  readonly boot: string;
  /** The store is the one that is known: what is read from it may be followed. */
  isTrusted(): boolean;
  /** And the name is this process's own: leases may be claimed, signers and DNS reached for. */
  mayAct(): boolean;
  stop(): Promise<void>;
}

export interface GuardOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Leases of an instance that died have been given back: there is work. */
  readonly onTakeover: () => void;
}

/** How often the newest entry of the journal is noted, milliseconds: a backup that is older than this is noticed. */
const noteEvery = 1000;
/** A node of a cluster may lag: what a start finds to be older is looked at again, milliseconds. */
const secondLook = 1500;

/** @throws InstanceTaken, StoreOlder, StoreError, or an Error naming a mark that cannot be read. */
export async function startGuard(
  loaded: LoadedConfig,
  { store, clock, log, env, onTakeover }: GuardOptions,
): Promise<Guard> {
  const { config, dataFolder } = loaded;
  const name = config.instance;
  const lock = lockInstance(dataFolder, name);
  if (lock === null) {
    throw new InstanceTaken(
      `another process runs as "${name}" on ${dataFolder}: stop it, or give this one another name with \`instance:\``,
    );
  }
  let closeWitnesses = async () => {};
  try {
    const { witnesses: all, close } = openWitnesses(loaded, { env, log });
    closeWitnesses = close;
    let age = await storeAge(store, all);
    if (age.kind === 'older') {
      await sleep(secondLook);
      age = await storeAge(store, all);
    }
    if (age.kind === 'older') throw new StoreOlder(olderText(age));

    const roles = Object.entries(config.roles).flatMap(([role, on]) => (on ? [role] : []));
    const facts = { host: hostname(), pid: process.pid, roles };
    const instance = await startInstance({ store, clock, log, name, facts, folder: dataFolder, onTakeover });
    const watch = watchStore(store, all, {
      now: () => clock.now(),
      onOlder: (advice) => log.error('store-older', { advice }),
    });
    const failed = (error: unknown) => log.error('journal-not-noted', { error: errorText(error) });
    const beating = startRepeating(heartbeat.every, () => instance.beat(), failed, heartbeat.every);
    const noting = startRepeating(noteEvery, () => watch.note(), failed);
    return {
      boot: instance.boot,
      isTrusted: watch.isTrusted,
      mayAct: () => instance.holds() && watch.isTrusted(),
      async stop() {
        await Promise.all([beating(), noting()]);
        await watch.note().catch(failed);
        await instance.release();
        await closeWitnesses();
        lock.release();
      },
    };
  } catch (error) {
    await closeWitnesses();
    lock.release();
    throw error;
  }
}

/** Where marks are kept by this configuration: the data folder, the folder of its `witness`, and Redis where keyrings lie there. */
export function openWitnesses(
  loaded: LoadedConfig,
  { env, log }: { readonly env: Readonly<Record<string, string | undefined>>; readonly log: Log },
): { readonly witnesses: readonly Witness[]; close(): Promise<void> } {
  const { config, dataFolder, file } = loaded;
  const elsewhere = config.witness === undefined ? [] : [pathBeside(file, config.witness)];
  const files = [dataFolder, ...elsewhere].map((folder) => fileWitness(folder, config.instance));
  const redis = openKeyringRedis(loaded, { env, mayMakeKey: true });
  const prefix = config.keyrings.redis?.prefix;
  if (redis === null || prefix === undefined) return { witnesses: files, close: async () => {} };
  const inRedis = redisWitness(redis.link, prefix, config.instance, log);
  return { witnesses: [...files, inRedis], close: () => redis.link.close() };
}

/** How old the store is, for commands. */
export async function currentAge(
  loaded: LoadedConfig,
  store: Store,
  env: Readonly<Record<string, string | undefined>>,
): Promise<StoreAge> {
  const { witnesses, close } = openWitnesses(loaded, { env, log: silentLog });
  try {
    return await storeAge(store, witnesses);
  } finally {
    await close();
  }
}

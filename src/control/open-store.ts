/** Opens the store of a configuration: its folder and key-encryption key are made on first use, its policies follow the file. */
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Clock } from '../lifecycle/clock.ts';
import { defaultPolicy } from '../lifecycle/policy.ts';
import { loadKeks } from '../store/kek.ts';
import { openStore as open } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { ConfigError, type LoadedConfig } from './config/load.ts';
import type { Actor } from './events.ts';
import { errorText } from './log.ts';
import { syncPolicies } from './operations.ts';

export interface OpenSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Who is written into the journal where policies change. */
  readonly actor: Actor;
}

/** @throws StoreError with advice, or ConfigError where the data folder cannot be made. */
export async function openStore(
  { config, dataFolder, kekFile }: LoadedConfig,
  { env, clock, actor }: OpenSurroundings,
): Promise<Store> {
  try {
    makeFolder(dataFolder);
  } catch (error) {
    throw new ConfigError([
      `cannot make the data folder ${dataFolder}: ${errorText(error)}; set \`data:\` to a folder that this user may write`,
    ]);
  }
  const path = join(dataFolder, 'keyturn.sqlite');
  // A key-encryption key made anew beside a store that another one sealed would only hide that the right one is lost.
  const keks = loadKeks({ file: kekFile, environment: env, mayMake: !existsSync(path) });
  const store = await open({ path, keks, clock });
  try {
    await syncPolicies({ store, clock, actor }, config.policies, defaultPolicy);
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

/** One folder after the other from the top: Node's own recursion never ends where a parent looks empty and refuses children, as below /proc. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  if (dirname(folder) !== folder) makeFolder(dirname(folder));
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    // Another process may have been first.
    if (!existsSync(folder)) throw error;
  }
}

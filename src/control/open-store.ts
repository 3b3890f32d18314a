/** Opens the store of a configuration: its folder and key-encryption key are made on first use, its policies follow the file. */
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Clock } from '../lifecycle/clock.ts';
import { defaultPolicy } from '../lifecycle/policy.ts';
import { readSecret, type SecretSetting } from '../settings/secret.ts';
import type { StoreDialect } from '../store/dialect.ts';
import { loadKeks } from '../store/kek.ts';
import { mysqlDialect } from '../store/mysql.ts';
import { openWith } from '../store/open.ts';
import { sqliteDialect } from '../store/sqlite.ts';
import type { Store } from '../store/store.ts';
import { ConfigError, type LoadedConfig, pathBeside } from './config/load.ts';
import type { StoreConfig } from './config/store-schema.ts';
import type { Actor } from './events.ts';
import { errorText } from './log.ts';
import { syncPolicies } from './operations.ts';

export interface OpenSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Who is written into the journal where policies change. */
  readonly actor: Actor;
}

/** How long another process's write lock on the file is waited for, in milliseconds. */
const LOCK_WAIT = 10_000;

/** @throws StoreError with advice, or ConfigError where the data folder cannot be made or the password cannot be read. */
export async function openStore(loaded: LoadedConfig, { env, clock, actor }: OpenSurroundings): Promise<Store> {
  const { config, kekFile } = loaded;
  makeDataFolder(loaded);
  // A key-encryption key made anew beside a store that another one sealed would only hide that the right one is lost.
  const keks = (made: boolean) => loadKeks({ file: kekFile, environment: env, mayMake: !made });
  const store = await openWith(storeDialect(loaded, env), keks, clock);
  try {
    await syncPolicies({ store, clock, actor }, config.policies, defaultPolicy);
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

/** @throws ConfigError */
export function makeDataFolder({ dataFolder }: LoadedConfig): void {
  try {
    makeFolder(dataFolder);
  } catch (error) {
    throw new ConfigError([
      `cannot make the data folder ${dataFolder}: ${errorText(error)}; set \`data:\` to a folder that this user may write`,
    ]);
  }
}

/** Where the configuration says that the database is. @throws ConfigError where the password cannot be read. */
export function storeDialect({ config, dataFolder, file }: LoadedConfig, env: OpenSurroundings['env']): StoreDialect {
  const { url, password, tls, socket, connections } = config.store;
  if (url === undefined) return sqliteDialect({ path: join(dataFolder, 'keyturn.sqlite'), lockWait: LOCK_WAIT });
  const path = (written: string) => pathBeside(file, written);
  return mysqlDialect({
    url,
    connections,
    ...(password === undefined ? {} : { password: passwordOf(password, path, env) }),
    ...(socket === undefined ? {} : { socket }),
    ...(tls === false ? {} : { tls: tls === true ? {} : tlsFiles(tls, path) }),
  });
}

function passwordOf(setting: SecretSetting, path: (written: string) => string, env: OpenSurroundings['env']): string {
  try {
    return readSecret(setting, { path, env });
  } catch (error) {
    throw new ConfigError([`store.password: ${errorText(error)}`]);
  }
}

function tlsFiles({ ca, cert, key, verify }: Exclude<StoreConfig['tls'], boolean>, path: (written: string) => string) {
  const named = Object.entries({ ca, cert, key }).flatMap(([name, written]) =>
    written === undefined ? [] : [[name, path(written)] as const],
  );
  return { verify, ...Object.fromEntries(named) };
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

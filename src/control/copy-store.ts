/** Names of stores on the command line, and the copy from one to the other. */
import { resolve } from 'node:path';
import type { Clock } from '../lifecycle/clock.ts';
import { type CopyReport, copyStore } from '../store/copy.ts';
import type { StoreDialect } from '../store/dialect.ts';
import { loadKeks } from '../store/kek.ts';
import { mysqlDialect } from '../store/mysql.ts';
import { openWith } from '../store/open.ts';
import { sqliteDialect } from '../store/sqlite.ts';
import { type LoadedConfig, loadConfig, type Surroundings } from './config/load.ts';
import type { Actor } from './events.ts';
import { storeDialect } from './open-store.ts';

export interface CopyRequest {
  /** The configuration in force: its key-encryption key opens both stores. */
  readonly loaded: LoadedConfig;
  /** As {@link placeDialect} reads it; null for the store in force. */
  readonly from: string | null;
  readonly to: string;
  readonly force: boolean;
  readonly actor: Actor;
  readonly clock: Clock;
  readonly surroundings: Surroundings;
  readonly progress?: (table: string, rows: number, of: number) => void;
}

/** Copies, and notes in the copy's journal where it came from. @throws StoreError, ConfigError */
export async function copyBetween(request: CopyRequest): Promise<CopyReport> {
  const { loaded, from, to, force, actor, clock, surroundings, progress } = request;
  const { env } = surroundings;
  const source = () => (from === null ? storeDialect(loaded, env) : placeDialect(from, 'FROM', surroundings));
  const target = () => placeDialect(to, 'TO', surroundings);
  const keks = loadKeks({ file: loaded.kekFile, environment: env, mayMake: false });
  const [here, there] = [source(), target()];
  const report = await copyStore({
    from: here,
    to: there,
    keks,
    now: clock.now(),
    force,
    ...(progress === undefined ? {} : { progress }),
  });
  await using store = await openWith(target(), keks, clock);
  const details = { from: here.place, entries: report.journal.entries };
  await store.journal.append([
    { actor: actor.name, source: actor.source, domain: null, kind: 'store-copied', details, at: clock.now() },
  ]);
  return report;
}

/**
 * The store that a text names: the `store` of a configuration (`*.yaml`), a database (`mysql://user@host/database`, its password in the
 * environment variable KEYTURN_FROM_PASSWORD or KEYTURN_TO_PASSWORD), or the path of a file.
 */
export function placeDialect(text: string, which: 'FROM' | 'TO', { env, workingFolder }: Surroundings): StoreDialect {
  if (/\.ya?ml$/i.test(text)) return storeDialect(loadConfig(text, { env, workingFolder }), env);
  if (/^[a-z]+:\/\//i.test(text)) {
    const password = env[`KEYTURN_${which}_PASSWORD`];
    return mysqlDialect({ url: text, ...(password === undefined ? {} : { password }) });
  }
  return sqliteDialect({ path: resolve(workingFolder, text), lockWait: 10_000 });
}

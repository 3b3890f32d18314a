/** Keeps a book in step with a keyring file: what is loaded changes only for a file that is good and newer. */
import { type FSWatcher, watch } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { KeyringBook } from './keyring-book.ts';
import { type ParsedKeys, readKeyringFile } from './keyring-file.ts';
import type { MilterLog } from './milter/log.ts';

export interface FollowOptions {
  readonly path: string;
  readonly book: KeyringBook;
  readonly log: MilterLog;
  /** Milliseconds between looks at the file's time, where the system does not tell of changes; 2000 by default. */
  readonly interval?: number;
}

export interface FollowedKeyringFile extends Disposable {
  readonly generation: number;
  /** Reads the file now; true where something new was loaded. */
  reload(): Promise<boolean>;
  stop(): void;
}

/**
 * Reads the file, then follows it. A broken file, or one with a lower generation, leaves what is loaded in place and is
 * told to the log once.
 * @throws Error naming every problem, where the first reading fails.
 */
export async function followKeyringFile(options: FollowOptions): Promise<FollowedKeyringFile> {
  const { path, book, log } = options;
  const keys: ParsedKeys = new Map();
  let generation = -1;
  let text = '';
  let stamp = '';
  let queue: Promise<unknown> = Promise.resolve();
  let stopped = false;

  /** What is wrong with the file, or null. */
  async function load(): Promise<string | null> {
    let read: string;
    try {
      const { mtimeMs, size, ino, mode } = await stat(path);
      const seen = `${mtimeMs} ${size} ${ino}`;
      if (seen !== stamp && (mode & 0o004) !== 0) {
        log('warn', `Keyring ${path}: everybody on this machine can read its private keys; chmod 640 it`);
      }
      stamp = seen;
      read = await readFile(path, 'utf8');
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    if (read === text) return null;
    const result = readKeyringFile(read, keys);
    if (!result.ok) return result.problems.join('; ');
    if (result.generation < generation) {
      return `its generation is ${result.generation}, lower than ${generation}, which is loaded; raise it`;
    }
    if (result.generation === generation) {
      log('warn', `Keyring ${path}: it changed, but its generation is still ${generation}; raise it with every change`);
    }
    const named = new Set(result.keyrings.map(({ domain }) => domain));
    const dropped = [...book.domains()].filter((domain) => !named.has(domain));
    book.replaceAll(result.keyrings);
    text = read;
    generation = result.generation;
    for (const warning of result.warnings) log('warn', `Keyring ${path}: ${warning}`);
    if (dropped.length > 0) {
      log(
        'warn',
        `Keyring ${path}: no longer signed: ${dropped.slice(0, 10).join(', ')}${dropped.length > 10 ? ' …' : ''}`,
      );
    }
    log('info', `Keyring ${path}: generation ${generation} loaded, ${result.keyrings.length} domains`);
    return null;
  }

  let lastProblem = '';
  function reload(): Promise<boolean> {
    const next = queue.then(async () => {
      if (stopped) return false;
      const before = book.version;
      const problem = await load();
      if (problem !== null && problem !== lastProblem) {
        log('error', `Keyring ${path}: ${problem}. Generation ${generation} stays in use.`);
      }
      lastProblem = problem ?? '';
      return book.version !== before;
    });
    queue = next.catch(() => undefined);
    return next;
  }

  const problem = await load();
  if (problem !== null) throw new Error(`Reading the keyring ${path}: ${problem}`);

  // The folder, since a file that is replaced by renaming is another file.
  const name = basename(path);
  let settle: NodeJS.Timeout | undefined;
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(dirname(path), (_event, changed) => {
      if (changed !== null && changed !== name) return;
      // Writers write in pieces: half a file is not worth an error line.
      clearTimeout(settle);
      settle = setTimeout(() => void reload(), 50);
    });
    watcher.on('error', () => watcher?.close());
  } catch {
    // Some file systems cannot be watched; the interval below is enough.
  }
  const timer = setInterval(async () => {
    const { mtimeMs, size, ino } = await stat(path).catch(() => ({ mtimeMs: 0, size: 0, ino: 0 }));
    if (`${mtimeMs} ${size} ${ino}` !== stamp) await reload();
  }, options.interval ?? 2000);

  const stop = (): void => {
    stopped = true;
    clearTimeout(settle);
    clearInterval(timer);
    watcher?.close();
  };
  return {
    get generation() {
      return generation;
    },
    reload,
    stop,
    [Symbol.dispose]: stop,
  };
}

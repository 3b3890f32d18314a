/**
 * What a signer has put where, kept beside it: which generation, which keys sign, which key files are ours. No private keys. One line a change,
 * so that what it costs grows with the change and not with the number of domains; the last line about a domain counts, and a line
 * that a crash tore apart counts as not written.
 */
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWhole } from './atomic.ts';
import type { PlacedKey } from './keys.ts';

export interface Entry {
  readonly domain: string;
  /** The generation that was last asked for, and the last one that was known to be loaded. */
  readonly asked: number;
  readonly loaded: number;
  /** Stream → fingerprints of the keys that sign it. */
  readonly streams: Readonly<Record<string, readonly string[]>>;
  /** By fingerprint: every key whose file is ours, signing or not. */
  readonly keys: Readonly<Record<string, Omit<PlacedKey, 'domain' | 'fingerprint'>>>;
}

export interface State {
  get(domain: string): Entry | undefined;
  entries(): IterableIterator<Entry>;
  /** Written and synced when it returns; `null` forgets the domain. */
  put(changes: ReadonlyMap<string, Entry | null>): Promise<void>;
}

/** @throws Error for a file that cannot be read. */
export async function openState(folder: string): Promise<State> {
  const path = join(folder, 'state.jsonl');
  const entries = new Map<string, Entry>();
  let lines = 0;
  for (const line of (await readIfThere(path)).split('\n')) {
    if (line === '') continue;
    lines += 1;
    const read = parse(line);
    if (read === null) continue;
    if ('gone' in read) entries.delete(read.domain);
    else entries.set(read.domain, read);
  }
  return {
    get: (domain) => entries.get(domain),
    entries: () => entries.values(),
    async put(changes) {
      if (changes.size === 0) return;
      if (lines > 1000 && lines > 3 * entries.size) {
        const all = [...entries.values()].map((entry) => `${JSON.stringify(entry)}\n`);
        await writeWhole(path, all.join(''), { mode: 0o600, uid: null, gid: null });
        lines = all.length;
      }
      const text = [...changes].map(([domain, entry]) => `${JSON.stringify(entry ?? { domain, gone: true })}\n`);
      const file = await open(path, 'a', 0o600);
      try {
        // A line end first: the line before may be a torn one.
        await file.appendFile(`\n${text.join('')}`);
        await file.datasync();
      } finally {
        await file.close();
      }
      lines += text.length;
      for (const [domain, entry] of changes) {
        if (entry === null) entries.delete(domain);
        else entries.set(domain, entry);
      }
    },
  };
}

function parse(line: string): Entry | { readonly domain: string; readonly gone: true } | null {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw new Error(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** What the signer must remember over restarts, a file a domain: what it last put in place, and which helper domains it put keys on. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A key on a helper domain that we put there ourselves (or were about to when we were interrupted). */
export interface Placed {
  readonly shadow: string;
  readonly selector: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

export interface Remembered {
  /** Of the keyring that was put in place last; 0 for none. */
  readonly generation: number;
  readonly selector: string | null;
  readonly publicKey: string | null;
  readonly placed: readonly Placed[];
}

const nothing: Remembered = { generation: 0, selector: null, publicKey: null, placed: [] };

export interface Memory {
  get(domain: string): Remembered;
  put(domain: string, change: Partial<Remembered>): void;
  forget(domain: string): void;
}

export function createMemory(folder: string): Memory {
  const known = new Map<string, Remembered>();
  const fileOf = (domain: string) => join(folder, `${encodeURIComponent(domain)}.json`);
  const memory: Memory = {
    get(domain) {
      const present = known.get(domain);
      if (present !== undefined) return present;
      const read = readRemembered(fileOf(domain));
      known.set(domain, read);
      return read;
    },
    put(domain, change) {
      const next = { ...memory.get(domain), ...change };
      const file = fileOf(domain);
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writeFileSync(`${file}.new`, JSON.stringify(next), { mode: 0o600, flush: true });
      renameSync(`${file}.new`, file);
      known.set(domain, next);
    },
    forget(domain) {
      rmSync(fileOf(domain), { force: true });
      known.delete(domain);
    },
  };
  return memory;
}

/** A file that is missing, or that a full disk cut short, says nothing: the signer then goes by what stands in mailcow. */
function readRemembered(file: string): Remembered {
  try {
    const { generation, selector, publicKey, placed } = JSON.parse(readFileSync(file, 'utf8')) as Partial<Remembered>;
    if (typeof generation !== 'number') return nothing;
    return {
      generation,
      selector: selector ?? null,
      publicKey: publicKey ?? null,
      placed: Array.isArray(placed) ? placed : [],
    };
  } catch {
    return nothing;
  }
}

/** What a signer must remember of each domain over restarts: a small file a domain, without private keys. */
import { hash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';

export interface DomainMemory<State> {
  get(domain: string): State;
  /** @throws Error where it cannot be written down; what is remembered is then as before. */
  put(domain: string, change: Partial<State>): void;
  forget(domain: string): void;
}

/** A file that is missing, or that a full disk cut short, says nothing: `initial` counts then. */
export function createDomainMemory<State extends object>(
  folder: string,
  schema: z.ZodType<State>,
  initial: State,
): DomainMemory<State> {
  const known = new Map<string, State>();
  const fileOf = (domain: string) => join(folder, `${fileNameOf(domain)}.json`);
  const read = (domain: string): State => {
    try {
      const parsed = schema.safeParse(JSON.parse(readFileSync(fileOf(domain), 'utf8')));
      return parsed.success ? parsed.data : initial;
    } catch {
      return initial;
    }
  };
  const memory: DomainMemory<State> = {
    get(domain) {
      const state = known.get(domain) ?? read(domain);
      known.set(domain, state);
      return state;
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

/** The longest name of a file is 255 octets, which a domain may need for itself: `.json.new` comes after it. */
const longestName = 200;

function fileNameOf(domain: string): string {
  const name = encodeURIComponent(domain);
  return name.length <= longestName ? name : `${name.slice(0, 100)}~${hash('sha256', domain, 'hex')}`;
}

/** The keys that stand in a program's files for a domain, ours and others', for taking them over. */
import type { FoundKey } from '../signer.ts';
import { readWhole } from './atomic.ts';
import type { PlacedKey } from './keys.ts';
import type { Layout } from './layout.ts';
import type { Tables } from './tables.ts';

/** Where somebody's key lies, by the tables. */
export interface Located {
  readonly selector: string;
  /** Path, or the key itself where the table holds it. */
  readonly key: string;
  readonly inUse: boolean;
}

export async function findKeys(
  domain: string,
  tables: Tables,
  ours: readonly PlacedKey[],
  { locate }: Layout,
): Promise<readonly FoundKey[]> {
  const located = locate === undefined ? ours.map(toLocated) : await locate(domain, tables);
  const found = new Map<string, FoundKey>();
  for (const { selector, key, inUse } of located) {
    const known = found.get(selector);
    if (known?.inUse === true) continue;
    const content = key.startsWith('/') ? await readWhole(key).catch(() => null) : Buffer.from(key);
    found.set(selector, { selector, privateKey: content?.toString('latin1') ?? null, inUse });
  }
  return [...found.values()];
}

function toLocated({ selector, file }: PlacedKey): Located {
  return { selector, key: file, inUse: true };
}

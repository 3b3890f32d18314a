/** Active keys with their private halves, a domain or a page of domains at a time. */

import { readTogether } from './again.ts';
import { padded } from './read.ts';
import type { Secrets } from './secrets.ts';
import type { StoredKeyring } from './store.ts';
import type { Db, KeyTable } from './tables.ts';

const DOMAINS_PER_READ = 128;

/** By name; domains that are not there are left out. */
export async function loadKeyrings(
  db: Db,
  secrets: Secrets,
  names: readonly string[],
): Promise<ReadonlyMap<string, StoredKeyring>> {
  const found = new Map<string, StoredKeyring>();
  for (let i = 0; i < names.length; i += DOMAINS_PER_READ) {
    const part = names.slice(i, i + DOMAINS_PER_READ);
    const keyrings = await readTogether(db, (trx) => readKeyrings(trx, secrets, part));
    for (const keyring of keyrings) found.set(keyring.domain, keyring);
  }
  return found;
}

export async function* allKeyrings(db: Db, secrets: Secrets): AsyncGenerator<StoredKeyring, void, void> {
  let after = '';
  for (;;) {
    const page = await readTogether(db, async (trx) => {
      const rows = await trx
        .selectFrom('domains')
        .select('name')
        .where('kind', '=', 'mail')
        .where('name', '>', after)
        .orderBy('name')
        .limit(DOMAINS_PER_READ)
        .execute();
      return await readKeyrings(
        trx,
        secrets,
        rows.map((row) => row.name),
      );
    });
    yield* page;
    const last = page.at(-1);
    if (!last) return;
    after = last.domain;
  }
}

async function readKeyrings(db: Db, secrets: Secrets, names: readonly string[]): Promise<readonly StoredKeyring[]> {
  if (names.length === 0) return [];
  const list = padded(names);
  const domains = await db
    .selectFrom('domains')
    .select(['name', 'generation', 'first_active_at', 'removing_at'])
    .where('name', 'in', list)
    .orderBy('name')
    .execute();
  const streams = await db
    .selectFrom('streams')
    .select(['domain', 'name'])
    .where('domain', 'in', list)
    .orderBy('ord')
    .execute();
  const keys = await db
    .selectFrom('keys')
    .selectAll()
    .where('domain', 'in', list)
    .where('state', '=', 'active')
    .orderBy('ord')
    .execute();
  const privateKeys = await secrets.load(db, keys);
  const shown = ({ id, selector, algorithm, bits }: KeyTable) => ({
    id,
    selector,
    algorithm,
    bits,
    pkcs8: privateKeys.get(id) ?? null,
  });
  const keysOf = Map.groupBy(keys, (key) => key.domain);
  const streamsOf = Map.groupBy(streams, (stream) => stream.domain);
  return domains.map((domain) => ({
    domain: domain.name,
    generation: domain.generation,
    // A domain that is being removed and has no key left is a signer's no more: its mail passes.
    mustSign: domain.first_active_at !== null && (domain.removing_at === null || keysOf.has(domain.name)),
    streams: (streamsOf.get(domain.name) ?? []).map(({ name }) => ({
      name,
      keys: (keysOf.get(domain.name) ?? []).filter((key) => key.stream === name).map(shown),
    })),
  }));
}

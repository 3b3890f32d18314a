/** Active keys with their private halves, a domain or a page of domains at a time. */

import { padded } from './read.ts';
import type { Secrets } from './secrets.ts';
import type { StoredKeyring } from './store.ts';
import type { Db, KeyTable } from './tables.ts';

const DOMAINS_PER_PAGE = 128;

export async function loadKeyring(db: Db, secrets: Secrets, domain: string): Promise<StoredKeyring | null> {
  const [keyring] = await db
    .transaction()
    .setAccessMode('read only')
    .execute((trx) => loadKeyrings(trx, secrets, [domain]));
  return keyring ?? null;
}

export async function* allKeyrings(db: Db, secrets: Secrets): AsyncGenerator<StoredKeyring, void, void> {
  let after = '';
  for (;;) {
    const page = await db
      .transaction()
      .setAccessMode('read only')
      .execute(async (trx) => {
        const rows = await trx
          .selectFrom('domains')
          .select('name')
          .where('kind', '=', 'mail')
          .where('name', '>', after)
          .orderBy('name')
          .limit(DOMAINS_PER_PAGE)
          .execute();
        return await loadKeyrings(
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

async function loadKeyrings(db: Db, secrets: Secrets, names: readonly string[]): Promise<readonly StoredKeyring[]> {
  if (names.length === 0) return [];
  const list = padded(names);
  const domains = await db
    .selectFrom('domains')
    .select(['name', 'generation', 'first_active_at'])
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
  return domains.map((domain) => ({
    domain: domain.name,
    generation: domain.generation,
    mustSign: domain.first_active_at !== null,
    streams: streams
      .filter((stream) => stream.domain === domain.name)
      .map(({ name }) => ({
        name,
        keys: keys.filter((key) => key.domain === domain.name && key.stream === name).map(shown),
      })),
  }));
}

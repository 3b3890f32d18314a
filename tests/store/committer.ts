/**
 * A process that looks at domains again and again, to be killed at any moment: `node committer.ts PLACE KEKFILE OWNER LEASE_MS`, where
 * PLACE is a file or the address of a MySQL database.
 * Every look adds one to the domain's generation and writes one event; once it is committed, its line goes to stdout.
 */
import { writeSync } from 'node:fs';
import { loadKeks } from '../../src/store/kek.ts';
import { openMysqlStore, openStore } from '../../src/store/open.ts';
import { plainKey } from './arbitraries.ts';
import { edPair, event } from './support.ts';

const [place = '', kekFile = '', owner = '', leaseMs = ''] = process.argv.slice(2);
const keks = loadKeks({ file: kekFile });
await using store = await (place.startsWith('mysql:')
  ? openMysqlStore({ url: place, keks })
  : openStore({ path: place, keks }));
writeSync(1, 'ready\n');
for (;;) {
  const claims = await store.claimDue({ now: Date.now(), limit: 4, owner, leaseMs: Number(leaseMs) });
  // Fast enough to be caught in the middle, slow enough that what piles up is read in a moment.
  await new Promise((resolve) => setTimeout(resolve, claims.length === 0 ? 2 : 8));
  await Promise.all(
    claims.map(async (claim) => {
      const stored = await store.snapshot(claim.name);
      if (!stored) return;
      const { snapshot, version } = stored;
      const generation = snapshot.domain.generation + 1;
      const id = `${claim.name}-${generation}`;
      const pair = generation % 5 === 0 ? edPair() : undefined;
      const keys = pair ? [...snapshot.keys.slice(-3), plainKey(id, { publicKey: pair.publicKey })] : snapshot.keys;
      const result = await store.commit(
        { claim, version },
        {
          before: snapshot,
          after: { ...snapshot, keys, domain: { ...snapshot.domain, generation } },
          events: [event(claim.name, 'looked', { generation, owner })],
          nextLookAt: Date.now(),
          release: true,
          secrets: pair ? [{ keyId: id, from: 'der', pkcs8: pair.pkcs8 }] : [],
        },
      );
      writeSync(
        1,
        `${result.kind === 'committed' ? 'committed' : `stale-${result.kind === 'stale' ? result.why : ''}`} ${claim.name} ${generation}\n`,
      );
    }),
  );
}

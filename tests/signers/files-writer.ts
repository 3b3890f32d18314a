/**
 * Hands one keyring after another to a signer of files, until it is killed: `node files-writer.ts FOLDER GENERATION`. The keys are those that FOLDER/keys.json
 * holds, two at a time; each domain's turn is written to standard output when it has been acknowledged.
 */
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { filesKind } from '../../src/signers/files/kind.ts';
import { filesSettings } from './files-settings.ts';

const [folder = '', first = '1'] = process.argv.slice(2);
const pems: readonly string[] = JSON.parse(readFileSync(join(folder, 'keys.json'), 'utf8'));
const signer = await filesKind.create(filesSettings(folder), {
  id: 'files@test',
  clock: systemClock,
  log: () => undefined,
  folder: join(folder, 'state'),
  readSecret: () => '',
  path: (written) => written,
});
const domains = ['a.test', 'b.test', 'c.test'];
for (let generation = Number(first); ; generation++) {
  const keys = [0, 1].map((more) => {
    const index = (generation + more) % pems.length;
    const privateKey = createPrivateKey(pems[index] ?? '');
    return { selector: `s${index}`, algorithm: 'rsa-sha256', privateKey, entered: generation + more } as const;
  });
  const deliveries = domains.map((domain) =>
    signer.deliver({ domain, generation, mustSign: true, streams: { default: keys }, others: [] }),
  );
  for (const delivery of await Promise.all(deliveries)) {
    if (delivery.kind !== 'acknowledged') throw new Error(JSON.stringify(delivery));
  }
  for (const domain of domains)
    await signer.inspect?.({ domain, generation, mustSign: true, streams: { default: keys }, others: [] });
  process.stdout.write(`${generation}\n`);
}

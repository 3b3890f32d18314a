/** The endpoint alone in a process, with keyrings of many domains; it says its port on a line and serves until it is killed. */
import { generateKeyPairSync } from 'node:crypto';
import { systemClock } from '../../src/lifecycle/clock.ts';
import type { Keyring, KeyringKey } from '../../src/signers/keyring.ts';
import { createVaultSigner } from '../../src/signers/rspamd-vault/signer.ts';

const domains = Number(process.argv[2]);
const token = process.argv[3] ?? '';

/** A few pairs, used again and again: making 10,000 would take minutes and change nothing of what is measured. */
const rsa = Array.from({ length: 8 }, () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
const ed25519 = Array.from({ length: 8 }, () => generateKeyPairSync('ed25519').privateKey);

async function* keyrings(): AsyncGenerator<Keyring> {
  for (let n = 0; n < domains; n++) {
    const keys: KeyringKey[] = [];
    const [one, two] = [rsa[n % rsa.length], ed25519[n % ed25519.length]];
    if (one !== undefined) keys.push({ selector: 'r1', algorithm: 'rsa-sha256', privateKey: one });
    if (two !== undefined) keys.push({ selector: 'e1', algorithm: 'ed25519-sha256', privateKey: two });
    yield { domain: `d${n}.example`, generation: 1, mustSign: true, streams: { default: keys } };
  }
}

const signer = createVaultSigner(
  {
    listen: ['inet:127.0.0.1:0'],
    socketMode: 0o600,
    readers: [{ token, domains: ['*'] }],
    paths: new Map([['dkim', 'default']]),
    ed25519: 'seed',
    tls: null,
    probe: null,
  },
  { id: 'vault', clock: systemClock, log: () => {} },
);
await signer.load?.(keyrings());
process.stdout.write(`${signer.endpoints()[0]?.split(':').at(-1)}\n`);

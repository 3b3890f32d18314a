/** From the store's keyring to the signers': private keys become KeyObjects here and nowhere else. */
import { createPrivateKey } from 'node:crypto';
import type { Keyring, KeyringKey } from '../signers/keyring.ts';
import type { StoredKeyring } from '../store/store.ts';

/** @throws where a private half is not a key; the error never holds the key. */
export function toKeyring({ domain, generation, mustSign, streams }: StoredKeyring): Keyring {
  return {
    domain,
    generation,
    mustSign,
    streams: Object.fromEntries(
      streams.map(({ name, keys }) => [
        name,
        keys.flatMap(({ selector, algorithm, pkcs8 }): KeyringKey[] => {
          if (pkcs8 === null) return [];
          const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
          return [{ selector, algorithm: algorithm === 'rsa' ? 'rsa-sha256' : 'ed25519-sha256', privateKey }];
        }),
      ]),
    ),
  };
}

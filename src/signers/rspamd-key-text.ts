/** Private keys in the forms that rspamd reads: RSA as PEM, Ed25519 as the base64 of its seed. What is given back is a secret. */
import type { KeyObject } from 'node:crypto';
import { ed25519Seed, exportPrivateKeyPem } from '../dkim/key-pair.ts';

/**
 * `seed` is read by every rspamd. `pem` is read from 3.13.2 on; an older one cannot load an Ed25519 key in PEM, and writes the whole text of
 * it into its log.
 */
export type Ed25519Form = 'seed' | 'pem';

export function rspamdKeyText(privateKey: KeyObject, ed25519: Ed25519Form = 'seed'): string {
  return privateKey.asymmetricKeyType === 'ed25519' && ed25519 === 'seed'
    ? ed25519Seed(privateKey).toString('base64')
    : exportPrivateKeyPem(privateKey);
}

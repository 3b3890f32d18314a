/** The active keys of one domain, as a signer needs them. Private keys are used as KeyObjects, never as text. */
import type { KeyObject } from 'node:crypto';

export interface KeyringKey {
  readonly selector: string;
  readonly algorithm: 'rsa-sha256' | 'ed25519-sha256';
  /** May be parsed at its first use, and throw then. */
  readonly privateKey: KeyObject;
}

export interface Keyring {
  readonly domain: string;
  /** Of the domain; grows with every change of its active set. */
  readonly generation: number;
  /** True from the domain's first activation on: mail that cannot be signed is then tempfailed, never passed. */
  readonly mustSign: boolean;
  /** Stream name → the keys that sign it, all of them. `default` is always there. */
  readonly streams: Readonly<Record<string, readonly KeyringKey[]>>;
}

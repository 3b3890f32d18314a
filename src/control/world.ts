/** Everything outside the store that a look may touch. Put together once, when the server starts; faked in tests. */
import type { Expected } from '../dns/lookup/judge.ts';
import type { Proof } from '../dns/lookup/proof.ts';
import type { Publisher } from '../dns/publish/publisher.ts';
import type { KeyAlgorithm, KeyView, RecordKind } from '../lifecycle/types.ts';
import type { Signer } from '../signers/signer.ts';
import type { NewSecret } from '../store/store.ts';
import type { Binding } from './bindings.ts';

/** A new key pair: its public half, and where the private half lies until it is stored under a key's id. */
export interface KeyPairOffer {
  readonly publicKey: string;
  readonly secret: (keyId: string) => NewSecret;
}

export interface World {
  /** Who writes the records of this domain. */
  publisherOf(domain: string): Publisher;
  /** What every authoritative server (and resolver, where configured) says of the record at `name`. Throws only when `signal` ends it. */
  prove(name: string, expected: Expected, signal: AbortSignal): Promise<Proof>;
  /** The signers that this process reaches, by id. */
  readonly signers: ReadonlyMap<string, Signer>;
  /** What each signer is to sign; also of signers that only other processes reach, such as agents. */
  readonly bindings: readonly Binding[];
  keyPair(algorithm: KeyAlgorithm, bits: number): Promise<KeyPairOffer>;
  newKeyId(): string;
  /** The text of the key's record; null for no record. */
  recordText(key: Pick<KeyView, 'algorithm' | 'publicKey'>, kind: RecordKind): string | null;
  /**
   * A record that stands at the name already; null for none. Left out where nothing can stand there that the store does not know: only one
   * that was put back from a backup has forgotten selectors.
   */
  standsAt?(name: string, signal: AbortSignal): Promise<string | null>;
}

/** Where a key's record stands (RFC 6376 section 3.6.2.1). */
export function recordName(selector: string, domain: string): string {
  return `${selector}._domainkey.${domain}`;
}

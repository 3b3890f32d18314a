/** The active keys of one domain, as a signer needs them. Private keys are used as KeyObjects, never as text. */
import type { KeyObject } from 'node:crypto';

export interface KeyringKey {
  readonly selector: string;
  readonly algorithm: 'rsa-sha256' | 'ed25519-sha256';
  /** May be parsed at its first use, and throw then. */
  readonly privateKey: KeyObject;
  /** Grows with each change of the active set: of two keys the one with the greater number entered later. Left out: not known. */
  readonly entered?: number;
}

/** An active key that was made at a signer which does not give its private half away: only that signer can sign with it. */
export interface HeldKey {
  readonly selector: string;
  readonly algorithm: 'rsa-sha256' | 'ed25519-sha256';
  /** Contents of the record's `p=` tag. */
  readonly publicKey: string;
  readonly entered: number;
}

/** A key of the domain that does not sign (any more, or yet). */
export interface OtherKey {
  readonly selector: string;
  /** Contents of the record's `p=` tag. */
  readonly publicKey: string;
  /** `retiring`: mail that it signed is on its way; a signer that reads key and selector apart keeps its private half until that is over. */
  readonly state: 'created' | 'published' | 'standby' | 'retiring' | 'revoked' | 'removed';
}

export interface Keyring {
  readonly domain: string;
  /** Of the domain; grows with every change of its active set. */
  readonly generation: number;
  /** True from the domain's first activation on: mail that cannot be signed is then tempfailed, never passed. */
  readonly mustSign: boolean;
  /** Stream name → the keys that sign it, all of them; only streams that the signer signs, and only algorithms that it can sign with. */
  readonly streams: Readonly<Record<string, readonly KeyringKey[]>>;
  /** Stream name → active keys without a private half; see {@link HeldKey}. Signers that make no keys themselves pass over them. */
  readonly held?: Readonly<Record<string, readonly HeldKey[]>>;
  /** Every other key that we have, or had, under the domain: what a signer finds there and is none of these was put there by somebody else. */
  readonly others?: readonly OtherKey[];
  /** It was decided that what somebody else put there is written over: `deliver` does not answer `drifted`. */
  readonly overwrite?: boolean;
}

/** The keys of a stream that a signer signs with which can sign with `atMost`: those that entered last, the latest first. */
export function latestKeys(keys: readonly KeyringKey[], atMost: number | null): readonly KeyringKey[] {
  const latestFirst = keys.toSorted((a, b) => (b.entered ?? 0) - (a.entered ?? 0));
  return atMost === null ? latestFirst : latestFirst.slice(0, atMost);
}

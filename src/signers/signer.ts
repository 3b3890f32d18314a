/** What signs mail: it is given keyrings with a growing generation and acknowledges the generation that it has really loaded. */
import type { SignerAbilities } from '../lifecycle/types.ts';
import type { Keyring, OtherKey } from './keyring.ts';

export type Delivery =
  /** Loaded: mail that arrives from now on is signed by this generation. */
  | { readonly kind: 'acknowledged'; readonly generation: number }
  /** Handed over, not known to be loaded yet: ask again later. */
  | { readonly kind: 'pending'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string }
  /** Nothing was written: what stands there is nothing that we put there. A person decides; see {@link Inspection}. */
  | { readonly kind: 'drifted'; readonly message: string };

export type SelfTest =
  /** The signer signed a test message with the key and the signature verified against the key's public half. */
  { readonly kind: 'signed' } | { readonly kind: 'failed'; readonly message: string };

/** What stands at the signer, compared with what the domain's keyring says. Messages are whole sentences without key material. */
export type Inspection =
  | { readonly kind: 'as-delivered' }
  /** What we put there is gone, in part or whole, and nothing is in its place: it is put back without asking. */
  | { readonly kind: 'lost'; readonly message: string }
  /** Somebody put something else there. */
  | { readonly kind: 'changed'; readonly message: string }
  /** It cannot be looked at: says nothing. */
  | { readonly kind: 'unknown'; readonly message: string };

/** A key that stands at a signer, for taking it over. */
export interface FoundKey {
  readonly selector: string;
  /** PEM, base64 DER or an Ed25519 seed: whatever `importPrivateKey` reads. Null where the signer does not give it away. */
  readonly privateKey: string | null;
  /** The signer signs with it now, as far as it can tell. */
  readonly inUse: boolean;
}

/** A key pair that a signer made. */
export interface MadeKey {
  /** Contents of the record's `p=` tag. */
  readonly publicKey: string;
  /** As in {@link FoundKey}; null where the signer keeps it to itself. */
  readonly privateKey: string | null;
}

export interface Signer {
  /** Names the signer in every domain's snapshot; the same over restarts. */
  readonly id: string;
  readonly kind: string;
  /** Left out: any number of keys of every algorithm. */
  readonly abilities?: SignerAbilities;
  /**
   * Called once, before anything else is asked of the signer, with every keyring that it is to have: one that serves keyrings from memory
   * opens its sockets when all are in place, and not before. `entered` and `others` are left out. Left out where the signer keeps what
   * it was given.
   * @throws Error naming the socket that cannot be opened.
   */
  load?(keyrings: AsyncIterable<Keyring>): Promise<void>;
  /** Idempotent; an older generation than the loaded one is never put in place of it. */
  deliver(keyring: Keyring): Promise<Delivery>;
  /**
   * Drops the domain from the signer: its mail is no longer ours, and none of our keys signs it from then on. `ours`: the keys that the
   * signer may have of us, where they are known; another instance may have handed them over.
   */
  forget(domain: string, ours?: readonly OtherKey[]): Promise<void>;
  selfTest(domain: string, stream: string, selector: string): Promise<SelfTest>;
  /**
   * Compares what is there with the keyring (by content, whatever the generation), and takes away leftovers of its own: private halves of
   * keys that neither sign nor retire any more. Changes nothing else. Left out where nobody else can change what the signer has.
   */
  inspect?(keyring: Keyring): Promise<Inspection>;
  /**
   * Makes the domain's next key at the signer, under this selector, and changes nothing in what signs. Asked again for a selector that it
   * has made a key for, it gives the same key. Left out where keys are given to the signer, as is usual.
   * @throws Error in words, where no key can be made.
   */
  makeKey?(domain: string, wanted: { readonly selector: string; readonly bits: number }): Promise<MadeKey>;
  /** The keys that stand at the signer for this domain, ours and others'. */
  found?(domain: string): Promise<readonly FoundKey[]>;
  /** Signatures seen on real mail since the last call: the newest per key, epoch milliseconds. */
  takeSignaturesSeen?(): ReadonlyArray<{
    readonly domain: string;
    readonly selector: string;
    readonly at: number;
    readonly count: number;
  }>;
  close?(): Promise<void>;
}

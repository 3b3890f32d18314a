/** What signs mail: it is given keyrings with a growing generation and acknowledges the generation that it has really loaded. */
import type { Keyring } from './keyring.ts';

export type Delivery =
  /** Loaded: mail that arrives from now on is signed by this generation. */
  | { readonly kind: 'acknowledged'; readonly generation: number }
  /** Handed over, not known to be loaded yet: ask again later. */
  | { readonly kind: 'pending'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string };

export type SelfTest =
  /** The signer signed a test message with the key and the signature verified against the key's public half. */
  { readonly kind: 'signed' } | { readonly kind: 'failed'; readonly message: string };

export interface Signer {
  readonly id: string;
  readonly kind: string;
  /** Idempotent; an older generation than the loaded one is never put in place of it. */
  deliver(keyring: Keyring): Promise<Delivery>;
  /** Drops the domain from the signer: its mail is no longer ours. */
  forget(domain: string): Promise<void>;
  selfTest(domain: string, stream: string, selector: string): Promise<SelfTest>;
  /** Signatures seen on real mail since the last call: the newest per key, epoch milliseconds. */
  takeSignaturesSeen?(): ReadonlyArray<{
    readonly domain: string;
    readonly selector: string;
    readonly at: number;
    readonly count: number;
  }>;
  close?(): Promise<void>;
}

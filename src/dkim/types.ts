/** The words of the standard that its rooms share. */
import type { KeyObject } from 'node:crypto';

export type KeyAlgorithm = 'rsa' | 'ed25519';
/** RFC 8301 section 3.1 and RFC 8463 section 3; rsa-sha1 is never signed. */
export type SigningAlgorithm = 'rsa-sha256' | 'ed25519-sha256';
export type Canonicalization = 'simple' | 'relaxed';

/**
 * A header field as received: `raw` is the whole field, name, colon, value and inner folds (CRLF, or LF as milters write
 * them), without the final line end. White space after `name` does no harm.
 */
export interface HeaderField {
  readonly name: string;
  readonly raw: Uint8Array;
}

/** A key ready to sign: its KeyObject is made once and never parsed per message. */
export interface SigningKey {
  readonly domain: string;
  readonly selector: string;
  readonly algorithm: SigningAlgorithm;
  readonly privateKey: KeyObject;
}

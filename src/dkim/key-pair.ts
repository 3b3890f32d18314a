/** Key pairs: made, written as PEM or seed, and their public half as it stands in `p=` (RFC 6376 3.6.1, RFC 8463 section 4). */
import { createPrivateKey, createPublicKey, generateKeyPair as generate, type KeyObject } from 'node:crypto';
import { decodeBase64 } from './base64.ts';
import type { KeyAlgorithm } from './types.ts';

export type KeySpec =
  | { readonly algorithm: 'rsa'; readonly bits: 2048 | 3072 | 4096 }
  | { readonly algorithm: 'ed25519' };

export interface KeyPair {
  readonly algorithm: KeyAlgorithm;
  /** Length of the modulus; 256 for Ed25519. */
  readonly bits: number;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** RFC 8301 section 3.2: verifiers must not use shorter RSA keys, signers should use 2048 bits or more. */
export const shortestUsableRsa = 1024;
export const shortestStrongRsa = 2048;

/** Makes a key pair on the thread pool: milliseconds for Ed25519, a tenth of a second or more for RSA. */
export function generateKeyPair(spec: KeySpec): Promise<KeyPair> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, publicKey: KeyObject, privateKey: KeyObject): void => {
      if (error) reject(error);
      else resolve(keyPairOf(privateKey, publicKey));
    };
    if (spec.algorithm === 'rsa') generate('rsa', { modulusLength: spec.bits, publicExponent: 0x10001 }, done);
    else generate('ed25519', {}, done);
  });
}

/** The pair of a private RSA or Ed25519 key. Throws a TypeError for keys of any other type. */
export function keyPairOf(privateKey: KeyObject, publicKey: KeyObject = createPublicKey(privateKey)): KeyPair {
  return { algorithm: keyAlgorithm(privateKey), bits: keyBits(privateKey), privateKey, publicKey };
}

export function keyAlgorithm(key: KeyObject): KeyAlgorithm {
  const type = key.asymmetricKeyType;
  if (type !== 'rsa' && type !== 'ed25519') throw new TypeError(`DKIM has no keys of type ${type ?? 'secret'}`);
  return type;
}

/** The modulus's length for RSA, 256 for Ed25519; of a private or a public key. */
export function keyBits(key: KeyObject): number {
  return keyAlgorithm(key) === 'ed25519' ? 256 : (key.asymmetricKeyDetails?.modulusLength ?? 0);
}

/** PKCS#8 in PEM: what OpenSSL, OpenDKIM and rspamd read for RSA. The text is a secret. */
export function exportPrivateKeyPem(privateKey: KeyObject): string {
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** The 32-octet seed (RFC 8032 section 5.1.5), the form in which rspamd and dkimpy take Ed25519 keys (as base64). A secret. */
export function ed25519Seed(privateKey: KeyObject): Buffer {
  if (privateKey.asymmetricKeyType !== 'ed25519') throw new TypeError('only Ed25519 keys have a seed');
  return Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
}

/** PKCS#8 of an Ed25519 key is this and the seed (RFC 8410 section 7). */
const ed25519Pkcs8Start = Buffer.from('302e020100300506032b657004220420', 'hex');
/** SubjectPublicKeyInfo of an Ed25519 key is this and the 32 octets (RFC 8410 section 4). */
const ed25519SpkiStart = Buffer.from('302a300506032b6570032100', 'hex');

/** Throws a RangeError unless the seed has 32 octets. */
export function privateKeyFromSeed(seed: Uint8Array): KeyObject {
  if (seed.length !== 32) throw new RangeError(`an Ed25519 seed has 32 octets, not ${seed.length}`);
  return createPrivateKey({ key: Buffer.concat([ed25519Pkcs8Start, seed]), format: 'der', type: 'pkcs8' });
}

/** The value of `p=`: base64 of SubjectPublicKeyInfo for RSA, of the bare 32 octets for Ed25519. Takes either half. */
export function publicKeyData(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const algorithm = keyAlgorithm(publicKey);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return (algorithm === 'rsa' ? spki : spki.subarray(ed25519SpkiStart.length)).toString('base64');
}

export type PublicKeyResult =
  | {
      readonly ok: true;
      readonly key: KeyObject;
      readonly bits: number;
      /** The bare RSAPublicKey that RFC 6376's text names, instead of the SubjectPublicKeyInfo that everybody writes. */
      readonly bareRsa: boolean;
    }
  | {
      readonly ok: false;
      readonly reason: 'bad-base64' | 'undecodable' | 'other-algorithm';
    };

/** Reads a value of `p=`, white space already removed. Never throws. */
export function publicKeyFromData(algorithm: KeyAlgorithm, data: string): PublicKeyResult {
  const octets = decodeBase64(data);
  if (octets === undefined || octets.length === 0) return { ok: false, reason: 'bad-base64' };
  const bare = algorithm === 'ed25519' && octets.length === 32;
  const spki = readPublicKey(bare ? Buffer.concat([ed25519SpkiStart, octets]) : octets, 'spki');
  const key = spki ?? (algorithm === 'rsa' ? readPublicKey(octets, 'pkcs1') : undefined);
  if (key === undefined) return { ok: false, reason: octets.length === 32 ? 'other-algorithm' : 'undecodable' };
  if (key.asymmetricKeyType !== algorithm) return { ok: false, reason: 'other-algorithm' };
  // RFC 8463 section 4 wants the bare octets: a verifier cannot use an Ed25519 key inside a SubjectPublicKeyInfo.
  if (algorithm === 'ed25519' && !bare) return { ok: false, reason: 'undecodable' };
  return { ok: true, key, bits: keyBits(key), bareRsa: spki === undefined };
}

function readPublicKey(octets: Buffer, type: 'spki' | 'pkcs1'): KeyObject | undefined {
  try {
    return createPublicKey({ key: octets, format: 'der', type });
  } catch {
    return undefined;
  }
}

/**
 * Sealing at rest: AES-256-GCM under a key-encryption key (KEK) that the database never holds. What a sealed value is
 * and where it stands is authenticated with it, so that a sealed key moved to another row does not open.
 *
 * Envelope: version (1 octet, 1) ‖ KEK id (8) ‖ nonce (12, random) ‖ tag (16) ‖ ciphertext.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { StoreError } from './errors.ts';

const VERSION = 1;
const ID_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + ID_BYTES;
const OVERHEAD = HEADER_BYTES + NONCE_BYTES + TAG_BYTES;

/** A key-encryption key; `id` is the beginning of its hash, in hexadecimal, and tells nothing about it. */
export interface Kek {
  readonly id: string;
  readonly key: KeyObject;
}

/** The KEK that seals, and those that still open what was sealed before. */
export interface Keks {
  readonly current: Kek;
  readonly old: readonly Kek[];
}

/** What a sealed value is and where it stands. */
export interface Place {
  readonly purpose: 'private-key' | 'pool' | 'journal-key';
  readonly domain: string;
  readonly selector: string;
  readonly id: string;
}

export function kekFrom(key: Uint8Array): Kek {
  if (key.length !== 32) {
    throw new StoreError(
      'bad-kek',
      `A key-encryption key has 32 bytes, this one ${key.length}.`,
      'Make one with: openssl rand -base64 32',
    );
  }
  const id = createHash('sha256')
    .update('keyturn key-encryption key\0')
    .update(key)
    .digest('hex')
    .slice(0, ID_BYTES * 2);
  return { id, key: createSecretKey(key) };
}

export function seal(keks: Keks, place: Place, plain: Uint8Array): Buffer {
  const header = Buffer.concat([Buffer.of(VERSION), Buffer.from(keks.current.id, 'hex')]);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keks.current.key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData(header, place));
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([header, nonce, cipher.getAuthTag(), body]);
}

/** Throws `StoreError` `wrong-kek` when it was sealed under a KEK that we do not have, `unsealed` when it was altered or moved. */
export function unseal(keks: Keks, place: Place, sealed: Uint8Array): Buffer {
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  const where = [place.purpose, place.domain, place.selector, place.id].filter((part) => part !== '').join(' ');
  if (bytes.length < OVERHEAD || bytes[0] !== VERSION) {
    throw new StoreError(
      'unsealed',
      `The sealed value of ${where} is not in a form that this Keyturn knows.`,
      'Restore it from a backup.',
    );
  }
  const header = bytes.subarray(0, HEADER_BYTES);
  const id = header.subarray(1).toString('hex');
  const kek = [keks.current, ...keks.old].find((k) => k.id === id);
  if (!kek) {
    throw new StoreError(
      'wrong-kek',
      `What is sealed for ${where} needs the key-encryption key ${id}; at hand is ${keks.current.id}.`,
      'Bring back the key file (or KEYTURN_KEK) that belongs to this store, or name it as an old key.',
    );
  }
  const nonce = bytes.subarray(HEADER_BYTES, HEADER_BYTES + NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', kek.key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(associatedData(header, place));
  decipher.setAuthTag(bytes.subarray(HEADER_BYTES + NONCE_BYTES, OVERHEAD));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(OVERHEAD)), decipher.final()]);
  } catch (error) {
    throw new StoreError(
      'unsealed',
      `What is sealed for ${where} does not open: it was altered, or moved from another place.`,
      'Restore it from a backup, and find out who writes to the database.',
      error,
    );
  }
}

/** Each part with its length before it: no two places have the same octets. */
function associatedData(header: Uint8Array, place: Place): Buffer {
  const parts = ['keyturn', place.purpose, place.domain, place.selector, place.id].flatMap((part) => {
    const text = Buffer.from(part, 'utf8');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(text.length);
    return [length, text];
  });
  return Buffer.concat([header, ...parts]);
}

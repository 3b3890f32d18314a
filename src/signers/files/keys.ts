/** Keys as they stand in files: what a signer knows of each, which file it lies in, and in which form. */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { importPrivateKey } from '../../dkim/import-key.ts';
import { ed25519Seed, exportPrivateKeyPem, publicKeyData } from '../../dkim/key-pair.ts';
import type { KeyringKey } from '../keyring.ts';
import type { Template, Values } from './template.ts';

/** A key without its private half. */
export interface PlacedKey {
  readonly domain: string;
  readonly stream: string;
  readonly selector: string;
  readonly algorithm: 'rsa' | 'ed25519';
  /** Of the public half: what makes names of files and lines the key's own, also where a selector is used again. */
  readonly fingerprint: string;
  /** Absolute path. */
  readonly file: string;
  /** Contents of `p=`. */
  readonly publicKey: string;
}

export type KeyFormat = 'pkcs8' | 'pkcs1' | 'der' | 'seed';

export const pathNames = ['domain', 'selector', 'algorithm', 'stream', 'fingerprint'] as const;
/** What may stand in a line about one key. */
export const keyNames = [...pathNames, 'file', 'id', 'publicKey', 'record'] as const;

export function fingerprintOf(publicKey: string): string {
  return createHash('sha256').update(publicKey).digest('hex').slice(0, 16);
}

/** @throws Error where the selector would lead out of its folder. */
export function placeKey(
  path: Template,
  key: Pick<PlacedKey, 'domain' | 'stream' | 'selector' | 'algorithm'> & { readonly publicKey: string },
): PlacedKey {
  const { domain, selector } = key;
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,200}$/.test(selector) || !/^[a-z0-9_][a-z0-9._-]*$/.test(domain))
    throw new Error(`${selector}._domainkey.${domain} is no name for a file`);
  const fingerprint = fingerprintOf(key.publicKey);
  const file = path.fill({ domain, selector, algorithm: key.algorithm, stream: key.stream, fingerprint });
  return { ...key, fingerprint, file };
}

export function algorithmOf({ algorithm }: KeyringKey): 'rsa' | 'ed25519' {
  return algorithm === 'rsa-sha256' ? 'rsa' : 'ed25519';
}

/** `p=` of a bare Ed25519 key has 44 characters, of any RSA key far more. */
export function algorithmOfPublicKey(publicKey: string): 'rsa' | 'ed25519' {
  return publicKey.length <= 60 ? 'ed25519' : 'rsa';
}

/** The values that lines of tables may name. */
export function valuesOf(key: PlacedKey): Values {
  const { domain, stream, selector, algorithm, fingerprint, file, publicKey } = key;
  return {
    domain,
    stream,
    selector,
    algorithm,
    fingerprint,
    file,
    id: `${fingerprint}.${selector}._domainkey.${domain}`,
    publicKey,
    record: `v=DKIM1; k=${algorithm}; p=${publicKey}`,
  };
}

/** The file's content: a secret. @throws Error where the format does not fit the key. */
export function encodeKey(privateKey: KeyObject, format: KeyFormat): Buffer {
  switch (format) {
    case 'pkcs8':
      return Buffer.from(exportPrivateKeyPem(privateKey));
    case 'pkcs1':
      if (privateKey.asymmetricKeyType !== 'rsa') throw new Error('only RSA keys have the form pkcs1');
      return Buffer.from(privateKey.export({ type: 'pkcs1', format: 'pem' }));
    case 'der':
      return privateKey.export({ type: 'pkcs8', format: 'der' });
    case 'seed':
      // RSA keys have no seed: they are written as PEM beside it.
      return privateKey.asymmetricKeyType === 'ed25519'
        ? Buffer.from(`${ed25519Seed(privateKey).toString('base64')}\n`)
        : Buffer.from(exportPrivateKeyPem(privateKey));
  }
}

/** The private key in a file's content, whichever form it has; null where there is none that can be used. */
export function decodeKey(content: Buffer): KeyObject | null {
  const text = content.toString('latin1');
  const isText = !content.some((octet) => octet > 126 || (octet < 32 && octet !== 9 && octet !== 10 && octet !== 13));
  const read = importPrivateKey(isText ? text : content);
  return read.ok ? read.pair.privateKey : null;
}

/** Fingerprint of the key in a file's content; null where it holds none. */
export function fingerprintOfContent(content: Buffer): string | null {
  const key = decodeKey(content);
  return key === null ? null : fingerprintOf(publicKeyData(createPublicKey(key)));
}

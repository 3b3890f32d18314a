/**
 * Signing (RFC 6376 section 5, RFC 8301, RFC 8463): one pass over a message, any number of signatures.
 * The headers are canonicalized once and the body was hashed once, whatever the number of keys; per key remain its own field,
 * some 200 octets, and the signature, which is made off the JavaScript thread.
 */
import { hash, type KeyObject, sign } from 'node:crypto';
import type { BodyHashes } from './body-hash.ts';
import { appendHeader, canonicalHeaderRoom } from './header-canonicalization.ts';
import {
  foldedSignature,
  relaxedSignature,
  signaturePrefix,
  signatureSuffix,
  signedHeadersTag,
  simpleSignature,
} from './signature-field.ts';
import { defaultOversignedHeaders, defaultSignedHeaders, headerChooser } from './signed-headers.ts';
import type { Canonicalization, HeaderField, SigningKey } from './types.ts';

export interface SignerOptions {
  /** `c=`; relaxed for both when not given. */
  readonly canonicalization?: { readonly header: Canonicalization; readonly body: Canonicalization };
  /** Fields to sign where present; `defaultSignedHeaders` when not given. From is signed in any case. */
  readonly signedHeaders?: readonly string[];
  /** Fields to name once more than present; `defaultOversignedHeaders` when not given. */
  readonly oversignedHeaders?: readonly string[];
  /** `x=` is this many seconds after `t=`; without it signatures do not expire. */
  readonly expiresIn?: number;
  /** `i=`: an address whose domain is the key's or one below it; without it the tag is left out. */
  readonly identity?: string;
  /** How folds are written in what is given back: `crlf` for messages, `lf` for milters. What is signed is the same. */
  readonly lineEnd?: 'crlf' | 'lf';
}

export interface SignOptions extends SignerOptions {
  /** `t=`, epoch seconds. */
  readonly timestamp: number;
}

/** One finished field, without a final line end. */
export interface SignatureField {
  readonly name: 'DKIM-Signature';
  /** What follows `DKIM-Signature: `; the one space between is not part of it, and with `simple` it must be there. */
  readonly value: string;
  /** Name, colon, space and value. */
  readonly field: string;
  readonly key: SigningKey;
}

/** Why a message cannot be signed at all. */
export class SigningError extends Error {
  readonly reason: 'no-from' | 'no-body-hash' | 'unfit-key' | 'unfit-identity';

  constructor(reason: SigningError['reason'], message: string) {
    super(message);
    this.name = 'SigningError';
    this.reason = reason;
  }
}

export interface MessageSigner {
  /** What the message's `BodyHasher` has to be made with. */
  readonly bodyCanonicalization: Canonicalization;
  /**
   * Signs with every key, in the order given. `timestamp` is in epoch seconds.
   * Rejects with a `SigningError`; a message that cannot be signed by one of the keys is signed by none.
   */
  sign(
    headers: readonly HeaderField[],
    body: BodyHashes,
    keys: readonly SigningKey[],
    timestamp: number,
  ): Promise<SignatureField[]>;
}

/** Signs one message; where many are signed with the same options, `prepareSigner` saves work. */
export function signMessage(
  headers: readonly HeaderField[],
  body: BodyHashes,
  keys: readonly SigningKey[],
  options: SignOptions,
): Promise<SignatureField[]> {
  return prepareSigner(options).sign(headers, body, keys, options.timestamp);
}

/** Canonical headers are gathered here; it is only used until the first `await`, so all messages can share it. */
let scratch = Buffer.allocUnsafeSlow(32_768);
const scratchLimit = 1_048_576;

/** Does once what does not depend on the message: header lists, and for each key the first part of its field. */
export function prepareSigner(options: SignerOptions): MessageSigner {
  const { header, body: bodyCanonicalization } = options.canonicalization ?? { header: 'relaxed', body: 'relaxed' };
  const chooser = headerChooser(
    options.signedHeaders ?? defaultSignedHeaders,
    options.oversignedHeaders ?? defaultOversignedHeaders,
  );
  const canonicalOwnField = header === 'relaxed' ? relaxedSignature : simpleSignature;
  const prefixes = new WeakMap<SigningKey, string>();

  function prefixOf(key: SigningKey): string {
    let prefix = prefixes.get(key);
    if (prefix === undefined) {
      checkKey(key, options.identity);
      prefix = signaturePrefix({
        ...key,
        canonicalization: `${header}/${bodyCanonicalization}`,
        identity: options.identity,
      });
      prefixes.set(key, prefix);
    }
    return prefix;
  }

  async function signNow(
    headers: readonly HeaderField[],
    body: BodyHashes,
    keys: readonly SigningKey[],
    timestamp: number,
  ): Promise<SignatureField[]> {
    const bodyHash = body[bodyCanonicalization];
    if (bodyHash === undefined) {
      throw new SigningError('no-body-hash', `the body was not hashed for ${bodyCanonicalization} canonicalization`);
    }
    const { names, fields, hasFrom } = chooser.choose(headers);
    if (!hasFrom) {
      throw new SigningError('no-from', 'the message has no From field, which every DKIM signature must cover');
    }
    const canonicalHeaders = gather(fields, header);
    const expires = options.expiresIn === undefined ? undefined : timestamp + options.expiresIn;
    const shared = signedHeadersTag(names) + signatureSuffix(bodyHash, timestamp, expires);
    // All inputs are copied out of the shared buffer before anything waits.
    const unsigned = keys.map((key) => {
      const value = prefixOf(key) + shared;
      const own = canonicalOwnField(value);
      const input = Buffer.allocUnsafe(canonicalHeaders.length + own.length);
      input.set(canonicalHeaders);
      input.write(own, canonicalHeaders.length, 'latin1');
      return { key, value, input };
    });
    return Promise.all(
      unsigned.map(async ({ key, value, input }) => {
        const signature = await signInput(key, input);
        const whole = value + foldedSignature(signature.toString('base64'));
        return signatureField(key, options.lineEnd === 'lf' ? whole.replaceAll('\r\n', '\n') : whole);
      }),
    );
  }

  return { bodyCanonicalization, sign: signNow };
}

function signatureField(key: SigningKey, value: string): SignatureField {
  return { name: 'DKIM-Signature', value, field: `DKIM-Signature: ${value}`, key };
}

/** The chosen fields, canonical, one after the other. The view is valid until the next call. */
function gather(fields: readonly HeaderField[], canonicalization: Canonicalization): Uint8Array {
  let room = 0;
  for (const field of fields) room += canonicalHeaderRoom(field.raw.length);
  if (room > scratch.length && room <= scratchLimit) scratch = Buffer.allocUnsafeSlow(room);
  const output = room > scratch.length ? Buffer.allocUnsafeSlow(room) : scratch;
  let end = 0;
  for (const field of fields) end = appendHeader(field.raw, canonicalization, output, end);
  return output.subarray(0, end);
}

function signInput(key: SigningKey, input: Buffer): Promise<Buffer> {
  // RFC 8463 section 3: Ed25519 signs the SHA-256 of the input; RSA hashes on its own, off the thread.
  return key.algorithm === 'ed25519-sha256'
    ? signAsync(null, hash('sha256', input, 'buffer'), key.privateKey)
    : signAsync('sha256', input, key.privateKey);
}

function signAsync(digest: 'sha256' | null, input: Buffer, key: KeyObject): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    sign(digest, input, key, (error, signature) => {
      if (error) reject(error);
      else resolve(signature);
    });
  });
}

const domainPattern = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/** Refuses what would make a field that no verifier can use, or that says more than its tags should. */
function checkKey(key: SigningKey, identity: string | undefined): void {
  const name = `${key.selector}._domainkey.${key.domain}`;
  if (name.length > 253 || !domainPattern.test(key.domain) || !domainPattern.test(key.selector)) {
    throw new SigningError('unfit-key', `cannot sign as ${JSON.stringify(name)}: this is not a DNS name in ASCII form`);
  }
  const wanted = key.algorithm === 'rsa-sha256' ? 'rsa' : 'ed25519';
  if (key.privateKey.type !== 'private' || key.privateKey.asymmetricKeyType !== wanted) {
    throw new SigningError(
      'unfit-key',
      `cannot sign as ${name} with ${key.algorithm}: the key is not a private ${wanted} key`,
    );
  }
  if (identity === undefined) return;
  const domain = identity.slice(identity.lastIndexOf('@') + 1).toLowerCase();
  const parent = key.domain.toLowerCase();
  if (!identity.includes('@') || !domainPattern.test(domain) || !(domain === parent || domain.endsWith(`.${parent}`))) {
    throw new SigningError(
      'unfit-identity',
      `cannot sign as ${name} for the identity ${JSON.stringify(identity)}: i= must be an address at ${key.domain} or below it`,
    );
  }
}

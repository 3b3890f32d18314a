/** Takes in private keys in the forms in which DKIM software keeps them. What is given is a secret and is never repeated. */
import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  type PrivateKeyInput,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import { decodeBase64 } from './base64.ts';
import {
  type KeyPair,
  keyPairOf,
  privateKeyFromSeed,
  publicKeyData,
  shortestStrongRsa,
  shortestUsableRsa,
} from './key-pair.ts';

export type KeyImportErrorKind =
  | 'empty'
  | 'too-large'
  | 'encrypted'
  | 'public-key'
  | 'certificate'
  | 'unsupported-algorithm'
  | 'unsupported-format'
  | 'too-short'
  | 'inconsistent'
  | 'unreadable';

export interface KeyImportError {
  readonly kind: KeyImportErrorKind;
  /** For a person; holds nothing of the input. */
  readonly message: string;
}

export interface KeyImportWarning {
  readonly kind: 'weak-rsa' | 'long-rsa';
  readonly message: string;
}

export type KeyImportResult =
  | { readonly ok: true; readonly pair: KeyPair; readonly warnings: readonly KeyImportWarning[] }
  | { readonly ok: false; readonly error: KeyImportError };

/** An RSA-4096 key in PEM has 3.3 KB; files with a chain of certificates beside it are a few times that. */
const largestInput = 65_536;

/**
 * Reads one private key: PEM of PKCS#1 or PKCS#8 (line ends, white space, quotes and `\n` written out are forgiven), base64
 * or octets of DER, an Ed25519 seed of 32 octets or its base64, a seed followed by its public key (64 octets).
 * RSA from 1024 bits on, with a warning below 2048 (RFC 8301 section 3.2). Never throws.
 */
export function importPrivateKey(input: string | Uint8Array): KeyImportResult {
  if (input.length > largestInput) {
    return failure('too-large', `this is larger than any private key (${largestInput} octets at most)`);
  }
  const read = typeof input === 'string' ? readText(input) : readOctets(input);
  return 'kind' in read ? { ok: false, error: read } : checkKey(read.key);
}

type Reading = { readonly key: KeyObject } | KeyImportError;

function checkKey(key: KeyObject): KeyImportResult {
  const type = key.asymmetricKeyType;
  if (type !== 'rsa' && type !== 'ed25519') {
    const name =
      type === 'ec' ? 'an elliptic-curve (ECDSA)' : `a key of type ${type ?? 'unknown'}, not an RSA or Ed25519`;
    return failure(
      'unsupported-algorithm',
      `this is ${name} key; DKIM signs with RSA (RFC 6376) or Ed25519 (RFC 8463)`,
    );
  }
  const pair = keyPairOf(key);
  if (pair.algorithm === 'rsa' && pair.bits < shortestUsableRsa) {
    return failure(
      'too-short',
      `this RSA key has ${pair.bits} bits; receivers ignore keys shorter than ${shortestUsableRsa} (RFC 8301), make one of ${shortestStrongRsa}`,
    );
  }
  if (!signsForItself(pair)) {
    return failure('inconsistent', 'the parts of this key do not belong together: what it signs does not verify');
  }
  const warnings: KeyImportWarning[] = [];
  if (pair.algorithm === 'rsa' && pair.bits < shortestStrongRsa) {
    warnings.push({
      kind: 'weak-rsa',
      message: `this RSA key has ${pair.bits} bits, which can be broken by a determined attacker: rotate to ${shortestStrongRsa} bits soon`,
    });
  }
  if (pair.algorithm === 'rsa' && pair.bits > 4096) {
    warnings.push({
      kind: 'long-rsa',
      message: `this RSA key has ${pair.bits} bits; receivers need not accept more than 4096 (RFC 8301), some accept only 2048`,
    });
  }
  return { ok: true, pair, warnings };
}

/** A damaged key still parses: a signature shows it. */
function signsForItself(pair: KeyPair): boolean {
  const digest = pair.algorithm === 'rsa' ? 'sha256' : null;
  const probe = Buffer.from('probe');
  try {
    return verify(digest, probe, pair.publicKey, sign(digest, probe, pair.privateKey));
  } catch {
    return false;
  }
}

function readText(input: string): Reading {
  const text = trimWrapping(input.replaceAll('\\r', '').replaceAll('\\n', '\n'));
  if (text === '') return error('empty', 'there is no key here: the input is empty');
  if (text.includes('-----BEGIN')) return readPem(text);
  const octets = decodeBase64(text.replace(/\s+/g, ''));
  if (octets === undefined) {
    return error('unreadable', 'this is neither PEM (it has no -----BEGIN line) nor the base64 of a key');
  }
  return readOctets(octets);
}

/** White space, a byte order mark and quotes around a key come from files, shells and configuration. */
function trimWrapping(text: string): string {
  const wrapping = ' \t\r\n\v\f\uFEFF"\'`';
  let start = 0;
  let end = text.length;
  while (start < end && wrapping.includes(text.charAt(start))) start++;
  while (end > start && wrapping.includes(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}

function readOctets(octets: Uint8Array): Reading {
  if (octets.length === 0) return error('empty', 'there is no key here: the input is empty');
  // No DER of a key that DKIM can use is as short as these two.
  if (octets.length === 32) return { key: privateKeyFromSeed(octets) };
  if (octets.length === 64) return readSeedAndPublicKey(octets);
  if (octets[0] === 0x30) return readDer(Buffer.from(octets));
  const text = Buffer.from(octets).toString('latin1');
  return text.includes('-----BEGIN') || decodeBase64(text.replace(/\s+/g, '')) !== undefined
    ? readText(text)
    : error('unreadable', 'this is not a private key in PEM, DER or Ed25519 seed form');
}

/** As NaCl keeps its secret keys, and `rspamadm dkim_keygen -t ed25519` writes them. */
function readSeedAndPublicKey(octets: Uint8Array): Reading {
  const key = privateKeyFromSeed(octets.subarray(0, 32));
  return publicKeyData(key) === Buffer.from(octets.subarray(32)).toString('base64')
    ? { key }
    : error('inconsistent', 'these 64 octets are not an Ed25519 seed followed by its public key');
}

const blockPattern = /-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]*(?:-(?!----)[^-]*)*)-----END ([A-Z0-9 ]{1,40})-----/g;

function readPem(text: string): Reading {
  const blocks = [...text.matchAll(blockPattern)].map(([, label = '', body = '', end = '']) => ({ label, body, end }));
  const found = blocks.find(({ label }) => label.endsWith('PRIVATE KEY')) ?? blocks.find(({ label }) => label !== '');
  if (found === undefined) {
    return error('unreadable', 'this PEM text is cut off or damaged: no BEGIN line is followed by its END line');
  }
  switch (found.label) {
    case 'PRIVATE KEY':
    case 'RSA PRIVATE KEY':
      break;
    case 'ENCRYPTED PRIVATE KEY':
      return encrypted();
    case 'PUBLIC KEY':
    case 'RSA PUBLIC KEY':
      return publicKeyGiven();
    case 'CERTIFICATE':
    case 'TRUSTED CERTIFICATE':
    case 'X509 CERTIFICATE':
      return certificateGiven();
    case 'OPENSSH PRIVATE KEY':
      return error(
        'unsupported-format',
        'this is in OpenSSH form; convert it with: ssh-keygen -p -N "" -m PEM -f FILE (RSA), or make a key for DKIM',
      );
    case 'EC PRIVATE KEY':
    case 'EC PARAMETERS':
    case 'DSA PRIVATE KEY':
      return error(
        'unsupported-algorithm',
        `this is ${found.label.startsWith('EC') ? 'an elliptic-curve' : 'a DSA'} key; DKIM signs with RSA (RFC 6376) or Ed25519 (RFC 8463)`,
      );
    default:
      return error('unreadable', 'this PEM text holds something other than a private key');
  }
  if (found.end !== found.label) {
    return error('unreadable', 'this PEM text is damaged: its BEGIN and END lines name different things');
  }
  // RFC 1421 headers stand in encrypted PKCS#1 files; anything else before the base64 is not for us to interpret.
  if (/^\s*Proc-Type:[^\n]*ENCRYPTED/i.test(found.body)) return encrypted();
  const octets = decodeBase64(found.body.replace(/\s+/g, ''));
  if (octets === undefined || octets.length === 0) {
    return error('unreadable', 'this PEM text is damaged: what stands between its BEGIN and END lines is not base64');
  }
  return readDer(octets);
}

/** The label is not asked: files are found whose label and contents disagree. */
function readDer(octets: Buffer): Reading {
  for (const type of ['pkcs8', 'pkcs1', 'sec1'] as const) {
    const read = tryPrivateKey({ key: octets, format: 'der', type });
    if (read === 'encrypted') return encrypted();
    if (read !== undefined) return { key: read };
  }
  for (const type of ['spki', 'pkcs1'] as const) {
    if (succeeds(() => createPublicKey({ key: octets, format: 'der', type }))) return publicKeyGiven();
  }
  if (succeeds(() => new X509Certificate(octets))) return certificateGiven();
  return error('unreadable', 'this does not decode as a private key: it is damaged, cut off, or of another kind');
}

function tryPrivateKey(input: PrivateKeyInput): KeyObject | 'encrypted' | undefined {
  try {
    return createPrivateKey(input);
  } catch (problem) {
    const code = problem instanceof Error && 'code' in problem ? problem.code : undefined;
    return code === 'ERR_MISSING_PASSPHRASE' || code === 'ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED'
      ? 'encrypted'
      : undefined;
  }
}

function succeeds(attempt: () => unknown): boolean {
  try {
    attempt();
    return true;
  } catch {
    return false;
  }
}

function encrypted(): KeyImportError {
  return error(
    'encrypted',
    'this private key is protected by a passphrase; remove it first: openssl pkey -in FILE -out PLAIN',
  );
}

function publicKeyGiven(): KeyImportError {
  return error('public-key', 'this is a public key; signing needs the private key that belongs to it');
}

function certificateGiven(): KeyImportError {
  return error('certificate', 'this is a certificate; DKIM needs a private key and no certificate');
}

function error(kind: KeyImportErrorKind, message: string): KeyImportError {
  return { kind, message };
}

function failure(kind: KeyImportErrorKind, message: string): KeyImportResult {
  return { ok: false, error: error(kind, message) };
}

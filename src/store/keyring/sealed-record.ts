/**
 * A record as it lies in Redis and in caches on disk. AES-256-GCM under the keyrings' key; the domain and everything that stands in the clear
 * are authenticated with it, so that a record that was altered, or moved to another domain, does not open.
 *
 *     format (1 octet, 1) ‖ kind (1) ‖ born (8) ‖ generation (8) ‖ fingerprint (16) ‖ key id (8) ‖ nonce (12) ‖ tag (16) ‖ ciphertext
 *
 * The part in the clear lets Redis refuse what is older, and lets a control plane see what differs without reading everything. The
 * fingerprint is a MAC of the content: equal for equal content, and tells nothing else about it.
 *
 * Plaintext: length of the JSON (4) ‖ JSON ‖ private halves, one behind the other. Numbers are big-endian.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import type { Kek, Keks } from '../sealing.ts';
import { FeedError, type FeedKeyring, type FeedOtherKey, type FeedRecord } from './feed.ts';

const FORMAT = 1;
const FINGERPRINT_AT = 18;
const KEY_ID_AT = FINGERPRINT_AT + 16;
/** Octets in the clear that say what a record is; see {@link readHead}. */
export const HEAD_BYTES = KEY_ID_AT + 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const BODY_AT = HEAD_BYTES + NONCE_BYTES + TAG_BYTES;

/** A record without its domain. */
export type SealedContent =
  | Omit<FeedKeyring, 'domain' | 'sealed'>
  | { readonly kind: 'removed'; readonly born: number; readonly generation: number };

/** What is sealed of a record. */
export function contentOf(record: FeedRecord): SealedContent {
  const { domain: _, sealed: __, ...content } = record;
  return content;
}

export interface RecordHead {
  readonly kind: 'keyring' | 'removed';
  readonly born: number;
  readonly generation: number;
  readonly keyId: string;
}

/** Null for what is no record of a form that is known here. */
export function readHead(record: Uint8Array): RecordHead | null {
  const bytes = asBuffer(record);
  if (bytes.length < HEAD_BYTES || bytes[0] !== FORMAT) return null;
  return {
    kind: bytes[1] === 2 ? 'removed' : 'keyring',
    born: Number(bytes.readBigUInt64BE(2)),
    generation: Number(bytes.readBigUInt64BE(10)),
    keyId: bytes.toString('hex', KEY_ID_AT, HEAD_BYTES),
  };
}

/** A short number of the content, to tell whether two records of one version are the same. */
export function fingerprintOf(record: Uint8Array): number {
  return asBuffer(record).readUIntBE(FINGERPRINT_AT, 6);
}

/** Seals and opens records; holds what is derived from the keys. */
export interface RecordSealer {
  /** The head that a record of this content has: two records of one domain with equal heads are equal. */
  head(domain: string, content: SealedContent): Buffer;
  seal(domain: string, content: SealedContent): Buffer;
  /** @throws FeedError `wrong-key` or `forged`, naming the domain. */
  open(domain: string, record: Uint8Array): FeedRecord;
  /** Small texts, such as reports; `purpose` and `place` are authenticated. */
  sealText(purpose: string, place: string, text: string): Buffer;
  /** @throws FeedError */
  openText(purpose: string, place: string, sealed: Uint8Array): string;
  readonly keyId: string;
  /** Keys that open, and do not seal any more. */
  readonly oldKeyIds: readonly string[];
}

export function createRecordSealer(keks: Keks): RecordSealer {
  const macKey = Buffer.from(hkdfSync('sha256', keks.current.key.export(), '', 'keyturn keyring fingerprint', 32));
  const keys = new Map([keks.current, ...keks.old].map((kek) => [kek.id, kek]));

  function headOf(domain: string, content: SealedContent, plain: Uint8Array): Buffer {
    const head = Buffer.alloc(HEAD_BYTES);
    head[0] = FORMAT;
    head[1] = content.kind === 'removed' ? 2 : 1;
    head.writeBigUInt64BE(BigInt(content.born), 2);
    head.writeBigUInt64BE(BigInt(content.generation), 10);
    const mac = createHmac('sha256', macKey).update(head.subarray(0, FINGERPRINT_AT)).update(domain).update('\0');
    mac
      .update(plain)
      .digest()
      .copy(head, FINGERPRINT_AT, 0, KEY_ID_AT - FINGERPRINT_AT);
    head.write(keks.current.id, KEY_ID_AT, 'hex');
    return head;
  }

  function keyOf(id: string, what: string): Kek {
    const kek = keys.get(id);
    if (kek !== undefined) return kek;
    throw new FeedError(
      'wrong-key',
      `${what} is sealed under the key ${id}, and at hand is ${keks.current.id}: copy keyrings.key from the control plane that wrote it.`,
    );
  }

  return {
    keyId: keks.current.id,
    oldKeyIds: keks.old.map(({ id }) => id),
    head: (domain, content) => headOf(domain, content, encode(content)),
    seal(domain, content) {
      const plain = encode(content);
      const head = headOf(domain, content, plain);
      const sealed = encrypt(keks.current, Buffer.concat([head, Buffer.from(domain)]), plain);
      plain.fill(0);
      return Buffer.concat([head, sealed]);
    },
    open(domain, record) {
      const bytes = asBuffer(record);
      const head = readHead(bytes);
      if (head === null || bytes.length < BODY_AT) {
        throw new FeedError('forged', `What stands for ${domain} is no keyring that this Keyturn knows.`);
      }
      const kek = keyOf(head.keyId, `The keyring of ${domain}`);
      const clear = Buffer.concat([bytes.subarray(0, HEAD_BYTES), Buffer.from(domain)]);
      const plain = decrypt(kek, clear, bytes.subarray(HEAD_BYTES));
      if (plain === null) {
        throw new FeedError(
          'forged',
          `The keyring of ${domain} does not open: it was altered, or moved from another domain. Find out who else writes there.`,
        );
      }
      const { born, generation, kind } = head;
      if (kind === 'removed') return { kind, domain, born, generation, sealed: record };
      return { kind, domain, born, generation, ...decode(plain), sealed: record };
    },
    sealText(purpose, place, text) {
      const clear = Buffer.from(`${purpose}\0${place}`);
      return Buffer.concat([Buffer.from(keks.current.id, 'hex'), encrypt(keks.current, clear, Buffer.from(text))]);
    },
    openText(purpose, place, sealed) {
      const bytes = asBuffer(sealed);
      const kek = keyOf(bytes.toString('hex', 0, 8), `The ${purpose} of ${place}`);
      const plain = decrypt(kek, Buffer.from(`${purpose}\0${place}`), bytes.subarray(8));
      if (plain === null) throw new FeedError('forged', `The ${purpose} of ${place} does not open: it was altered.`);
      return plain.toString();
    },
  };
}

function encrypt({ key }: Kek, clear: Uint8Array, plain: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(clear);
  const body = cipher.update(plain);
  cipher.final();
  return Buffer.concat([nonce, cipher.getAuthTag(), body]);
}

function decrypt({ key }: Kek, clear: Uint8Array, sealed: Buffer): Buffer | null {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return null;
  const options = { authTagLength: TAG_BYTES };
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), options).setAAD(clear);
  decipher.setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  const plain = decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES));
  try {
    decipher.final();
  } catch {
    return null;
  }
  return plain;
}

/** What is sealed of a keyring: selector, algorithm, generation of entering, and octets of the private half. */
interface Wire {
  readonly mustSign: boolean;
  readonly streams: Readonly<Record<string, ReadonlyArray<readonly [string, string, number, number]>>>;
  readonly others?: readonly FeedOtherKey[];
  readonly overwrite?: boolean;
}

function encode(content: SealedContent): Buffer {
  if (content.kind === 'removed') return Buffer.alloc(0);
  const { mustSign, others, overwrite } = content;
  const halves: Uint8Array[] = [];
  const streams: Record<string, Array<readonly [string, string, number, number]>> = {};
  for (const [name, keys] of Object.entries(content.streams)) {
    streams[name] = keys.map(({ selector, algorithm, entered, pkcs8 }) => {
      halves.push(pkcs8);
      return [selector, algorithm, entered, pkcs8.length];
    });
  }
  const wire: Wire = {
    mustSign,
    streams,
    ...(others === undefined ? {} : { others }),
    ...(overwrite === undefined ? {} : { overwrite }),
  };
  const json = Buffer.from(JSON.stringify(wire));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json, ...halves]);
}

/** Private halves are views of `plain`. It was authenticated: what stands there was written by {@link encode}. */
function decode(plain: Buffer): Omit<FeedKeyring, 'domain' | 'born' | 'generation' | 'kind' | 'sealed'> {
  let at = 4 + plain.readUInt32BE(0);
  const { streams, ...rest }: Wire = JSON.parse(plain.toString('utf8', 4, at));
  const keys = Object.entries(streams).map(([name, list]) => [
    name,
    list.map(([selector, algorithm, entered, length]) => {
      const pkcs8 = plain.subarray(at, at + length);
      at += length;
      return {
        selector,
        algorithm: algorithm === 'rsa-sha256' ? algorithm : 'ed25519-sha256',
        entered,
        pkcs8,
      } as const;
    }),
  ]);
  return { ...rest, streams: Object.fromEntries(keys) };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

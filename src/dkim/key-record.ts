/** Key records, the TXT text at `SELECTOR._domainkey.DOMAIN` (RFC 6376 section 3.6.1, RFC 8301, RFC 8463). */
import type { KeyObject } from 'node:crypto';
import { publicKeyFromData, shortestStrongRsa, shortestUsableRsa } from './key-pair.ts';
import { describeTagListDefect, parseTagList, type Tag, type TagListDefect, withoutFolds } from './tag-list.ts';
import type { KeyAlgorithm } from './types.ts';

export interface KeyRecordFields {
  readonly algorithm: KeyAlgorithm;
  /** As `publicKeyData` gives it. */
  readonly publicKey: string;
  /** `h=`: only SHA-256 is left to name (RFC 8301 section 3.1). */
  readonly hash?: 'sha256';
  /** `s=`: for e-mail only. Left out, the key may serve anything. */
  readonly service?: 'email';
  /** `t=`: `y` says that the domain is only testing, `s` that `i=` must be exactly at `d=`. */
  readonly flags?: readonly ('y' | 's')[];
  /** `n=`: for people; any text. */
  readonly notes?: string;
}

/** Writes a record in one string; `v=` first and `p=` last, as most software does. */
export function buildKeyRecord(fields: KeyRecordFields): string {
  const tags: Tag[] = [{ name: 'v', value: 'DKIM1' }];
  if (fields.hash !== undefined) tags.push({ name: 'h', value: fields.hash });
  tags.push({ name: 'k', value: fields.algorithm });
  if (fields.notes !== undefined && fields.notes !== '') tags.push({ name: 'n', value: quotePrintable(fields.notes) });
  if (fields.service !== undefined) tags.push({ name: 's', value: fields.service });
  if (fields.flags !== undefined && fields.flags.length > 0) tags.push({ name: 't', value: fields.flags.join(':') });
  tags.push({ name: 'p', value: fields.publicKey });
  return formatKeyRecord(tags);
}

/** The record of a key that was withdrawn: an empty `p=` says so for good, where a missing record may be a fault. */
export function buildRevokedRecord(algorithm: KeyAlgorithm): string {
  return formatKeyRecord([
    { name: 'v', value: 'DKIM1' },
    { name: 'k', value: algorithm },
    { name: 'p', value: '' },
  ]);
}

/** Writes tags as they are, in their order. */
export function formatKeyRecord(tags: readonly Tag[]): string {
  return tags.map(({ name, value }) => `${name}=${value}`).join('; ');
}

/** What a record says, defaults filled in. */
export interface KeyRecord {
  /** `k=` as written; `rsa` where it is missing. */
  readonly keyType: string;
  /** `h=` in lower case; undefined where any hash will do. */
  readonly hashes: readonly string[] | undefined;
  /** `s=`; `*` where it is missing. */
  readonly services: readonly string[];
  /** `t=`. */
  readonly flags: readonly string[];
  /** `n=`, decoded. */
  readonly notes: string | undefined;
  /** `p=` without white space; empty where revoked. */
  readonly publicKeyData: string;
  /** Every tag as found and in order, those unknown to the standard too. */
  readonly tags: readonly Tag[];
}

/** Why receivers cannot use a record for e-mail. */
export type KeyRecordDefect =
  | { readonly kind: 'bad-syntax'; readonly defect: TagListDefect }
  | { readonly kind: 'version-not-first' }
  | { readonly kind: 'bad-version' }
  | { readonly kind: 'no-public-key' }
  | { readonly kind: 'unknown-key-type' }
  | { readonly kind: 'no-sha256' }
  | { readonly kind: 'not-for-email' }
  | { readonly kind: 'bad-base64' }
  /** `p=` is base64 but not the DER that the key type asks for. */
  | { readonly kind: 'undecodable-key' }
  /** `p=` holds a key of another type than `k=` says. */
  | { readonly kind: 'other-key-type' }
  | { readonly kind: 'rsa-too-short'; readonly bits: number };

/** What is worth knowing about a record that can be used. */
export type KeyRecordNote =
  | { readonly kind: 'weak-rsa'; readonly bits: number }
  | { readonly kind: 'long-rsa'; readonly bits: number }
  /** `t=y`: receivers should treat failing mail as if it were unsigned. */
  | { readonly kind: 'testing' }
  /** `t=s`: signatures with an `i=` below the domain fail. */
  | { readonly kind: 'strict' }
  | { readonly kind: 'no-version' }
  /** A bare RSAPublicKey: by the RFC's letter, but not every verifier reads it. */
  | { readonly kind: 'bare-rsa' }
  | { readonly kind: 'unknown-flag'; readonly flag: string }
  | { readonly kind: 'unknown-tag'; readonly tag: string };

export type KeyRecordResult =
  | {
      readonly kind: 'key';
      readonly record: KeyRecord;
      readonly algorithm: KeyAlgorithm;
      readonly publicKey: KeyObject;
      readonly bits: number;
      readonly notes: readonly KeyRecordNote[];
    }
  | { readonly kind: 'revoked'; readonly record: KeyRecord; readonly notes: readonly KeyRecordNote[] }
  /** At least one defect; `record` is there when the text is a tag-list at all. */
  | { readonly kind: 'invalid'; readonly record?: KeyRecord; readonly defects: readonly KeyRecordDefect[] };

const knownTags = new Set(['v', 'h', 'k', 'n', 'p', 's', 't']);

/** Reads the joined strings of a TXT record. A key is only found where a verifier could use it for mail. Never throws. */
export function parseKeyRecord(text: string): KeyRecordResult {
  const list = parseTagList(text);
  if (!list.ok) return { kind: 'invalid', defects: [{ kind: 'bad-syntax', defect: list.defect }] };
  const { tags } = list;
  const tagValue = (name: string): string | undefined => tags.find((tag) => tag.name === name)?.value;
  const publicKeyValue = tagValue('p');
  const hashes = tagValue('h');
  const notesValue = tagValue('n');
  const record: KeyRecord = {
    keyType: tagValue('k') ?? 'rsa',
    hashes: hashes === undefined ? undefined : colonList(hashes).map((hash) => hash.toLowerCase()),
    services: colonList(tagValue('s') ?? '*'),
    flags: colonList(tagValue('t') ?? ''),
    notes: notesValue === undefined ? undefined : unquotePrintable(notesValue),
    publicKeyData: withoutFolds(publicKeyValue ?? ''),
    tags,
  };

  const defects = recordDefects(record, publicKeyValue !== undefined);
  if (defects.length > 0) return { kind: 'invalid', record, defects };
  const notes = recordNotes(record);
  if (record.publicKeyData === '') return { kind: 'revoked', record, notes };

  const algorithm = record.keyType === 'ed25519' ? 'ed25519' : 'rsa';
  const decoded = publicKeyFromData(algorithm, record.publicKeyData);
  if (!decoded.ok) {
    const kind = {
      'bad-base64': 'bad-base64',
      undecodable: 'undecodable-key',
      'other-algorithm': 'other-key-type',
    } as const;
    return { kind: 'invalid', record, defects: [{ kind: kind[decoded.reason] }] };
  }
  const { key, bits, bareRsa } = decoded;
  if (algorithm === 'rsa') {
    if (bits < shortestUsableRsa) return { kind: 'invalid', record, defects: [{ kind: 'rsa-too-short', bits }] };
    if (bits < shortestStrongRsa) notes.push({ kind: 'weak-rsa', bits });
    if (bits > 4096) notes.push({ kind: 'long-rsa', bits });
    if (bareRsa) notes.push({ kind: 'bare-rsa' });
  }
  return { kind: 'key', record, algorithm, publicKey: key, bits, notes };
}

function recordDefects(record: KeyRecord, hasPublicKey: boolean): KeyRecordDefect[] {
  const defects: KeyRecordDefect[] = [];
  const version = record.tags.findIndex((tag) => tag.name === 'v');
  if (version > 0) defects.push({ kind: 'version-not-first' });
  if (version >= 0 && record.tags[version]?.value !== 'DKIM1') defects.push({ kind: 'bad-version' });
  if (!hasPublicKey) defects.push({ kind: 'no-public-key' });
  if (record.keyType !== 'rsa' && record.keyType !== 'ed25519') defects.push({ kind: 'unknown-key-type' });
  if (record.hashes !== undefined && !record.hashes.includes('sha256')) defects.push({ kind: 'no-sha256' });
  if (!record.services.includes('*') && !record.services.includes('email')) defects.push({ kind: 'not-for-email' });
  return defects;
}

function recordNotes(record: KeyRecord): KeyRecordNote[] {
  const notes: KeyRecordNote[] = [];
  if (record.tags[0]?.name !== 'v') notes.push({ kind: 'no-version' });
  for (const flag of record.flags) {
    if (flag === 'y') notes.push({ kind: 'testing' });
    else if (flag === 's') notes.push({ kind: 'strict' });
    else notes.push({ kind: 'unknown-flag', flag });
  }
  for (const { name } of record.tags) if (!knownTags.has(name)) notes.push({ kind: 'unknown-tag', tag: name });
  return notes;
}

/** A defect in words: what is wrong, and what to do. */
export function describeKeyRecordDefect(defect: KeyRecordDefect): string {
  switch (defect.kind) {
    case 'bad-syntax':
      return `the record is not a list of tags: ${describeTagListDefect(defect.defect)}`;
    case 'version-not-first':
      return 'v= is not the first tag: move v=DKIM1 to the front';
    case 'bad-version':
      return 'v= is not DKIM1';
    case 'no-public-key':
      return 'the record has no p= tag, so it holds no key';
    case 'unknown-key-type':
      return 'k= names a key type other than rsa and ed25519';
    case 'no-sha256':
      return 'h= does not allow sha256, the only hash in use: remove h= or add sha256';
    case 'not-for-email':
      return 's= does not allow e-mail: remove s= or add email';
    case 'bad-base64':
      return 'p= is not base64: the value was cut off or altered on its way into DNS';
    case 'undecodable-key':
      return 'p= does not decode as a public key: the value was cut off or altered on its way into DNS';
    case 'other-key-type':
      return 'p= holds a key of another type than k= says';
    case 'rsa-too-short':
      return `the RSA key has ${defect.bits} bits; receivers ignore keys shorter than ${shortestUsableRsa}`;
  }
}

/** A note in words. */
export function describeKeyRecordNote(note: KeyRecordNote): string {
  switch (note.kind) {
    case 'weak-rsa':
      return `the RSA key has ${note.bits} bits: ${shortestStrongRsa} are advised`;
    case 'long-rsa':
      return `the RSA key has ${note.bits} bits: receivers need not accept more than 4096`;
    case 'testing':
      return 't=y: receivers may treat signatures as a test and ignore them';
    case 'strict':
      return 't=s: the i= of signatures must be at the domain itself, not below it';
    case 'no-version':
      return 'v=DKIM1 is missing: it is recommended';
    case 'bare-rsa':
      return 'p= is a bare RSAPublicKey: not every receiver can read it, SubjectPublicKeyInfo is what all use';
    case 'unknown-flag':
      return `t= has the unknown flag ${JSON.stringify(note.flag)}, which receivers ignore`;
    case 'unknown-tag':
      return `the tag ${note.tag}= is unknown and ignored by receivers`;
  }
}

function colonList(value: string): string[] {
  return withoutFolds(value)
    .split(':')
    .filter((item) => item !== '');
}

/** qp-section (RFC 2045 section 6.7) without the characters that end a tag: what `n=` is written in. */
function quotePrintable(text: string): string {
  let quoted = '';
  for (const octet of Buffer.from(text, 'utf8')) {
    const plain = octet >= 0x21 && octet <= 0x7e && octet !== 0x3b && octet !== 0x3d;
    quoted += plain ? String.fromCharCode(octet) : `=${octet.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return quoted;
}

function unquotePrintable(text: string): string {
  const octets = text.replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(octets, 'latin1').toString('utf8');
}

/**
 * The journal's chain. Each entry's hash covers the entry and the hash before it. The last entry of every transaction
 * carries a keyed MAC, and so does the head that is stored apart: who can write to the database but lacks the
 * key-encryption key can neither recompute the chain nor cut off its end unnoticed.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { canonicalJson } from './json.ts';

/** What stands before the first entry. */
export const GENESIS = Buffer.alloc(32);

export interface ChainEntry {
  readonly seq: number;
  readonly at: number;
  readonly actor: string;
  readonly source: string;
  readonly domain: string | null;
  readonly kind: string;
  /** Canonical JSON. */
  readonly details: string;
}

export interface Head {
  readonly seq: number;
  readonly hash: Buffer;
}

export function entryHash(entry: ChainEntry, previous: Uint8Array): Buffer {
  const { seq, at, actor, source, domain, kind, details } = entry;
  const rest = canonicalJson({ seq, at, actor, source, domain, kind, previous: Buffer.from(previous).toString('hex') });
  // `details` is canonical JSON already: it is spliced in under the first key of the alphabet rather than parsed again.
  return createHash('sha256')
    .update(`{"#details":${details},${rest.slice(1)}`)
    .digest();
}

export function checkpointMac(key: Uint8Array, head: Head): Buffer {
  return mac(key, 'checkpoint', head);
}

/** The head as it is stored: `seq hash mac`. Its MAC is of another kind than a checkpoint's, so that no old checkpoint can pose as the head. */
export function writeHead(key: Uint8Array, head: Head): string {
  return `${head.seq} ${head.hash.toString('hex')} ${mac(key, 'head', head).toString('hex')}`;
}

/** Undefined where the text is malformed or its MAC does not fit. */
export function readHead(key: Uint8Array, text: string): Head | undefined {
  const [seq = '', hash = '', code = ''] = text.split(' ');
  const head: Head = { seq: Number(seq), hash: Buffer.from(hash, 'hex') };
  return sameBytes(Buffer.from(code, 'hex'), mac(key, 'head', head)) ? head : undefined;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function mac(key: Uint8Array, what: 'checkpoint' | 'head', head: Head): Buffer {
  return createHmac('sha256', key).update(`keyturn journal ${what}\0${head.seq}\0`).update(head.hash).digest();
}

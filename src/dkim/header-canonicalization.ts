/** Canonicalization of header fields (RFC 6376 sections 3.4.1 and 3.4.2), from octets to octets. */
import type { Canonicalization } from './types.ts';

const TAB = 9;
const LF = 10;
const CR = 13;
const SP = 32;
const COLON = 58;

/** The most octets that `appendHeader` writes for a field of `length` octets: each may be a bare LF, then a missing colon and CRLF. */
export function canonicalHeaderRoom(length: number): number {
  return 2 * length + 3;
}

/**
 * Writes one field, canonical, with its final CRLF at `offset` of `output`; gives the offset after it.
 *
 * A bare LF counts as CRLF, since milters are handed folds so: `simple` writes CRLF, `relaxed` takes it for a fold.
 * Octets other than SP, TAB, CR and LF, NUL and 8-bit ones included, stay as they are.
 */
export function appendHeader(
  raw: Uint8Array,
  canonicalization: Canonicalization,
  output: Uint8Array,
  offset: number,
): number {
  const end = canonicalization === 'simple' ? appendSimple(raw, output, offset) : appendRelaxed(raw, output, offset);
  output[end] = CR;
  output[end + 1] = LF;
  return end + 2;
}

function appendSimple(raw: Uint8Array, output: Uint8Array, offset: number): number {
  let o = offset;
  for (let i = 0; i < raw.length; i++) {
    const octet = raw[i] as number;
    if (octet === LF && (i === 0 || raw[i - 1] !== CR)) output[o++] = CR;
    output[o++] = octet;
  }
  return o;
}

function appendRelaxed(raw: Uint8Array, output: Uint8Array, offset: number): number {
  let o = offset;
  let i = 0;
  // The name in lower case, without the white space before the colon (3.4.2, first and last step).
  for (; i < raw.length; i++) {
    const octet = raw[i] as number;
    if (octet === COLON) break;
    output[o++] = octet >= 65 && octet <= 90 ? octet + 32 : octet;
  }
  while (o > offset && isSpace(output[o - 1] as number)) o--;
  output[o++] = COLON;
  i++;
  let space = false;
  let empty = true;
  for (; i < raw.length; i++) {
    const octet = raw[i] as number;
    if (octet <= SP) {
      if (octet === SP || octet === TAB) {
        space = true;
        continue;
      }
      if (octet === LF || (octet === CR && raw[i + 1] === LF)) continue;
    }
    // White space before the value goes, and so does what follows it: it is written only when content comes after.
    if (space && !empty) output[o++] = SP;
    space = false;
    empty = false;
    output[o++] = octet;
  }
  return o;
}

function isSpace(octet: number): boolean {
  return octet === SP || octet === TAB || octet === CR || octet === LF;
}

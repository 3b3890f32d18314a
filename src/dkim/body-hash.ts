/**
 * Canonicalization and hashing of a message body as it streams by (RFC 6376 section 3.4).
 *
 * What ends a line: CRLF, and a bare LF too, which is hashed as CRLF. Internet mail knows CRLF only (RFC 5321 section 2.3.8);
 * MTAs turn a bare LF into CRLF on the way out, and verifiers read it so: hashing it as found would break the signature.
 * A bare CR is content like any other octet, as RFC 6376 section 3.4.4 has it, and so are NUL and 8-bit octets.
 */
import { createHash, type Hash } from 'node:crypto';
import type { Canonicalization } from './types.ts';

const TAB = 9;
const LF = 10;
const CR = 13;
const SP = 32;

/** Input is worked off in slices of this many octets, so that one fixed output buffer is enough for any chunk. */
const SLICE = 16_384;
/** A slice gives at most 2 octets for each it has (LF becomes CRLF), after at most SLICE line ends kept from before. */
const output = Buffer.allocUnsafeSlow(4 * SLICE + 8);
const lineEndBlock = Buffer.from('\r\n'.repeat(SLICE / 2), 'latin1');

/** What a body came to. The hashes are the base64 of SHA-256, as they stand in `bh=`. */
export interface BodyHashes {
  /** Octets of the body as handed over, before canonicalization. */
  readonly bytes: number;
  readonly simple?: string;
  readonly relaxed?: string;
}

/**
 * Takes a body in chunks split anywhere and gives one SHA-256 for each canonicalization asked for.
 * Memory is constant: line ends and white space that may turn out to be trailing are counted, not kept.
 *
 * ```ts
 * const hasher = new BodyHasher(['relaxed']);
 * hasher.update(Buffer.from('Hello \r\n\r\n'));
 * hasher.finish(); // { bytes: 10, relaxed: '…' }
 * ```
 */
export class BodyHasher {
  readonly #bodies: readonly CanonicalBody[];
  #bytes = 0;

  constructor(canonicalizations: readonly Canonicalization[]) {
    this.#bodies = [...new Set(canonicalizations)].map((canonicalization) => new CanonicalBody(canonicalization));
  }

  /** The chunk is read before this returns and may be reused by the caller afterwards. */
  update(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    for (const body of this.#bodies) body.update(chunk);
  }

  /** Ends the body. The hasher is used up afterwards. */
  finish(): BodyHashes {
    const hashes: { bytes: number; simple?: string; relaxed?: string } = { bytes: this.#bytes };
    for (const body of this.#bodies) hashes[body.canonicalization] = body.finish();
    return hashes;
  }
}

/** What an octet may be within a run that is canonical as it stands: 0 goes on, 1 goes on unless two meet, 2 needs a look. */
const runClass = new Uint8Array(256);
runClass[SP] = 1;
runClass[TAB] = runClass[LF] = runClass[CR] = 2;

/**
 * Where the run of content that starts before `from` ceases to be canonical as it stands: single spaces between words and
 * single line ends between words belong to it. It ends on content, so nothing in it can turn out to be trailing.
 * One look-up an octet and no branch for a space: mail is half words, and a wrongly guessed branch costs more than the rest.
 */
function relaxedRunEnd(input: Uint8Array, from: number, end: number): number {
  let i = from;
  for (;;) {
    let before = 0;
    while (i < end) {
      const kind = runClass[input[i] as number] as number;
      if (((kind & before) | (kind >> 1)) !== 0) break;
      before = kind;
      i++;
    }
    if (before !== 0) return i - 1;
    if (i + 2 >= end || input[i] !== CR || input[i + 1] !== LF || runClass[input[i + 2] as number] !== 0) return i;
    i += 3;
  }
}

function simpleRunEnd(input: Uint8Array, from: number, end: number): number {
  let i = from;
  for (;;) {
    while (i < end && (input[i] as number) > CR) i++;
    if (i + 2 >= end || input[i] !== CR || input[i + 1] !== LF || (input[i + 2] as number) <= CR) return i;
    i += 3;
  }
}

class CanonicalBody {
  readonly canonicalization: Canonicalization;
  readonly #hash: Hash = createHash('sha256');
  /** Line ends seen since the last content: they count only once content follows (sections 3.4.3 and 3.4.4). */
  #lineEnds = 0;
  /** White space seen since the last content of the line (relaxed only). */
  #space = false;
  /** The last chunk ended in CR: whether it begins a line end shows in the next. */
  #carriageReturn = false;
  #hasContent = false;

  constructor(canonicalization: Canonicalization) {
    this.canonicalization = canonicalization;
  }

  update(chunk: Uint8Array): void {
    for (let start = 0; start < chunk.length; start += SLICE) {
      this.#updateSlice(chunk, start, Math.min(start + SLICE, chunk.length));
    }
  }

  finish(): string {
    if (this.#carriageReturn) {
      // A CR with nothing after it is content; it brings the line ends and the space before it to count.
      this.#carriageReturn = false;
      this.#hash.update(output.subarray(0, this.#appendContent(0, CR)));
    }
    // Content without a final CRLF gets one (3.4.3, 3.4.4); an empty body is CRLF when simple and nothing when relaxed.
    if (this.#hasContent || this.canonicalization === 'simple') this.#hash.update('\r\n', 'latin1');
    return this.#hash.digest('base64');
  }

  /** The hot path: one pass, one call of the hash for each slice. */
  #updateSlice(input: Uint8Array, start: number, end: number): void {
    const relaxed = this.canonicalization === 'relaxed';
    // Every octet above this one is content in this canonicalization.
    const plainAbove = relaxed ? SP : CR;
    let i = start;
    let o = 0;
    if (this.#carriageReturn) {
      this.#carriageReturn = false;
      if (input[i] !== LF) o = this.#appendContent(o, CR);
      // Otherwise the LF below ends the line by itself.
    }
    while (i < end) {
      const octet = input[i++] as number;
      if (octet <= plainAbove) {
        if (octet === CR) {
          if (i === end) {
            this.#carriageReturn = true;
            break;
          }
          if (input[i] === LF) continue;
        } else if (octet === LF) {
          this.#lineEnds++;
          this.#space = false;
          continue;
        } else if (relaxed && (octet === SP || octet === TAB)) {
          this.#space = true;
          continue;
        }
      }
      o = this.#appendContent(o, octet);
      const runEnd = relaxed ? relaxedRunEnd(input, i, end) : simpleRunEnd(input, i, end);
      if (runEnd - i > 32) {
        output.set(input.subarray(i, runEnd), o);
        o += runEnd - i;
        i = runEnd;
      } else {
        while (i < runEnd) output[o++] = input[i++] as number;
      }
    }
    if (o > 0) this.#hash.update(output.subarray(0, o));
  }

  /** Writes what was waiting for content, then the content; gives the new end of the output. */
  #appendContent(end: number, octet: number): number {
    let o = end;
    if (this.#lineEnds > SLICE) {
      this.#hash.update(output.subarray(0, o));
      o = 0;
      for (let left = this.#lineEnds * 2; left > 0; left -= lineEndBlock.length) {
        this.#hash.update(left < lineEndBlock.length ? lineEndBlock.subarray(0, left) : lineEndBlock);
      }
    } else {
      for (let left = this.#lineEnds; left > 0; left--) {
        output[o++] = CR;
        output[o++] = LF;
      }
    }
    if (this.#space) output[o++] = SP;
    output[o++] = octet;
    this.#lineEnds = 0;
    this.#space = false;
    this.#hasContent = true;
    return o;
  }
}

/**
 * Splits the octets of an e-mail into header fields and body (RFC 5322 section 2), as they come from a file or a stream.
 * Made for what is found in the wild: lines may end in CRLF or LF, the body may be missing, the header too.
 */
import type { HeaderField } from './types.ts';

const LF = 10;
const CR = 13;
const SP = 32;
const TAB = 9;
const COLON = 58;

export type MessageDefect =
  /** The `From ` line of a mailbox file stood at the top; it is no field and was left out. */
  | { readonly kind: 'mailbox-line' }
  /** A line that is no field ended the header, as MTAs read it; the body begins with it. `line` counts from 1. */
  | { readonly kind: 'not-a-field'; readonly line: number }
  /** The message ended before an empty line did: it has no body. */
  | { readonly kind: 'no-body' }
  /** Lines of the header end in a bare LF. */
  | { readonly kind: 'bare-lf' };

export interface MessageHeader {
  readonly headers: readonly HeaderField[];
  readonly defects: readonly MessageDefect[];
}

export interface SplitMessage extends MessageHeader {
  /** A view into what was given. */
  readonly body: Uint8Array;
}

export type ReadMessageResult =
  | ({ readonly ok: true; readonly bodyBytes: number } & MessageHeader)
  | { readonly ok: false; readonly reason: 'header-too-large'; readonly limit: number };

/** 10,000 fields of some length fit; a stream without an empty line does not fill the memory. */
export const defaultHeaderLimit = 8 * 1024 * 1024;

/** Splits a whole message in memory. Never throws. */
export function splitMessage(message: Uint8Array): SplitMessage {
  const scanner = new HeaderScanner();
  const bodyStart = scanner.scan(message, message.length, true) ?? message.length;
  return { ...scanner.finish(message), body: message.subarray(bodyStart) };
}

/**
 * Reads a message as it comes. `begin` is given the header once it is complete and answers what is to be called with each
 * piece of the body. Memory holds the header, up to `headerLimit` octets, and one chunk.
 */
export async function readMessage(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  begin: (header: MessageHeader) => (bodyChunk: Uint8Array) => void,
  headerLimit: number = defaultHeaderLimit,
): Promise<ReadMessageResult> {
  const scanner = new HeaderScanner();
  let gathered = new Uint8Array(16_384);
  let length = 0;
  let started: { readonly header: MessageHeader; readonly onBody: (chunk: Uint8Array) => void } | undefined;
  let bodyBytes = 0;

  const start = (bodyStart: number) => {
    const header = scanner.finish(gathered);
    const onBody = begin(header);
    if (bodyStart < length) onBody(gathered.subarray(bodyStart, length));
    bodyBytes = length - bodyStart;
    return { header, onBody };
  };

  for await (const chunk of source) {
    if (started !== undefined) {
      started.onBody(chunk);
      bodyBytes += chunk.length;
      continue;
    }
    if (length + chunk.length > gathered.length) {
      const larger = new Uint8Array(2 * (length + chunk.length));
      larger.set(gathered.subarray(0, length));
      gathered = larger;
    }
    gathered.set(chunk, length);
    length += chunk.length;
    const bodyStart = scanner.scan(gathered, length, false);
    if (bodyStart !== undefined) started = start(bodyStart);
    else if (length > headerLimit) return { ok: false, reason: 'header-too-large', limit: headerLimit };
  }
  started ??= start(scanner.scan(gathered, length, true) ?? length);
  return { ok: true, bodyBytes, ...started.header };
}

/** Goes over the lines of a header that may still be growing, each line once, and remembers where fields begin and end. */
class HeaderScanner {
  readonly #fields: { start: number; colon: number; end: number }[] = [];
  readonly #defects: MessageDefect[] = [];
  #lineStart = 0;
  #lines = 0;
  #searched = 0;
  #bareLf = false;

  /** Where the body begins, or undefined while the header has not ended. With `final` nothing more will come. */
  scan(octets: Uint8Array, length: number, final: boolean): number | undefined {
    while (this.#lineStart < length) {
      let lineFeed = octets.indexOf(LF, Math.max(this.#searched, this.#lineStart));
      if (lineFeed >= length) lineFeed = -1;
      if (lineFeed < 0 && !final) {
        this.#searched = length;
        return undefined;
      }
      const next = lineFeed < 0 ? length : lineFeed + 1;
      let end = lineFeed < 0 ? length : lineFeed;
      if (end > this.#lineStart && octets[end - 1] === CR) end--;
      else if (lineFeed >= 0) this.#bareLf = true;
      if (end === this.#lineStart) return next;
      if (!this.#takeLine(octets, this.#lineStart, end)) return this.#lineStart;
      this.#lineStart = next;
      this.#lines++;
    }
    if (final) this.#defects.push({ kind: 'no-body' });
    return undefined;
  }

  finish(octets: Uint8Array): MessageHeader {
    if (this.#bareLf) this.#defects.push({ kind: 'bare-lf' });
    const headers = this.#fields.map(({ start, colon, end }) => ({
      name: latin1(octets, start, colon),
      raw: octets.subarray(start, end),
    }));
    return { headers, defects: this.#defects };
  }

  #takeLine(octets: Uint8Array, start: number, end: number): boolean {
    const last = this.#fields.at(-1);
    if (isSpace(octets[start]) && last !== undefined) {
      last.end = end;
      return true;
    }
    const colon = fieldNameEnd(octets, start, end);
    if (colon !== undefined) {
      this.#fields.push({ start, colon, end });
      return true;
    }
    if (this.#lines === 0 && latin1(octets, start, Math.min(start + 5, end)) === 'From ') {
      this.#defects.push({ kind: 'mailbox-line' });
      return true;
    }
    this.#defects.push({ kind: 'not-a-field', line: this.#lines + 1 });
    return false;
  }
}

/** Where the name ends: printable ASCII up to a colon; white space before the colon is obsolete but read (RFC 5322 4.5). */
function fieldNameEnd(octets: Uint8Array, start: number, end: number): number | undefined {
  let i = start;
  while (i < end && (octets[i] as number) > SP && (octets[i] as number) < 127 && octets[i] !== COLON) i++;
  const nameEnd = i;
  while (i < end && isSpace(octets[i])) i++;
  return nameEnd > start && i < end && octets[i] === COLON ? nameEnd : undefined;
}

function isSpace(octet: number | undefined): boolean {
  return octet === SP || octet === TAB;
}

function latin1(octets: Uint8Array, start: number, end: number): string {
  return Buffer.from(octets.buffer, octets.byteOffset + start, end - start).toString('latin1');
}

/** Milter frames: uint32 length (of all that follows), one command byte, data. Read from a stream cut anywhere, and written. */
import { Command } from './codes.ts';

/**
 * libmilter's limit is 64 KiB of data, which bodies keep to. Header fields of Postfix may reach header_size_limit
 * (100 KiB by default), so four times as much is let in.
 */
export const maxFrameLength = 256 * 1024;

export interface FrameSink {
  /** A whole frame. The view is the receiver's to keep and to write on; false pauses the reader after it. */
  frame(command: number, data: Buffer): boolean;
  /** A piece of a body frame, as it came: bodies are never put together. */
  body(piece: Buffer): void;
  /** A body frame is complete; false pauses. */
  bodyEnd(): boolean;
}

export type ReadResult =
  /** All that came is read. */
  | 'hungry'
  /** The sink paused; `resume` goes on where it stopped. */
  | 'paused'
  /** A length that no frame may have: the stream has no sense from here on. */
  | 'malformed';

/**
 * Splits a stream into frames. Frames that lie whole in one chunk are handed on as views of it, without a copy;
 * only one that is cut by the end of a chunk is put together.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #limit: number;
  /** Not read yet: it begins with the start of a frame, or with the rest of a body frame. */
  #chunk: Buffer | null = null;
  #at = 0;
  /** Length and command of a frame whose start is cut. */
  readonly #head = Buffer.alloc(5);
  #headFilled = 0;
  /** A frame being put together. */
  #frame: Buffer | null = null;
  #frameFilled = 0;
  /** Octets of the body frame still to come. */
  #bodyLeft = 0;
  #paused = false;
  #malformed = 0;

  constructor(sink: FrameSink, limit = maxFrameLength) {
    this.#sink = sink;
    this.#limit = limit;
  }

  /** The length that made the stream malformed. */
  get malformedLength(): number {
    return this.#malformed;
  }

  /** Paused with something that came after the frame it paused at. */
  get isHolding(): boolean {
    return this.#paused && this.#chunk !== null;
  }

  /** Reads a chunk. While paused, at most what one read of the socket gives is held. */
  push(chunk: Buffer): ReadResult {
    this.#chunk = this.#chunk === null ? chunk : Buffer.concat([this.#chunk.subarray(this.#at), chunk]);
    this.#at = 0;
    return this.#paused ? 'paused' : this.#read();
  }

  /** Goes on after a pause. */
  resume(): ReadResult {
    this.#paused = false;
    return this.#read();
  }

  #read(): ReadResult {
    const chunk = this.#chunk;
    if (chunk === null) return 'hungry';
    const end = chunk.length;
    let at = this.#at;
    while (at < end) {
      let goOn = true;
      if (this.#bodyLeft > 0) {
        const piece = Math.min(this.#bodyLeft, end - at);
        this.#bodyLeft -= piece;
        this.#sink.body(chunk.subarray(at, at + piece));
        at += piece;
        if (this.#bodyLeft === 0) goOn = this.#sink.bodyEnd();
      } else if (this.#frame !== null) {
        const piece = Math.min(this.#frame.length - this.#frameFilled, end - at);
        chunk.copy(this.#frame, this.#frameFilled, at, at + piece);
        this.#frameFilled += piece;
        at += piece;
        if (this.#frameFilled === this.#frame.length) {
          const frame = this.#frame;
          this.#frame = null;
          goOn = this.#sink.frame(this.#head[4] ?? 0, frame);
        }
      } else if (this.#headFilled > 0 || end - at < 5) {
        // The first five octets are cut: gather them by themselves.
        const piece = Math.min(5 - this.#headFilled, end - at);
        chunk.copy(this.#head, this.#headFilled, at, at + piece);
        this.#headFilled += piece;
        at += piece;
        if (this.#headFilled < 5) continue;
        this.#headFilled = 0;
        const length = this.#head.readUInt32BE(0);
        if (!this.#isSane(length)) return 'malformed';
        goOn = this.#begin(this.#head[4] ?? 0, length - 1);
      } else {
        const length = chunk.readUInt32BE(at);
        if (!this.#isSane(length)) return 'malformed';
        const command = chunk[at + 4] ?? 0;
        if (command !== Command.body && end - at >= 4 + length) {
          const data = chunk.subarray(at + 5, at + 4 + length);
          at += 4 + length;
          goOn = this.#sink.frame(command, data);
        } else {
          this.#head[4] = command;
          at += 5;
          goOn = this.#begin(command, length - 1);
        }
      }
      if (!goOn) {
        this.#paused = true;
        break;
      }
    }
    if (at < end) {
      this.#at = at;
    } else {
      this.#chunk = null;
      this.#at = 0;
    }
    return this.#paused ? 'paused' : 'hungry';
  }

  /** Starts a frame whose data does not lie whole behind its head. */
  #begin(command: number, length: number): boolean {
    if (command === Command.body) {
      this.#bodyLeft = length;
      return length > 0 || this.#sink.bodyEnd();
    }
    if (length === 0) return this.#sink.frame(command, Buffer.alloc(0));
    this.#frame = Buffer.allocUnsafeSlow(length);
    this.#frameFilled = 0;
    return true;
  }

  #isSane(length: number): boolean {
    if (length >= 1 && length <= this.#limit) return true;
    this.#malformed = length;
    return false;
  }
}

/** One frame, ready to be sent. */
export function encodeFrame(command: number, data: Uint8Array = noData): Buffer {
  const frame = Buffer.allocUnsafe(5 + data.length);
  frame.writeUInt32BE(1 + data.length, 0);
  frame[4] = command;
  frame.set(data, 5);
  return frame;
}

const noData = new Uint8Array(0);

/** Strings that end with NUL each, the shape of most frames' data. */
export function encodeStrings(...strings: readonly string[]): Buffer {
  return Buffer.from(strings.map((text) => `${text}\0`).join(''), 'latin1');
}

/** The strings of a frame's data; one without its final NUL is taken as it is. */
export function decodeStrings(data: Buffer): string[] {
  if (data.length === 0) return [];
  const end = data[data.length - 1] === 0 ? data.length - 1 : data.length;
  return data.toString('latin1', 0, end).split('\0');
}

/** A cursor over a message's bytes. Every read is checked; nothing but {@link WireError} is thrown. */
import { WireError } from './error.ts';
import { labelText } from './name.ts';

/** 255 octets hold at most 127 labels. */
const mostJumps = 127;

export class Reader {
  readonly #bytes: Uint8Array;
  #offset: number;
  /** Where reading must stop: the end of the message, or of the record data at hand. */
  #end: number;

  constructor(bytes: Uint8Array, offset = 0) {
    // A plain view: slicing a Buffer would share its memory instead of copying.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#offset = offset;
    this.#end = bytes.length;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#end - this.#offset;
  }

  u8(): number {
    return this.#bytes[this.#advance(1)] ?? 0;
  }

  u16(): number {
    const at = this.#advance(2);
    return ((this.#bytes[at] ?? 0) << 8) | (this.#bytes[at + 1] ?? 0);
  }

  u32(): number {
    return this.u16() * 0x10000 + this.u16();
  }

  u48(): number {
    return this.u16() * 0x100000000 + this.u32();
  }

  /** The next bytes, copied so that they outlive the packet's buffer. */
  take(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.#bytes.slice(at, at + length);
  }

  skip(length: number): void {
    this.#advance(length);
  }

  /** A character string (RFC 1035 §3.3): one octet of length, then as many bytes. */
  characterString(): Uint8Array {
    return this.take(this.u8());
  }

  /**
   * A name, with compression pointers followed (RFC 1035 §4.1.4). Each pointer must lead to before the labels read
   * since the last jump, which rules out loops; more jumps than a name has room for labels are refused, so that a
   * chain of pointers, named again and again, costs no more than names of full length.
   */
  name(): string {
    let at = this.#offset;
    let end = this.#end;
    let limit = at;
    let after = -1;
    let total = 1;
    let jumps = 0;
    let text = '';
    for (;;) {
      if (at >= end) throw new WireError('truncated', `a name at offset ${this.#offset} runs past the end`);
      const length = this.#bytes[at] ?? 0;
      if (length === 0) {
        this.#offset = after < 0 ? at + 1 : after;
        return text === '' ? '.' : text;
      }
      if (length >= 0xc0) {
        if (at + 1 >= end) throw new WireError('truncated', `a compression pointer at offset ${at} is cut off`);
        const target = ((length & 0x3f) << 8) | (this.#bytes[at + 1] ?? 0);
        if (target >= limit || target < 12) {
          throw new WireError('bad-name', `a compression pointer at offset ${at} does not lead back to a name`);
        }
        if (++jumps > mostJumps) throw new WireError('bad-name', `the name at offset ${this.#offset} is a maze`);
        if (after < 0) after = at + 2;
        at = target;
        limit = target;
        end = this.#bytes.length;
        continue;
      }
      // 0x40 and 0x80: extended and obsolete label types (RFC 6891 §5).
      if (length > 63) throw new WireError('bad-name', `the label at offset ${at} is of an unknown type`);
      if (at + 1 + length > end) throw new WireError('truncated', `the label at offset ${at} runs past the end`);
      total += length + 1;
      if (total > 255) throw new WireError('bad-name', `the name at offset ${this.#offset} is longer than 255 octets`);
      if (text !== '') text += '.';
      text += labelText(this.#bytes, at + 1, at + 1 + length);
      at += length + 1;
    }
  }

  /** Runs `read` over the next `length` bytes, which it must use up exactly. */
  within<T>(length: number, what: string, read: () => T): T {
    if (length > this.remaining) throw new WireError('truncated', `${what} runs past the end of the message`);
    const outer = this.#end;
    this.#end = this.#offset + length;
    const value = read();
    if (this.remaining !== 0) throw new WireError('bad-rdata', `${what} has ${this.remaining} bytes too many`);
    this.#end = outer;
    return value;
  }

  #advance(length: number): number {
    const at = this.#offset;
    if (at + length > this.#end) {
      throw new WireError('truncated', `${length} bytes are wanted at offset ${at}, ${this.#end - at} are left`);
    }
    this.#offset = at + length;
    return at;
  }
}

/** A growing message with name compression. Throws {@link WireError} for what the wire has no room for. */
import { WireError } from './error.ts';
import { nameLabels } from './name.ts';

const largest = 0xffff;

export class Writer {
  #bytes = Buffer.allocUnsafe(512);
  #length = 0;
  /** Where each suffix stands, keyed by its exact wire form, so that letters keep their case. */
  readonly #suffixes = new Map<string, number>();

  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    this.#check(value, 0xff);
    const at = this.#grow(1);
    this.#bytes[at] = value;
  }

  u16(value: number): void {
    this.#check(value, 0xffff);
    const at = this.#grow(2);
    this.#bytes.writeUInt16BE(value, at);
  }

  u32(value: number): void {
    this.#check(value, 0xffffffff);
    const at = this.#grow(4);
    this.#bytes.writeUInt32BE(value, at);
  }

  u48(value: number): void {
    this.#check(value, 0xffffffffffff);
    const at = this.#grow(6);
    this.#bytes.writeUIntBE(value, at, 6);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** A character string (RFC 1035 §3.3), at most 255 bytes. */
  characterString(bytes: Uint8Array): void {
    if (bytes.length > 255) {
      throw new WireError('bad-rdata', `a character string of ${bytes.length} bytes is over 255`);
    }
    this.u8(bytes.length);
    this.raw(bytes);
  }

  /** A name; `compress` only where receivers are bound to understand it (RFC 3597 §4). */
  name(name: string, compress: boolean): void {
    const labels = nameLabels(name);
    // Keys are built from the end, so that each suffix costs one concatenation.
    const keys: string[] = [];
    let key = '';
    for (let i = labels.length - 1; i >= 0; i--) {
      const label = labels[i] ?? new Uint8Array();
      key = `${String.fromCharCode(label.length)}${Buffer.from(label).toString('latin1')}${key}`;
      keys[i] = key;
    }
    for (const [i, label] of labels.entries()) {
      const suffix = keys[i] ?? '';
      const known = this.#suffixes.get(suffix);
      if (compress && known !== undefined) {
        this.u16(0xc000 | known);
        return;
      }
      if (known === undefined && this.#length < 0x4000) this.#suffixes.set(suffix, this.#length);
      this.u8(label.length);
      this.raw(label);
    }
    this.u8(0);
  }

  /** Writes what `write` writes, with its length in sixteen bits before it. */
  lengthPrefixed(write: () => void): void {
    const at = this.#grow(2);
    write();
    this.#bytes.writeUInt16BE(this.#length - at - 2, at);
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(0, this.#length));
  }

  /** Makes room and answers where; to be called before `#bytes` is looked at, which it may replace. */
  #grow(by: number): number {
    const at = this.#length;
    const needed = at + by;
    if (needed > largest) throw new WireError('too-large', `the message is larger than ${largest} bytes`);
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, at);
      this.#bytes = larger;
    }
    this.#length = needed;
    return at;
  }

  #check(value: number, max: number): void {
    if (!(Number.isInteger(value) && value >= 0 && value <= max)) {
      throw new WireError('out-of-range', `${value} does not fit: 0 to ${max}`);
    }
  }
}

/** Messages on a byte stream: two octets of length before each (RFC 1035 §4.2.2, RFC 7766 §8). */
import { WireError } from './error.ts';

/** A message as it goes over TCP, in one piece so that it leaves in one segment (RFC 7766 §8). */
export function frameMessage(bytes: Uint8Array): Uint8Array {
  if (bytes.length > 0xffff) throw new WireError('too-large', `a message of ${bytes.length} bytes is over 65535`);
  const framed = new Uint8Array(bytes.length + 2);
  framed[0] = bytes.length >> 8;
  framed[1] = bytes.length & 0xff;
  framed.set(bytes, 2);
  return framed;
}

/** Cuts a byte stream into messages, however the network cuts it into pieces. */
export class StreamReader {
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  /** The length of the message being read, once its two octets are there. */
  #expected: number | null = null;

  /** Whether the stream stands between two messages. */
  get idle(): boolean {
    return this.#buffered === 0 && this.#expected === null;
  }

  /** Bytes that wait for the rest of their message; after a {@link push} fewer than 65,535. */
  get buffered(): number {
    return this.#buffered;
  }

  /** Takes the next piece and answers the messages that it completes. A message may be empty: that is the peer's fault. */
  push(chunk: Uint8Array): Uint8Array[] {
    if (chunk.length > 0) this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    const messages: Uint8Array[] = [];
    for (;;) {
      if (this.#expected === null) {
        if (this.#buffered < 2) return messages;
        const [high = 0, low = 0] = this.#take(2);
        this.#expected = (high << 8) | low;
      }
      if (this.#buffered < this.#expected) return messages;
      messages.push(this.#take(this.#expected));
      this.#expected = null;
    }
  }

  #take(length: number): Uint8Array {
    const taken = new Uint8Array(length);
    let filled = 0;
    let used = 0;
    while (filled < length) {
      const chunk = this.#chunks[used] ?? new Uint8Array();
      const part = chunk.subarray(0, length - filled);
      taken.set(part, filled);
      filled += part.length;
      if (part.length < chunk.length) this.#chunks[used] = chunk.subarray(part.length);
      else used++;
    }
    this.#chunks.splice(0, used);
    this.#buffered -= length;
    return taken;
  }
}

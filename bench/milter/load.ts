/**
 * The load: messages over a number of connections, the next as soon as the last is answered. It shares the processors with
 * what it measures, so it is cheap: frames are made once, and of an answer only its end is looked at. Which frames are
 * waited for is as negotiated with each milter, as an MTA does.
 */
import { connect, type Socket } from 'node:net';
import { connectMilter } from '../../src/signers/milter/client.ts';
import {
  type ClientMessage,
  clientSegments,
  messageSegments,
  type Segment,
} from '../../src/signers/milter/client-frames.ts';
import { Command, Reply } from '../../src/signers/milter/codes.ts';
import { encodeFrame } from '../../src/signers/milter/frames.ts';
import { encodeOffer, type Offer } from '../../src/signers/milter/negotiate.ts';

/** As Postfix 3.7 offers it. */
const offer: Offer = { version: 6, actions: 0x1ff, steps: 0x1f_ffff };

export interface LoadResult {
  readonly messages: number;
  /** Milliseconds. */
  readonly duration: number;
  /** Milliseconds from the first frame of a message to the final reply, one for each message. */
  readonly latencies: Float64Array;
}

export interface LoadOptions {
  readonly socketPath: string;
  readonly connections: number;
  readonly message: ClientMessage;
  /** How many signatures each answer must hold. */
  readonly signatures: number;
  /** Milliseconds, or a number of messages. */
  readonly until:
    | { readonly kind: 'time'; readonly duration: number }
    | { readonly kind: 'count'; readonly messages: number };
}

/** @throws Error where the milter answers with anything but the signatures. */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const { socketPath, connections, message, signatures, until } = options;
  const { steps, version } = await agreedWith(socketPath, message, signatures);
  const segments = [...messageSegments(message, steps, version)];
  const recorded = new Recorder();
  const start = performance.now();
  const end = until.kind === 'time' ? start + until.duration : Number.POSITIVE_INFINITY;
  let left = until.kind === 'count' ? until.messages : Number.POSITIVE_INFINITY;
  const goOn = (now: number): boolean => now < end && left-- > 0;
  const opening = [
    { bytes: encodeFrame(Command.negotiate, encodeOffer(offer)), answered: true },
    ...clientSegments('127.0.0.1', steps),
  ];
  await Promise.all(Array.from({ length: connections }, () => drive(socketPath, opening, segments, goOn, recorded)));
  return { messages: recorded.count, duration: performance.now() - start, latencies: recorded.values() };
}

/** One message through the whole client first: are the signatures there at all? */
async function agreedWith(socketPath: string, message: ClientMessage, signatures: number): Promise<Offer> {
  using client = await connectMilter(`unix:${socketPath}`, offer);
  const { verdict, added } = await client.deliver(message);
  const made = added.filter(({ name }) => name === 'DKIM-Signature').length;
  if (verdict !== 'accepted' || made !== signatures) {
    throw new Error(`Loading ${socketPath}: a message was ${verdict} with ${made} signatures instead of ${signatures}`);
  }
  client.quit();
  return client.agreed;
}

function drive(
  path: string,
  opening: readonly Segment[],
  segments: readonly Segment[],
  goOn: (now: number) => boolean,
  recorded: Recorder,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let steps = opening;
    let at = 0;
    let started = 0;
    let received = 0;
    let isOpening = true;
    const buffer = Buffer.allocUnsafeSlow(65_536);
    const socket: Socket = connect({ path, onread: { buffer, callback: answered } });

    /** Sends up to the next frame that is answered. */
    function send(): void {
      for (;;) {
        const step = steps[at++];
        if (step === undefined) {
          finished();
          return;
        }
        socket.write(step.bytes);
        if (step.answered) return;
      }
    }

    function finished(): void {
      const now = performance.now();
      if (isOpening) {
        isOpening = false;
        steps = segments;
      } else {
        recorded.add(now - started);
      }
      if (!goOn(now)) {
        socket.end(encodeFrame(Command.quit));
        return;
      }
      at = 0;
      started = now;
      send();
    }

    function answered(length: number): boolean {
      received += length;
      const last = buffer[length - 1];
      const isFinal =
        length >= 5 &&
        buffer[length - 2] === 1 &&
        buffer[length - 3] === 0 &&
        (last === Reply.continue || last === Reply.accept);
      // Negotiation is answered by one frame of another kind.
      if (!isFinal && !(isOpening && at === 1)) {
        if (last === 0 && received < 100 && !isOpening)
          socket.destroy(new Error(`not signed: ${buffer.toString('latin1', 5, length)}`));
        return true;
      }
      received = 0;
      send();
      return true;
    }

    socket.on('connect', send);
    socket.on('error', reject);
    socket.on('close', () => resolve());
  });
}

/** Keeps the latencies of all messages, up to a million of the last. */
class Recorder {
  #values = new Float64Array(65_536);
  count = 0;

  add(value: number): void {
    if (this.count === this.#values.length && this.count < 1_048_576) {
      const larger = new Float64Array(this.count * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.count++ % this.#values.length] = value;
  }

  values(): Float64Array {
    return this.#values.subarray(0, Math.min(this.count, this.#values.length));
  }
}

export function percentile(sorted: Float64Array, part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

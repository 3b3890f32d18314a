/** The other end of a milter connection: what an MTA does. For `keyturn milter --check`, tests and the load generator. */
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ClientMessage, clientSegments, messageSegments } from './client-frames.ts';
import { Command, insertVersion, Reply, Step } from './codes.ts';
import { formatEndpoint, parseEndpoint } from './endpoint.ts';
import { decodeStrings, encodeFrame, FrameReader } from './frames.ts';
import { encodeOffer, type Offer } from './negotiate.ts';

export interface AddedHeader {
  readonly index: number;
  readonly name: string;
  /** As the MTA would write it behind the colon. */
  readonly value: string;
}

export interface Outcome {
  readonly verdict: 'accepted' | 'tempfailed' | 'rejected' | 'discarded';
  /** The milter's own SMTP reply, where it gave one. */
  readonly reply: string | null;
  /** Topmost first, as they would stand in the message. */
  readonly added: readonly AddedHeader[];
}

/** What Postfix 3.7 offers. */
export const postfixOffer: Offer = { version: 6, actions: 0x1ff, steps: 0x1f_ffff };

export interface MilterClient extends Disposable {
  /** What both sides agreed on. */
  readonly agreed: Offer;
  /** Sends CONNECT and HELO for this client; the first message does it with its own where it was not done. */
  connectClient(address: string | null): Promise<void>;
  deliver(message: ClientMessage): Promise<Outcome>;
  /** Sends frames as they are. */
  write(data: Buffer): void;
  /** The same, and waits until the stream takes more. */
  writeFully(data: Buffer): Promise<void>;
  /** The next frame that comes; null where the connection ended. */
  next(): Promise<{ readonly command: number; readonly data: Buffer } | null>;
  quit(): void;
}

/**
 * Connects and negotiates.
 * @throws Error saying which milter could not be spoken to, and why.
 */
export function connectMilter(
  socketName: string,
  offer: Offer = postfixOffer,
  timeout = 30_000,
): Promise<MilterClient> {
  const endpoint = parseEndpoint(socketName);
  const socket = connect(endpoint.kind === 'unix' ? { path: endpoint.path } : { ...endpoint, noDelay: true });
  socket.setTimeout(timeout, () => socket.destroy(new Error(`no answer within ${Math.round(timeout / 1000)} s`)));
  return speakMilter(socket, formatEndpoint(endpoint), offer);
}

/** The same over a stream that is there already; `name` is what errors call the other end. */
export async function speakMilter(socket: Duplex, name: string, offer: Offer = postfixOffer): Promise<MilterClient> {
  const frames = frameQueue(socket, name);
  socket.write(encodeFrame(Command.negotiate, encodeOffer(offer)));
  const answer = await frames.next();
  if (answer === null)
    throw new Error(`Speaking to the milter at ${name}: it closed the connection; does it allow this address?`);
  if (answer.command !== Command.negotiate || answer.data.length < 12) {
    socket.destroy();
    throw new Error(
      `Speaking to the milter at ${name}: its answer to the negotiation is not one of the milter protocol`,
    );
  }
  const agreed: Offer = {
    version: answer.data.readUInt32BE(0),
    actions: answer.data.readUInt32BE(4),
    steps: answer.data.readUInt32BE(8),
  };
  let connected = false;

  async function connectClient(address: string | null): Promise<void> {
    for (const { bytes, answered } of clientSegments(address, agreed.steps)) {
      socket.write(bytes);
      if (answered) await finalReply(frames, name, agreed);
    }
    connected = true;
  }

  /** No listener stays behind, however many writes there are. */
  function writeFully(bytes: Buffer): Promise<void> {
    if (socket.write(bytes) || socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        socket.off('drain', done);
        socket.off('close', done);
        resolve();
      };
      socket.on('drain', done);
      socket.on('close', done);
    });
  }

  async function deliver(message: ClientMessage): Promise<Outcome> {
    if (!connected) await connectClient(message.clientAddress === undefined ? '127.0.0.1' : message.clientAddress);
    let skipBody = false;
    for (const { bytes, answered } of messageSegments(message, agreed.steps, agreed.version)) {
      const isEnd = bytes.length >= 5 && bytes[bytes.length - 1] === Command.endOfBody;
      if (skipBody && !isEnd) continue;
      await writeFully(bytes);
      if (!answered) continue;
      const { last, outcome } = await finalReply(frames, name, agreed);
      if (last === Reply.skip) skipBody = true;
      else if (last !== Reply.continue || isEnd) return outcome;
    }
    throw new Error(`Speaking to the milter at ${name}: the message came to its end without an answer`);
  }

  return {
    agreed,
    connectClient,
    deliver,
    write: (data) => void socket.write(data),
    writeFully,
    next: frames.next,
    quit: () => void socket.end(encodeFrame(Command.quit)),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

interface FrameQueue {
  next(): Promise<{ readonly command: number; readonly data: Buffer } | null>;
}

function frameQueue(socket: Duplex, name: string): FrameQueue {
  const came: { readonly command: number; readonly data: Buffer }[] = [];
  let failure: Error | null = null;
  let ended = false;
  let wake: (() => void) | null = null;
  const notify = (): void => {
    wake?.();
    wake = null;
  };
  const reader = new FrameReader({
    frame(command, data) {
      came.push({ command, data });
      return true;
    },
    body: () => undefined,
    bodyEnd: () => true,
  });
  socket.on('data', (chunk: Buffer) => {
    if (reader.push(chunk) === 'malformed') socket.destroy(new Error('its answer is not one of the milter protocol'));
    notify();
  });
  socket.on('error', (error) => {
    failure = new Error(`Speaking to the milter at ${name}: ${error.message}`);
  });
  socket.on('close', () => {
    ended = true;
    notify();
  });
  return {
    async next() {
      while (came.length === 0) {
        if (failure !== null) throw failure;
        if (ended) return null;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return came.shift() ?? null;
    },
  };
}

/** Reads actions until the reply that ends them. */
async function finalReply(
  frames: FrameQueue,
  name: string,
  { version, steps }: Offer,
): Promise<{ readonly last: number; readonly outcome: Outcome }> {
  const added: AddedHeader[] = [];
  const space = (steps & Step.leadingSpace) === 0 ? ' ' : '';
  for (;;) {
    const frame = await frames.next();
    if (frame === null) throw new Error(`Speaking to the milter at ${name}: it closed the connection in mid-message`);
    const { command, data } = frame;
    const outcome = (verdict: Outcome['verdict'], reply: string | null = null) => ({
      last: command,
      outcome: { verdict, reply, added },
    });
    switch (command) {
      case Reply.insertHeader:
      case Reply.addHeader: {
        const inserts = command === Reply.insertHeader && version >= insertVersion;
        const [header = '', value = ''] = decodeStrings(inserts ? data.subarray(4) : data);
        const index = inserts ? data.readUInt32BE(0) : added.length;
        added.splice(inserts ? Math.max(index - 1, 0) : added.length, 0, { index, name: header, value: space + value });
        break;
      }
      case Reply.continue:
      case Reply.accept:
      case Reply.skip:
        return outcome('accepted');
      case Reply.tempfail:
        return outcome('tempfailed');
      case Reply.reject:
        return outcome('rejected');
      case Reply.discard:
        return outcome('discarded');
      case Reply.replyCode: {
        const [text = ''] = decodeStrings(data);
        return outcome(text.startsWith('4') ? 'tempfailed' : 'rejected', text);
      }
      case Reply.shutdown:
        return outcome('tempfailed');
      default:
        // Actions that change nothing of what is asked here: progress, recipients, quarantine.
        break;
    }
  }
}

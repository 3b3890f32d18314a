/** The other end of a milter connection: what an MTA does. For `keyturn milter --check`, tests and the load generator. */
import { connect, type Socket } from 'node:net';
import { Command, insertVersion, Reply, Step } from './codes.ts';
import { formatEndpoint, parseEndpoint } from './endpoint.ts';
import { decodeStrings, encodeFrame, encodeStrings, FrameReader } from './frames.ts';
import type { Offer } from './negotiate.ts';

export interface ClientMessage {
  /** Address of the client that hands the message in; null is a local hand-over without network. */
  readonly clientAddress?: string | null;
  readonly user?: string;
  readonly sender?: string;
  readonly recipients?: readonly string[];
  readonly queueId?: string;
  /** Name and value; the value begins with what follows the colon, its white space included. Latin-1 strings are octets. */
  readonly headers: ReadonlyArray<readonly [name: string, value: string | Uint8Array]>;
  readonly body: Uint8Array;
}

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

/** Bytes to send at once, and whether an answer is waited for afterwards. */
export interface Segment {
  readonly bytes: Buffer;
  readonly answered: boolean;
}

/**
 * The frames of a message, each run of them that needs no answer put together with the one that does: an MTA buffers
 * in the same way. `steps` are those agreed on.
 */
export function messageSegments(message: ClientMessage, steps: number, version = 6): Segment[] {
  const segments: Segment[] = [];
  let run: Buffer[] = [];
  const add = (silent: boolean, ...frames: readonly Buffer[]): void => {
    run.push(...frames);
    if (silent) return;
    segments.push({ bytes: Buffer.concat(run), answered: true });
    run = [];
  };
  const has = (bit: number): boolean => (steps & bit) !== 0;
  const { sender = 'sender@example.com', recipients = ['recipient@example.net'] } = message;
  if (!has(Step.noMail)) {
    const macros = message.user === undefined ? [] : [encodeMacros(Command.mail, ['{auth_authen}', message.user])];
    add(has(Step.silentMail), ...macros, encodeFrame(Command.mail, encodeStrings(`<${sender}>`)));
  }
  if (!has(Step.noRecipient)) {
    for (const recipient of recipients) {
      add(has(Step.silentRecipient), encodeFrame(Command.recipient, encodeStrings(`<${recipient}>`)));
    }
  }
  if (!has(Step.noData) && version >= 4) add(has(Step.silentData), encodeFrame(Command.data));
  if (!has(Step.noHeaders)) {
    for (const [name, value] of message.headers) {
      let octets = Buffer.from(value as string, 'latin1');
      if (!has(Step.leadingSpace) && octets[0] === 0x20) octets = octets.subarray(1);
      const data = Buffer.concat([encodeStrings(name), octets, Buffer.from([0])]);
      add(has(Step.silentHeader), encodeFrame(Command.header, data));
    }
  }
  if (!has(Step.noEndOfHeaders)) {
    const macros = encodeMacros(Command.endOfHeaders, ['i', message.queueId ?? 'TEST']);
    add(has(Step.silentEndOfHeaders), macros, encodeFrame(Command.endOfHeaders));
  }
  if (!has(Step.noBody)) {
    for (let at = 0; at < message.body.length; at += bodyChunk) {
      add(has(Step.silentBody), encodeFrame(Command.body, message.body.subarray(at, at + bodyChunk)));
    }
  }
  add(false, encodeFrame(Command.endOfBody));
  return segments;
}

const bodyChunk = 65_535;

/** CONNECT and HELO, with their macros. */
export function clientSegments(address: string | null, steps: number): Segment[] {
  const segments: Segment[] = [];
  const frames: Buffer[] = [encodeMacros(Command.connect, ['{daemon_name}', 'test.client', 'j', 'mx.example.com'])];
  if ((steps & Step.noConnect) === 0) {
    const isV6 = address?.includes(':') === true;
    const family = address === null ? 'L' : isV6 ? '6' : '4';
    const place = address === null ? '/socket' : isV6 ? `IPv6:${address}` : address;
    const data = Buffer.concat([
      encodeStrings('client.example.com'),
      Buffer.from(family),
      Buffer.from([0x30, 0x39]),
      encodeStrings(place),
    ]);
    frames.push(encodeFrame(Command.connect, data));
    segments.push({ bytes: Buffer.concat(frames), answered: (steps & Step.silentConnect) === 0 });
  }
  if ((steps & Step.noHelo) === 0) {
    const helo = encodeFrame(Command.helo, encodeStrings('client.example.com'));
    segments.push({ bytes: helo, answered: (steps & Step.silentHelo) === 0 });
  }
  return segments;
}

export function encodeMacros(of: number, strings: readonly string[]): Buffer {
  return encodeFrame(Command.macros, Buffer.concat([Buffer.from([of]), encodeStrings(...strings)]));
}

export interface MilterClient extends Disposable {
  /** What both sides agreed on. */
  readonly agreed: Offer;
  /** Sends CONNECT and HELO for this client; the first message does it with its own where it was not done. */
  connectClient(address: string | null): Promise<void>;
  deliver(message: ClientMessage): Promise<Outcome>;
  /** Sends frames as they are. */
  write(data: Buffer): void;
  /** The next frame that comes; null where the connection ended. */
  next(): Promise<{ readonly command: number; readonly data: Buffer } | null>;
  quit(): void;
}

/**
 * Connects and negotiates.
 * @throws Error saying which milter could not be spoken to, and why.
 */
export async function connectMilter(
  socketName: string,
  offer: Offer = postfixOffer,
  timeout = 30_000,
): Promise<MilterClient> {
  const endpoint = parseEndpoint(socketName);
  const name = formatEndpoint(endpoint);
  const socket = connect(endpoint.kind === 'unix' ? { path: endpoint.path } : { ...endpoint, noDelay: true });
  const frames = frameQueue(socket, name, timeout);
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
      if (answered) await finalReply(frames, name, agreed.version);
    }
    connected = true;
  }

  async function deliver(message: ClientMessage): Promise<Outcome> {
    if (!connected) await connectClient(message.clientAddress === undefined ? '127.0.0.1' : message.clientAddress);
    let skipBody = false;
    for (const { bytes, answered } of messageSegments(message, agreed.steps, agreed.version)) {
      const isEnd = bytes.length >= 5 && bytes[bytes.length - 1] === Command.endOfBody;
      if (skipBody && !isEnd) continue;
      if (!socket.write(bytes)) await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve));
      if (!answered) continue;
      const { last, outcome } = await finalReply(frames, name, agreed.version);
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
    next: frames.next,
    quit: () => void socket.end(encodeFrame(Command.quit)),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

export function encodeOffer(offer: Offer): Buffer {
  const data = Buffer.alloc(12);
  data.writeUInt32BE(offer.version, 0);
  data.writeUInt32BE(offer.actions, 4);
  data.writeUInt32BE(offer.steps, 8);
  return data;
}

interface FrameQueue {
  next(): Promise<{ readonly command: number; readonly data: Buffer } | null>;
}

function frameQueue(socket: Socket, name: string, timeout: number): FrameQueue {
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
  socket.setTimeout(timeout, () => socket.destroy(new Error(`no answer within ${Math.round(timeout / 1000)} s`)));
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
  version: number,
): Promise<{ readonly last: number; readonly outcome: Outcome }> {
  const added: AddedHeader[] = [];
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
        added.splice(inserts ? Math.max(index - 1, 0) : added.length, 0, { index, name: header, value });
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

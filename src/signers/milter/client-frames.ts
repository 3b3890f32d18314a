/** The frames an MTA sends for a client and a message of it. */
import { Command, Step } from './codes.ts';
import { encodeFrame, encodeStrings } from './frames.ts';

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

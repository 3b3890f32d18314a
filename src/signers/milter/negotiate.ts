/** The first exchange on a connection: what the MTA offers, what of it we take. */
import { Action, Command, MacroStage, oldestVersion, protocolVersion, Step } from './codes.ts';
import { encodeFrame, encodeStrings } from './frames.ts';

export interface Offer {
  readonly version: number;
  readonly actions: number;
  readonly steps: number;
}

export type Negotiation =
  | {
      readonly kind: 'agreed';
      readonly version: number;
      readonly actions: number;
      readonly steps: number;
      readonly answer: Buffer;
    }
  | { readonly kind: 'refused'; readonly why: string };

/**
 * What we would take from an MTA that offers everything: of a message only its end is answered, so that all of it comes in
 * one go. A round trip costs more processor time than being sent, and not looking at, the body of a message that is not
 * ours (measured up to 100 KB); with `answerHeaders` such a body is not sent.
 */
const wantedSteps =
  Step.noHelo |
  Step.noRecipient |
  Step.noUnknown |
  Step.noData |
  Step.silentConnect |
  Step.silentHelo |
  Step.silentMail |
  Step.silentRecipient |
  Step.silentData |
  Step.silentUnknown |
  Step.silentHeader |
  Step.silentEndOfHeaders |
  Step.silentBody |
  Step.skip |
  Step.leadingSpace;

/** The macros that decide what is outbound, and the queue identifier for the log. */
const macroLists: ReadonlyArray<readonly [stage: number, names: string]> = [
  [MacroStage.connect, '{daemon_name} {client_addr}'],
  [MacroStage.mail, '{auth_authen} {mail_addr}'],
  [MacroStage.endOfHeaders, 'i'],
  [MacroStage.endOfMessage, 'i'],
];

/** Reads the data of an MTA's negotiation frame; null where it is too short to be one. */
export function decodeOffer(data: Buffer): Offer | null {
  if (data.length < 12) return null;
  return { version: data.readUInt32BE(0), actions: data.readUInt32BE(4), steps: data.readUInt32BE(8) };
}

export function encodeOffer(offer: Offer): Buffer {
  const data = Buffer.alloc(12);
  data.writeUInt32BE(offer.version, 0);
  data.writeUInt32BE(offer.actions, 4);
  data.writeUInt32BE(offer.steps, 8);
  return data;
}

/** Takes from the offer what we want: never a bit that was not offered, never a higher version. */
export function negotiate(offer: Offer, answerHeaders = false): Negotiation {
  if (offer.version < oldestVersion) {
    return {
      kind: 'refused',
      why: `it speaks version ${offer.version} of the protocol; ${oldestVersion} or later is needed`,
    };
  }
  if ((offer.actions & Action.addHeaders) === 0) {
    return { kind: 'refused', why: 'it does not let milters add header fields, and a signature is one' };
  }
  const version = Math.min(offer.version, protocolVersion);
  const actions = offer.actions & (Action.addHeaders | Action.setMacroList);
  const steps = offer.steps & (answerHeaders ? wantedSteps & ~Step.silentEndOfHeaders : wantedSteps);
  const parts: Buffer[] = [encodeOffer({ version, actions, steps })];
  if ((actions & Action.setMacroList) !== 0) {
    for (const [stage, names] of macroLists) {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(stage, 0);
      parts.push(head, encodeStrings(names));
    }
  }
  return { kind: 'agreed', version, actions, steps, answer: encodeFrame(Command.negotiate, Buffer.concat(parts)) };
}

/** What is answered at the end of a step: bytes for the MTA. */
import type { SignatureField } from '../../dkim/sign.ts';
import { insertVersion, Reply, Step } from './codes.ts';
import { encodeFrame, encodeStrings } from './frames.ts';

export const replyContinue = encodeFrame(Reply.continue);
export const replyAccept = encodeFrame(Reply.accept);

/** An SMTP reply of our own. A per cent sign is a format character to some MTAs, and line ends are not ours to send. */
export function replyCode(code: string, status: string, text: string): Buffer {
  const plain = text.replaceAll(/[^\x20-\x7e]|%/g, '?');
  return encodeFrame(Reply.replyCode, encodeStrings(`${code} ${status} ${plain}`));
}

/**
 * One write for all signatures and the final `continue`. They are put on top of the header, the first of the list topmost.
 * Whoever negotiated the leading space gives it with the value.
 */
export function signedReply(fields: readonly SignatureField[], version: number, steps: number): Buffer {
  const inserts = version >= insertVersion;
  const space = (steps & Step.leadingSpace) === 0 ? '' : ' ';
  let length = replyContinue.length;
  for (const { name, value } of fields) {
    length += 5 + (inserts ? 4 : 0) + name.length + 1 + space.length + value.length + 1;
  }
  const out = Buffer.allocUnsafe(length);
  let at = 0;
  // Each goes to index 0, above the one before.
  for (let i = fields.length - 1; i >= 0; i--) {
    const field = fields[i];
    if (field === undefined) continue;
    const { name, value } = field;
    const data = `${name}\0${space}${value}\0`;
    at = out.writeUInt32BE(1 + (inserts ? 4 : 0) + data.length, at);
    out[at++] = inserts ? Reply.insertHeader : Reply.addHeader;
    if (inserts) at = out.writeUInt32BE(0, at);
    at += out.write(data, at, 'latin1');
  }
  replyContinue.copy(out, at);
  return out;
}

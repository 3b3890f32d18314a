/** How a DKIM-Signature field is written: its tags, their order and its folds (RFC 6376 section 3.5). */
import type { SigningAlgorithm } from './types.ts';

/** RFC 5322 section 2.1.1: lines should be no longer than this, without the CRLF. */
const lineWidth = 78;
const fieldStart = 'DKIM-Signature: ';

/** What of a field depends on the key and the options alone, and is written once for all messages. */
export function signaturePrefix(tags: {
  readonly algorithm: SigningAlgorithm;
  readonly canonicalization: string;
  readonly domain: string;
  readonly selector: string;
  readonly identity: string | undefined;
}): string {
  const parts = [
    'v=1;',
    `a=${tags.algorithm};`,
    `c=${tags.canonicalization};`,
    `d=${tags.domain};`,
    `s=${tags.selector};`,
    ...(tags.identity === undefined ? [] : [`i=${identityText(tags.identity)};`]),
  ];
  return fold(parts, ' ', fieldStart.length);
}

/** `h=` on lines of its own, with its semicolon; begins with a fold. */
export function signedHeadersTag(names: readonly string[]): string {
  const parts = names.map((name, index) => {
    const start = index === 0 ? 'h=' : '';
    return `${start}${name}${index === names.length - 1 ? ';' : ':'}`;
  });
  return `\r\n ${fold(parts, '', 1)}`;
}

/** `bh=`, `t=`, `x=` on a line of their own and an empty `b=`: the end of what is signed. Times in epoch seconds. */
export function signatureSuffix(bodyHash: string, timestamp: number, expires: number | undefined): string {
  const expiry = expires === undefined ? '' : ` x=${expires};`;
  return `\r\n bh=${bodyHash}; t=${timestamp};${expiry}\r\n b=`;
}

/** The signature itself, to be put after the empty `b=`; its folds are not part of what is signed (section 3.5, `b=`). */
export function foldedSignature(base64: string): string {
  const first = lineWidth - ' b='.length;
  let text = base64.slice(0, first);
  for (let i = first; i < base64.length; i += lineWidth - 1) text += `\r\n ${base64.slice(i, i + lineWidth - 1)}`;
  return text;
}

/**
 * The relaxed form (section 3.4.2) of a field written by the functions above: they use single spaces and folds of CRLF and
 * one space only, so the general canonicalization comes down to joining the lines.
 */
export function relaxedSignature(value: string): string {
  return `dkim-signature:${value.replaceAll('\r\n', '')}`;
}

export function simpleSignature(value: string): string {
  return fieldStart + value;
}

function fold(parts: readonly string[], separator: string, startColumn: number): string {
  let text = '';
  let column = startColumn;
  for (const part of parts) {
    if (text === '') {
      text = part;
      column += part.length;
    } else if (column + separator.length + part.length <= lineWidth) {
      text += separator + part;
      column += separator.length + part.length;
    } else {
      text += `\r\n ${part}`;
      column = 1 + part.length;
    }
  }
  return text;
}

/** dkim-quoted-printable (section 2.11) for the local part: whatever is not a dkim-safe-char becomes `=XX`. */
function identityText(identity: string): string {
  const at = identity.lastIndexOf('@');
  let local = '';
  for (const octet of Buffer.from(identity.slice(0, at), 'utf8')) {
    const safe = octet >= 0x21 && octet <= 0x7e && octet !== 0x3b && octet !== 0x3d;
    local += safe ? String.fromCharCode(octet) : `=${octet.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return `${local}@${identity.slice(at + 1).toLowerCase()}`;
}

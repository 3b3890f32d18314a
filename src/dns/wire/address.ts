/** IP addresses between text and octets. */
import { isIPv4, isIPv6 } from 'node:net';
import { WireError } from './error.ts';

/** The four octets of an IPv4 address in dotted form. */
export function ipv4Bytes(text: string): Uint8Array {
  if (!isIPv4(text)) throw new WireError('bad-rdata', `"${text}" is not an IPv4 address`);
  return Uint8Array.from(text.split('.'), Number);
}

export function ipv4Text(bytes: Uint8Array): string {
  return bytes.join('.');
}

/** The sixteen octets of an IPv6 address in any form of RFC 4291 §2.2, without a zone index. */
export function ipv6Bytes(text: string): Uint8Array {
  if (!isIPv6(text) || text.includes('%')) throw new WireError('bad-rdata', `"${text}" is not an IPv6 address`);
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const [a = 0, b = 0, c = 0, d = 0] = dotted === null ? [] : ipv4Bytes(dotted[2] ?? '');
  const plain = dotted === null ? text : `${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  const [head = '', tail] = plain.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return Uint8Array.from(
    groups.flatMap((group) => {
      const value = Number.parseInt(group, 16);
      return [value >> 8, value & 0xff];
    }),
  );
}

/** The text of an IPv6 address as RFC 5952 wants it: lower case, the longest run of two or more zero groups as `::`. */
export function ipv6Text(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === '0') end++;
    if (end - i > length) {
      start = i;
      length = end - i;
    }
  }
  if (start < 0) return groups.join(':');
  return `${groups.slice(0, start).join(':')}::${groups.slice(start + length).join(':')}`;
}

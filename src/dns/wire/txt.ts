/** TXT values: one text outside, strings of at most 255 bytes on the wire. */
import type { RecordData, TxtData } from './rdata.ts';

/**
 * The joined strings, one character an octet (Latin-1), so that comparing texts compares octets.
 * Key records join their strings without anything between them (RFC 6376 §3.6.2.2).
 */
export function txtValue(data: TxtData): string {
  return Buffer.concat(data.strings).toString('latin1');
}

/** The data of a TXT record with `value` (one character an octet) cut into strings of 255 bytes. */
export function txtData(value: string): TxtData {
  return { kind: 'TXT', strings: txtStrings(value).map((string) => new Uint8Array(Buffer.from(string, 'latin1'))) };
}

/** `value` in pieces of at most 255 octets; the empty value is one empty piece. */
export function txtStrings(value: string): string[] {
  const strings: string[] = [];
  for (let at = 0; at < value.length; at += 255) strings.push(value.slice(at, at + 255));
  return strings.length === 0 ? [''] : strings;
}

/** The joined values of the TXT records among `records`. */
export function txtValues(records: readonly { readonly data: RecordData }[]): string[] {
  return records.flatMap(({ data }) => (data.kind === 'TXT' ? [txtValue(data)] : []));
}

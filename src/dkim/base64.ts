/** Base64 as RFC 4648 section 4 has it: right alphabet, right padding, nothing between. `undefined` for anything else. */
export function decodeBase64(text: string): Buffer | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  const octets = Buffer.from(text, 'base64');
  // Stray bits after the last octet would let two texts stand for one key.
  return octets.toString('base64') === text ? octets : undefined;
}

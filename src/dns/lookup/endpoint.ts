/** Where a server is asked: `192.0.2.1`, `192.0.2.1:5300`, `2001:db8::1`, `[2001:db8::1]:5300`, `ns1.example.net:5300`. */
import { isIPv6 } from 'node:net';

export interface Endpoint {
  /** An IP address, or a host name where the caller resolves them. */
  readonly address: string;
  readonly port: number;
}

/** @throws RangeError naming the text that is no address */
export function parseEndpoint(text: string, defaultPort = 53): Endpoint {
  if (isIPv6(text)) return { address: text, port: defaultPort };
  const { bracketed, plain, port } =
    /^(?:\[(?<bracketed>[^\]]+)\]|(?<plain>[^\s:[\]]+))(?::(?<port>\d{1,5}))?$/.exec(text)?.groups ?? {};
  const address = bracketed ?? plain;
  const number = port === undefined ? defaultPort : Number(port);
  if (address === undefined || (bracketed !== undefined && !isIPv6(bracketed)) || number < 1 || number > 65_535) {
    throw new RangeError(`"${text}" is no server: write 192.0.2.1, 192.0.2.1:5300 or [2001:db8::1]:5300`);
  }
  return { address, port: number };
}

export function endpointText({ address, port }: Endpoint): string {
  if (port === 53) return address;
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Lists of addresses and networks: who may connect, and whose mail is outbound. */
import { BlockList, isIP } from 'node:net';

export interface NetworkList {
  /** False for what is no address. IPv4 addresses mapped into IPv6 count as IPv4. */
  contains(address: string): boolean;
}

/**
 * Reads addresses and networks in CIDR form, IPv4 and IPv6.
 * @throws Error naming the entry that is neither.
 */
export function networkList(networks: readonly string[]): NetworkList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix, ...rest] = network.trim().split('/');
    const family = isIP(address);
    const longest = family === 4 ? 32 : 128;
    const length = prefix === undefined ? longest : Number(prefix);
    const isLength = prefix === undefined || (/^\d{1,3}$/.test(prefix) && length <= longest);
    if (family === 0 || rest.length > 0 || !isLength) {
      throw new Error(`"${network}" is no address or network; write it as 192.0.2.0/24, 10.0.0.1 or 2001:db8::/32`);
    }
    list.addSubnet(address, length, family === 4 ? 'ipv4' : 'ipv6');
  }
  return {
    contains(address) {
      const plain = plainAddress(address);
      const family = isIP(plain);
      return family !== 0 && list.check(plain, family === 4 ? 'ipv4' : 'ipv6');
    },
  };
}

/** An address as Node's socket or an MTA gives it: without `IPv6:`, brackets, a zone, or the mapping of IPv4 into IPv6. */
export function plainAddress(address: string): string {
  let plain = address.trim();
  if (plain.startsWith('[') && plain.endsWith(']')) plain = plain.slice(1, -1);
  if (/^ipv6:/i.test(plain)) plain = plain.slice(5);
  const zone = plain.indexOf('%');
  if (zone >= 0) plain = plain.slice(0, zone);
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain);
  return mapped?.[1] ?? plain;
}

/** Who may do what: lists of addresses and networks. */
import { BlockList, isIP, isIPv6 } from 'node:net';

export interface AddressList {
  has(address: string): boolean;
}

/**
 * @param entries addresses and networks such as `192.0.2.0/24`, `2001:db8::/32`, `::1`
 * @throws RangeError naming the entry that is neither
 */
export function createAddressList(entries: Iterable<string>): AddressList {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', length] = entry.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    const bits = family === 'ipv6' ? 128 : 32;
    const prefix = length === undefined ? bits : Number(length);
    if (isIP(address) === 0 || !Number.isInteger(prefix) || prefix < 0 || prefix > bits || length === '') {
      throw new RangeError(`"${entry}" is neither an IP address nor a network such as 192.0.2.0/24 or 2001:db8::/32`);
    }
    list.addSubnet(address, prefix, family);
  }
  return {
    has(address) {
      const plain = plainAddress(address);
      return list.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
    },
  };
}

/** Without a zone index, and IPv4 as IPv4 where it came through an IPv6 socket. */
export function plainAddress(address: string): string {
  const bare = address.replace(/%.*$/, '');
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1] ?? bare;
}

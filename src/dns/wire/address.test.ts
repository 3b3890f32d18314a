import { SocketAddress } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipv4Bytes, ipv6Bytes, ipv6Text } from './address.ts';
import { WireError } from './error.ts';

/** Addresses with runs of zeros, where the text forms differ. */
const addressBytes = fc
  .array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
  .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff])));

describe('IPv6 addresses', () => {
  it('keep their octets through their text', () => {
    fc.assert(
      fc.property(addressBytes, (bytes) => {
        expect([...ipv6Bytes(ipv6Text(bytes))]).toEqual([...bytes]);
      }),
      { numRuns: 500 },
    );
  });

  it('are understood by the platform as the same address', () => {
    fc.assert(
      fc.property(addressBytes, (bytes) => {
        const platform = new SocketAddress({ family: 'ipv6', address: ipv6Text(bytes) }).address;
        expect([...ipv6Bytes(platform)]).toEqual([...bytes]);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['fe80:0:0:0:0:0:0:0', 'fe80::'],
  ])('%s is written %s', (given, expected) => {
    expect(ipv6Text(ipv6Bytes(given))).toBe(expected);
  });

  it.each(['', '1', 'fe80::1%eth0', '::g', '1:2:3:4:5:6:7:8:9', '192.0.2.1'])('%j is none', (text) => {
    expect(() => ipv6Bytes(text)).toThrow(WireError);
  });
});

describe('IPv4 addresses', () => {
  it('are four octets', () => {
    expect([...ipv4Bytes('192.0.2.255')]).toEqual([192, 0, 2, 255]);
  });

  it.each(['', '1.2.3', '1.2.3.256', '01.2.3.4', '::1'])('%j is none', (text) => {
    expect(() => ipv4Bytes(text)).toThrow(WireError);
  });
});

import { describe, expect, it } from 'vitest';
import { networkList, plainAddress } from './networks.ts';

describe('a list of networks', () => {
  const list = networkList(['192.0.2.0/24', '10.0.0.1', '2001:db8::/32', '::1']);

  it.each([
    ['192.0.2.200', true],
    ['192.0.3.1', false],
    ['10.0.0.1', true],
    ['10.0.0.2', false],
    ['2001:db8:1::5', true],
    ['2001:db9::1', false],
    ['::1', true],
    ['::ffff:192.0.2.7', true],
    ['IPv6:2001:db8::1', true],
    ['[2001:db8::1]', true],
    ['unknown', false],
    ['', false],
  ])('with %s: %s', (address, expected) => {
    expect(list.contains(address)).toBe(expected);
  });

  it.each(['192.0.2.0/33', 'example.com', '192.0.2.0/24/1', '2001:db8::/129', '10.0.0.0/', '/8'])(
    'refuses %s by name',
    (entry) => {
      expect(() => networkList([entry])).toThrow(entry);
    },
  );

  it('takes zones and prefixes off an address', () => {
    expect(plainAddress('fe80::1%eth0')).toBe('fe80::1');
    expect(plainAddress('IPv6:::1')).toBe('::1');
  });
});

import { expect, test } from 'vitest';
import { createRateLimiter, network } from './rate-limit.ts';

test('a network gets its rate of one answer, and truncated ones among those held back', () => {
  const limiter = createRateLimiter({ responsesPerSecond: 10, burst: 1, slip: 2 });
  const ask = (address: string, kind: string, now: number): string => limiter.check(address, kind, now);
  const first = Array.from({ length: 20 }, (_, i) => ask(`192.0.2.${i}`, 'a.example.test', 0));
  expect(first.slice(0, 10).every((limit) => limit === 'send')).toBe(true);
  expect(first.slice(10)).toEqual([
    'drop',
    'truncate',
    'drop',
    'truncate',
    'drop',
    'truncate',
    'drop',
    'truncate',
    'drop',
    'truncate',
  ]);
  // Other answers, other networks.
  expect(ask('192.0.2.1', 'b.example.test', 0)).toBe('send');
  expect(ask('192.0.3.1', 'a.example.test', 0)).toBe('send');
  // Half a second later half of it is there again.
  const later = Array.from({ length: 6 }, () => ask('192.0.2.1', 'a.example.test', 500));
  expect(later.filter((limit) => limit === 'send')).toHaveLength(5);
  // A clock that goes back gives nothing.
  expect(ask('192.0.2.1', 'a.example.test', 100)).not.toBe('send');
});

test('slip 0 never answers, slip 1 always truncates', () => {
  for (const [slip, expected] of [
    [0, 'drop'],
    [1, 'truncate'],
  ] as const) {
    const limiter = createRateLimiter({ responsesPerSecond: 1, burst: 1, slip });
    limiter.check('::1', 'x', 0);
    expect([limiter.check('::1', 'x', 0), limiter.check('::1', 'x', 0)]).toEqual([expected, expected]);
  }
});

test('remembers what was asked lately, and no more than its table holds', () => {
  const limiter = createRateLimiter({ responsesPerSecond: 1, burst: 1, slip: 0, tableSize: 100 });
  limiter.check('192.0.2.1', 'victim', 0);
  for (let i = 0; i < 40; i += 1) limiter.check('192.0.2.1', `n${i}`, 0);
  expect(limiter.check('192.0.2.1', 'victim', 0)).toBe('drop');
  for (let i = 0; i < 200; i += 1) limiter.check('192.0.2.1', `m${i}`, 0);
  expect(limiter.check('192.0.2.1', 'victim', 0)).toBe('send');
});

test('networks are /24 and /56, IPv4 in IPv6 is IPv4', () => {
  expect(network('192.0.2.77')).toBe(network('::ffff:192.0.2.1'));
  expect(network('192.0.3.77')).not.toBe(network('192.0.2.77'));
  expect(network('2001:db8:0:1200::1')).toBe(network('2001:db8:0:12ff:1::2%eth0'));
  expect(network('2001:db8:0:1300::1')).not.toBe(network('2001:db8:0:1200::1'));
});

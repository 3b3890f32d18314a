import { expect, test } from 'vitest';
import { createRedisClock, withTimes } from './redis-clock.ts';
import type { RedisLink } from './redis-connection.ts';

const hour = 3_600_000;

/** Redis as far as its clock goes. */
function redisAt(at: () => number): RedisLink {
  return {
    name: 'redis',
    connections: 1,
    call: async () => [Buffer.from(String(Math.floor(at() / 1000))), Buffer.from(String((at() % 1000) * 1000))],
    blocking: () => redisAt(at),
    close: async () => undefined,
  };
}

test('what a machine an hour behind writes, one ten minutes ahead reads in its own time', async () => {
  const truth = 1_800_000_000_500;
  const redis = redisAt(() => truth + 3000);
  const behind = createRedisClock(redis, { now: () => truth - hour });
  const ahead = createRedisClock(redis, { now: () => truth + hour / 6 });
  await behind.compare();
  await ahead.compare();
  const report = {
    domain: 'example.com',
    born: 1,
    acknowledged: 3,
    trouble: null,
    tests: { s1: { kind: 'signed', at: truth - hour - 50, entered: 3 } as const },
    seen: { s1: truth - hour - 100 },
  };
  const read = withTimes(withTimes(report, behind.toRedis), ahead.fromRedis);
  expect(read.seen).toEqual({ s1: truth + hour / 6 - 100 });
  expect(read.tests.s1?.at).toBe(truth + hour / 6 - 50);
});

/**
 * The clocks of two machines, compared by Redis': what one writes in Redis' time the other reads in its own, however wrong either is. Without
 * this a mail server whose clock is an hour slow would have its keys' last signatures an hour too early, and the overlap would be too short.
 */
import type { Clock } from '../../lifecycle/clock.ts';
import type { FeedReport, FeedTest } from './feed.ts';
import type { RedisLink } from './redis-connection.ts';

export interface RedisClock {
  /** Asks for the difference again. */
  compare(): Promise<void>;
  toRedis(at: number): number;
  fromRedis(at: number): number;
}

export function createRedisClock(link: RedisLink, clock: Clock): RedisClock {
  let ahead = 0;
  return {
    async compare() {
      const before = clock.now();
      const [seconds, micros] = (await link.call('TIME')) as [Buffer, Buffer];
      const after = clock.now();
      ahead = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000) - Math.round((before + after) / 2);
    },
    toRedis: (at) => at + ahead,
    fromRedis: (at) => at - ahead,
  };
}

/** The report with its times told by another clock. */
export function withTimes(report: FeedReport, translate: (at: number) => number): FeedReport {
  const tests = Object.entries(report.tests).map(([selector, test]): [string, FeedTest] => [
    selector,
    { ...test, at: translate(test.at) },
  ]);
  const seen = Object.entries(report.seen).map(([selector, at]) => [selector, translate(at)] as const);
  return { ...report, tests: Object.fromEntries(tests), seen: Object.fromEntries(seen) };
}

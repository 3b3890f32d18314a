/** The control plane's view of its followers: who they are, what they report, and what they are asked for. */
import type { Clock } from '../../lifecycle/clock.ts';
import { FeedError, type FeedReport } from './feed.ts';
import { type Registration, readRegistration, sameRegistration, sealRegistration } from './follower.ts';
import { createRedisClock, withTimes } from './redis-clock.ts';
import type { RedisLink } from './redis-connection.ts';
import { leaseScript, type RedisLayout, settleScript } from './redis-layout.ts';
import type { RecordSealer } from './sealed-record.ts';

export interface ReadReport {
  readonly report: FeedReport;
  /** As it was read, to take away this one and no later one. */
  readonly sealed: Buffer;
}

export interface KnownFollower extends Registration {
  /** Mail of its domains waits for it, as it is registered now. */
  readonly isAdmitted: boolean;
  /** It has been heard of within the last seconds. */
  readonly isThere: boolean;
}

export interface RedisFollowers {
  /** Those that have registered. What does not open was not written by a follower, and is left out. */
  list(): Promise<readonly KnownFollower[]>;
  admit(follower: Registration): Promise<void>;
  /** Forgets a follower that is gone for good. */
  remove(name: string): Promise<void>;
  /** Some of the reports that wait, with those that do not open. */
  reports(name: string, cursor: string): Promise<{ reports: ReadReport[]; refused: string[]; cursor: string }>;
  settle(name: string, reports: readonly ReadReport[]): Promise<void>;
  ask(name: string, domains: readonly string[]): Promise<void>;
  /** True where this instance collects now; others do when it stops. */
  holdCollection(instance: string, milliseconds: number): Promise<boolean>;
  /** Others may collect at once. */
  releaseCollection(instance: string): Promise<void>;
}

const reportsAtOnce = 200;

export function createRedisFollowers(
  link: RedisLink,
  layout: RedisLayout,
  sealer: RecordSealer,
  clock: Clock,
): RedisFollowers {
  const times = createRedisClock(link, clock);
  return {
    async list() {
      const [registered, admitted] = (await Promise.all([
        link.call('HGETALL', layout.followers),
        link.call('HGETALL', layout.admitted),
      ])) as [Buffer[], Buffer[]];
      const known = new Map(pairs(admitted));
      const followers: KnownFollower[] = [];
      for (const [name, sealed] of pairs(registered)) {
        const registration = readRegistration(sealer, name, sealed);
        if (registration === null) continue;
        const before = known.get(name);
        // One that an old key sealed is sealed anew: followers give the old key up before we do.
        const isReadable = before !== undefined && before.toString('hex', 0, 8) === sealer.keyId;
        const admission = isReadable ? readRegistration(sealer, name, before) : null;
        followers.push({
          ...registration,
          isAdmitted: admission !== null && sameRegistration(admission, registration),
          isThere: (await link.call('EXISTS', layout.lease(name))) === 1,
        });
      }
      return followers;
    },
    async admit(follower) {
      await link.call('HSET', layout.admitted, follower.name, sealRegistration(sealer, follower));
    },
    async remove(name) {
      await link.call('HDEL', layout.followers, name);
      await link.call('HDEL', layout.admitted, name);
      await link.call('DEL', layout.reports(name), layout.asked(name));
    },
    async reports(name, cursor) {
      const scan = link.call('HSCAN', layout.reports(name), cursor, 'COUNT', reportsAtOnce);
      const [next, flat] = (await scan) as [Buffer, Buffer[]];
      const reports: ReadReport[] = [];
      const refused: string[] = [];
      for (const [domain, sealed] of pairs(flat)) {
        try {
          const report: FeedReport = JSON.parse(sealer.openText('report', `${name} ${domain}`, sealed));
          reports.push({ report: withTimes(report, times.fromRedis), sealed });
        } catch (error) {
          if (!(error instanceof FeedError)) throw error;
          refused.push(domain);
        }
      }
      return { reports, refused, cursor: String(next) };
    },
    async settle(name, reports) {
      if (reports.length === 0) return;
      const args = reports.flatMap(({ report, sealed }) => [report.domain, sealed]);
      await link.call('EVAL', settleScript, 1, layout.reports(name), ...args);
    },
    async ask(name, domains) {
      if (domains.length > 0) await link.call('SADD', layout.asked(name), ...domains);
    },
    async holdCollection(instance, milliseconds) {
      await times.compare();
      // The lease of a name that no follower can have.
      const held = link.call('EVAL', leaseScript, 1, layout.lease('/collector'), instance, '', milliseconds, '0');
      return (await held) === 1;
    },
    async releaseCollection(instance) {
      await link.call('EVAL', leaseScript, 1, layout.lease('/collector'), instance, '', 1, '0');
    },
  };
}

function pairs(flat: readonly Buffer[]): Array<[string, Buffer]> {
  const found: Array<[string, Buffer]> = [];
  for (let i = 0; i + 1 < flat.length; i += 2) found.push([String(flat[i]), flat[i + 1] as Buffer]);
  return found;
}

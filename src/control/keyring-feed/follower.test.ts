import { describe, expect, test } from 'vitest';
import { waitFor } from '../../../tests/support/processes.ts';
import { systemClock } from '../../lifecycle/clock.ts';
import type { CacheState, KeyringCache } from '../../store/keyring/cache.ts';
import { FeedError, type FeedKeyring, type FeedRecord, type FeedReport } from '../../store/keyring/feed.ts';
import type { RedisFeed } from '../../store/keyring/redis-feed.ts';
import { silentLog } from '../log.ts';
import { createFollower, type Follower } from './follower.ts';

const signs = { domains: ['*'], except: [], streams: ['*'] };
const registration = { name: 'mx1', installation: 'i', boot: 'b', host: 'h', signs };

function keyring(generation: number, domain = 'one.test'): FeedKeyring {
  const pkcs8 = Buffer.alloc(4);
  const streams = {
    default: [{ selector: `s${generation}`, algorithm: 'rsa-sha256' as const, entered: generation, pkcs8 }],
  };
  return { kind: 'keyring', domain, born: 1, generation, mustSign: true, streams };
}

/** A feed, a cache and a signer whose every act is told in order. */
function scene(begun: { readonly cached?: CacheState; readonly records?: FeedRecord[] } = {}) {
  const acts: string[] = [];
  const changes: FeedRecord[] = [];
  const reports: FeedReport[] = [];
  const faults = { feed: null as FeedError | null, append: false, discard: false };
  const feed: RedisFeed = {
    async load(onRecords) {
      if (faults.feed !== null) throw faults.feed;
      await onRecords(begun.records ?? []);
      return 'loaded';
    },
    async next(position) {
      if (faults.feed !== null) throw faults.feed;
      await new Promise((resolve) => setTimeout(resolve, 2));
      return { position, records: changes.splice(0) };
    },
    async report(given) {
      reports.push(...given);
      for (const each of given)
        acts.push(`report ${each.domain} ${each.acknowledged} ${each.trouble === null ? 'fine' : 'trouble'}`);
    },
    asked: async () => [],
    async holdName() {
      if (faults.feed !== null) throw faults.feed;
    },
    releaseName: async () => undefined,
    register: async () => true,
    close: async () => undefined,
  };
  const write = (what: string) => async (records: readonly FeedRecord[]) => {
    if (faults.append) throw new Error('no space left');
    for (const each of records) acts.push(`${what} ${each.domain} ${each.generation}`);
  };
  const cache: KeyringCache = {
    async read(onRecords) {
      if (begun.cached === undefined) return null;
      onRecords(begun.records ?? []);
      return begun.cached;
    },
    begin: async () => ({ add: write('kept'), finish: async () => undefined, abandon: async () => undefined }),
    append: write('kept'),
    async discard() {
      if (faults.discard) throw new Error('read-only');
      acts.push('discard');
    },
    close: async () => undefined,
  };
  const follower: Follower = createFollower({
    feed,
    cache,
    target: {
      signs: () => true,
      put: ({ domain, generation }) => void acts.push(`sign ${domain} ${generation}`),
      putOff: (domain) => void acts.push(`put off ${domain}`),
      remove: (domain) => void acts.push(`remove ${domain}`),
      selfTest: async () => ({ kind: 'signed' }),
      takeSignaturesSeen: () => [],
    },
    registration,
    clock: systemClock,
    log: silentLog,
    beat: 20,
  });
  return { follower, acts, changes, reports, faults };
}

const soon = () => AbortSignal.timeout(3000);

describe('a follower', () => {
  test('signs by a change first, keeps it, and acknowledges it only then', async () => {
    const { follower, acts, changes } = scene({ records: [keyring(1)] });
    expect(await follower.start(soon())).toBe('from-feed');
    follower.follow();
    acts.length = 0;
    changes.push(keyring(2));
    await waitFor(() => acts.includes('report one.test 2 fine'), { what: 'the acknowledgement' });
    expect(acts.slice(0, 3)).toEqual(['sign one.test 2', 'kept one.test 2', 'report one.test 2 fine']);
    await follower.stop();
  });

  test('takes its old state away where the disk takes no new one, and acknowledges nothing where not even that goes', async () => {
    const { follower, acts, changes, faults } = scene({ records: [keyring(1)] });
    await follower.start(soon());
    follower.follow();
    faults.append = true;
    changes.push(keyring(2));
    await waitFor(() => acts.includes('report one.test 2 fine'), { what: 'the acknowledgement' });
    expect(acts.indexOf('discard')).toBeLessThan(acts.indexOf('report one.test 2 fine'));
    expect(acts).toContain('sign one.test 2');
    await follower.stop();

    const worse = scene({ records: [keyring(1)] });
    await worse.follower.start(soon());
    worse.follower.follow();
    worse.faults.append = true;
    worse.faults.discard = true;
    worse.changes.push(keyring(2));
    await waitFor(() => worse.reports.some(({ trouble }) => trouble !== null), { what: 'the trouble to be told' });
    expect(worse.acts).toContain('sign one.test 2');
    // Nor what comes after it: the old state lies there still, and a start without Redis would go by it.
    worse.changes.push(keyring(3), keyring(1, 'two.test'));
    await waitFor(() => worse.reports.some(({ domain }) => domain === 'two.test'), { what: 'the next to be told' });
    const told = (domain: string) => worse.reports.filter((each) => each.domain === domain);
    expect(new Set(told('one.test').map(({ acknowledged }) => acknowledged))).toEqual(new Set([1]));
    expect(new Set(told('two.test').map(({ acknowledged }) => acknowledged))).toEqual(new Set([0]));
    // As soon as it can be taken away, everything that waited for it is acknowledged.
    worse.faults.discard = false;
    worse.changes.push(keyring(1, 'three.test'));
    await waitFor(() => worse.acts.includes('report one.test 3 fine'), { what: 'the acknowledgement' });
    await waitFor(() => worse.acts.includes('report two.test 1 fine'), { what: 'the acknowledgement' });
    await worse.follower.stop();
  });

  test('starts from its disk where the feed is away and it is known; without being known it waits', async () => {
    const away = new FeedError('away', 'gone');
    const known = scene({ records: [keyring(4)], cached: { position: 'p', admitted: registration } });
    known.faults.feed = away;
    expect(await known.follower.start(soon())).toBe('from-cache');
    expect(known.acts).toEqual(['sign one.test 4']);

    for (const admitted of [null, { ...registration, signs: { ...signs, domains: ['two.test'] } }]) {
      const unknown = scene({ records: [keyring(4)], cached: { position: 'p', admitted } });
      unknown.faults.feed = away;
      await expect(unknown.follower.start(AbortSignal.timeout(300))).rejects.toThrow();
    }
  });

  test('never goes back: older generations and earlier lives are refused, a later life begins anew', async () => {
    const { follower, acts, changes } = scene({ records: [keyring(5)] });
    await follower.start(soon());
    follower.follow();
    acts.length = 0;
    changes.push(keyring(4), { ...keyring(9), born: 0 }, { ...keyring(1), born: 2 }, keyring(1, 'two.test'));
    await waitFor(() => acts.includes('sign two.test 1'), { what: 'the last of them' });
    expect(acts.filter((act) => act.startsWith('sign'))).toEqual(['sign one.test 1', 'sign two.test 1']);
    expect(follower.status.refused).toBe(2);
    await follower.stop();
  });

  test('a name that another has ends the start, whatever lies on the disk', async () => {
    const { follower, faults } = scene({ records: [keyring(1)], cached: { position: 'p', admitted: registration } });
    faults.feed = new FeedError('name-taken', 'taken');
    await expect(follower.start(soon())).rejects.toMatchObject({ code: 'name-taken' });
  });
});

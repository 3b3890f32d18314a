/** The follower's side: keyrings from Redis, and what it tells back. */
import type { Clock } from '../../lifecycle/clock.ts';
import {
  type FeedChanges,
  type FeedDamage,
  FeedError,
  type FeedPosition,
  type FeedRecord,
  type KeyringFeed,
} from './feed.ts';
import type { Registration } from './follower.ts';
import { readRegistration, sameRegistration, sealRegistration } from './follower.ts';
import { createRedisClock, withTimes } from './redis-clock.ts';
import type { RedisArgument, RedisLink } from './redis-connection.ts';
import { leaseScript, type RedisLayout } from './redis-layout.ts';
import type { RecordSealer } from './sealed-record.ts';

export interface RedisFeed extends KeyringFeed {
  /** Takes the name, or keeps it; call it every few seconds. @throws FeedError `name-taken` where another installation goes by it. */
  holdName(): Promise<void>;
  /** Gives the name back, so that another may have it at once. */
  releaseName(): Promise<void>;
  /** Tells the control plane of this follower; true where it is known there already, and mail of all its domains waits for it. */
  register(): Promise<boolean>;
}

export interface RedisFeedOptions {
  readonly link: RedisLink;
  readonly layout: RedisLayout;
  readonly sealer: RecordSealer;
  readonly registration: Registration;
  readonly clock: Clock;
  /** How long the name stays taken after the process was last heard of, milliseconds. */
  readonly leaseMs?: number;
  /** How long to wait for a change, milliseconds. */
  readonly waitMs?: number;
}

const bucketsAtOnce = 4;
const changesAtOnce = 500;
const reportsPerWrite = 200;
const askedAtOnce = 100;

export function createRedisFeed(options: RedisFeedOptions): RedisFeed {
  const { link, layout, sealer, registration, clock, leaseMs = 15_000, waitMs = 1000 } = options;
  const { name, installation, boot } = registration;
  const waiting = link.blocking();
  const times = createRedisClock(link, clock);
  let isHeld = false;
  const evaluate = (script: string, keys: readonly string[], args: readonly RedisArgument[]) =>
    link.call('EVAL', script, keys.length, ...keys, ...args);

  /** The filling that is there. @throws FeedError `empty` where there is none, or not all of it yet. */
  async function filling(): Promise<{ epoch: string; count: number }> {
    const answer = (await link.call('HMGET', layout.meta, 'epoch', 'filled', 'count', 'keyId')) as Array<Buffer | null>;
    const [epoch, filled, count, keyId] = answer.map((each) => String(each ?? ''));
    if (epoch === undefined || epoch === '') {
      throw new FeedError('empty', `Redis at ${link.name} holds no keyrings; a control plane fills it by itself.`);
    }
    if (filled !== epoch) {
      throw new FeedError(
        'empty',
        `Redis at ${link.name} does not hold all keyrings yet; a control plane is filling it.`,
      );
    }
    if (keyId !== sealer.keyId && !sealer.oldKeyIds.includes(keyId ?? '')) {
      throw new FeedError(
        'wrong-key',
        `The keyrings in Redis at ${link.name} are sealed under the key ${keyId}, and at hand is ${sealer.keyId}: copy keyrings.key from the control plane that fills it.`,
      );
    }
    return { epoch, count: Number(count) };
  }

  function open(domain: string, record: Buffer): FeedRecord | FeedDamage {
    try {
      return sealer.open(domain, record);
    } catch (error) {
      if (error instanceof FeedError) return { kind: 'damaged', domain, error };
      throw error;
    }
  }

  async function recordsOf(domains: readonly string[]): Promise<Array<FeedRecord | FeedDamage>> {
    const byBucket = Map.groupBy(domains, (domain) => layout.bucketOf(domain));
    const answers = await Promise.all(
      [...byBucket].map(async ([bucket, names]) => {
        const found = (await link.call('HMGET', bucket, ...names)) as Array<Buffer | null>;
        return names.flatMap((domain, index) => {
          const record = found[index];
          return record == null ? [] : [open(domain, record)];
        });
      }),
    );
    return answers.flat();
  }

  return {
    async load(onRecords, signal) {
      // Where to follow from is asked for first: what changes while everything is read is read again.
      const { last } = await streamEnds(link, layout.changes);
      const { epoch, count } = await filling();
      let loaded = 0;
      for (let at = 0; at < layout.buckets.length; at += bucketsAtOnce) {
        signal.throwIfAborted();
        const part = layout.buckets.slice(at, at + bucketsAtOnce);
        // The next ones are on their way while these are opened.
        for (const answer of part.map((bucket) => link.call('HGETALL', bucket))) {
          const flat = (await answer) as Buffer[];
          const records: Array<FeedRecord | FeedDamage> = [];
          for (let i = 0; i + 1 < flat.length; i += 2) records.push(open(String(flat[i]), flat[i + 1] as Buffer));
          loaded += records.length;
          if (records.length > 0) await onRecords(records);
        }
      }
      if (loaded < count) {
        throw new FeedError(
          'empty',
          `Redis at ${link.name} holds ${loaded} keyrings of ${count}: some were lost. A control plane fills it again.`,
        );
      }
      return `${epoch} ${last}`;
    },

    async next(position, signal, wait = waitMs): Promise<FeedChanges | { readonly position: null }> {
      const [epoch, last] = position.split(' ') as [string, string];
      const entries = await changesAfter(waiting, layout.changes, last, wait, signal);
      const [ends, there] = await Promise.all([streamEnds(link, layout.changes), filling()]);
      if (there.epoch !== epoch || isBefore(ends.last, last) || isBefore(last, ends.trimmed)) return { position: null };
      const newest = entries.at(-1);
      if (newest === undefined) return { records: [], position };
      const records = await recordsOf([...new Set(entries.map(({ domain }) => domain))]);
      return { records, position: `${epoch} ${newest.id}` };
    },

    async report(reports) {
      for (let at = 0; at < reports.length; at += reportsPerWrite) {
        const fields = reports
          .slice(at, at + reportsPerWrite)
          .flatMap((report) => [
            report.domain,
            sealer.sealText('report', `${name} ${report.domain}`, JSON.stringify(withTimes(report, times.toRedis))),
          ]);
        await link.call('HSET', layout.reports(name), ...fields);
      }
    },

    async asked() {
      return ((await link.call('SPOP', layout.asked(name), askedAtOnce)) as Buffer[]).map(String);
    },

    async holdName() {
      await times.compare();
      const holder = await evaluate(
        leaseScript,
        [layout.lease(name)],
        [installation, boot, leaseMs, isHeld ? '1' : '0'],
      );
      if (holder instanceof Buffer) {
        throw new FeedError(
          'name-taken',
          `Another milter goes by the name "${name}" in Redis at ${link.name}: give this one a name of its own (\`instance\`), or stop the other and wait ${Math.ceil(leaseMs / 1000)} s.`,
        );
      }
      isHeld = true;
    },

    async releaseName() {
      await evaluate(leaseScript, [layout.lease(name)], [installation, boot, 1, '1']);
    },

    async register() {
      const known = (await link.call('HGET', layout.admitted, name)) as Buffer | null;
      const wanted = (await link.call('HGET', layout.followers, name)) as Buffer | null;
      const registered = wanted === null ? null : readRegistration(sealer, name, wanted);
      if (registered === null || !sameRegistration(registered, registration) || registered.boot !== boot) {
        await link.call('HSET', layout.followers, name, sealRegistration(sealer, registration));
      }
      const admitted = known === null ? null : readRegistration(sealer, name, known);
      return admitted !== null && sameRegistration(admitted, registration);
    },

    async close() {
      await link.close();
    },
  };
}

/** The last id that the stream has given, and the last that it has dropped again; both `0-0` where it is not there. */
async function streamEnds(link: RedisLink, stream: string): Promise<{ last: string; trimmed: string }> {
  let answer: unknown[];
  try {
    answer = (await link.call('XINFO', 'STREAM', stream)) as unknown[];
  } catch (error) {
    if (error instanceof FeedError && error.message.includes('no such key')) return { last: '0-0', trimmed: '0-0' };
    throw error;
  }
  const facts = new Map<string, unknown>();
  for (let i = 0; i + 1 < answer.length; i += 2) facts.set(String(answer[i]), answer[i + 1]);
  return {
    last: String(facts.get('last-generated-id') ?? '0-0'),
    // Redis before 7 does not tell: there, whatever is before the first entry may have been dropped.
    trimmed: String(facts.get('max-deleted-entry-id') ?? beforeFirst(facts.get('first-entry'))),
  };
}

function beforeFirst(entry: unknown): string {
  if (!Array.isArray(entry)) return '0-0';
  const [time = '0', count = '0'] = String(entry[0]).split('-');
  return Number(count) > 0 ? `${time}-${Number(count) - 1}` : `${BigInt(time) - 1n}-18446744073709551615`;
}

async function changesAfter(
  waiting: RedisLink,
  stream: string,
  last: FeedPosition,
  waitMs: number,
  signal: AbortSignal,
): Promise<ReadonlyArray<{ readonly id: string; readonly domain: string }>> {
  signal.throwIfAborted();
  const asked = waiting.call('XREAD', 'COUNT', changesAtOnce, 'BLOCK', Math.max(1, waitMs), 'STREAMS', stream, last);
  // A server that is stopped answers nothing, and its connection stays.
  const answer = await Promise.race([asked, silence(waitMs + 10_000, signal)]);
  if (answer === null || answer === undefined) return [];
  const [[, entries = []] = []] = answer as Array<[Buffer, Array<[Buffer, Buffer[]]>]>;
  return entries.map(([id, fields]) => ({ id: String(id), domain: String(fields[1]) }));
}

function silence(milliseconds: number, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      reject(new FeedError('away', 'Redis says nothing any more.'));
    };
    const timer = setTimeout(end, milliseconds);
    timer.unref();
    signal.addEventListener('abort', end, { once: true });
  });
}

/** Ids are time and count. */
function isBefore(a: string, b: string): boolean {
  const [aTime = '0', aCount = '0'] = a.split('-');
  const [bTime = '0', bCount = '0'] = b.split('-');
  return BigInt(aTime) < BigInt(bTime) || (BigInt(aTime) === BigInt(bTime) && BigInt(aCount) < BigInt(bCount));
}

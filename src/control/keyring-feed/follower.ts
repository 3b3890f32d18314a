/**
 * Follows a feed of keyrings: what comes is signed by from the next message on, kept on disk, acknowledged only then, and tested. Whatever the
 * feed does (goes away, is emptied, tells something old or foreign), what is loaded stays.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../lifecycle/clock.ts';
import type { CacheState, CacheWriter, KeyringCache } from '../../store/keyring/cache.ts';
import { type FeedDamage, FeedError, type FeedPosition, type FeedRecord, isOlder } from '../../store/keyring/feed.ts';
import { type Registration, sameRegistration } from '../../store/keyring/follower.ts';
import type { RedisFeed } from '../../store/keyring/redis-feed.ts';
import { errorText, type Log } from '../log.ts';
import { startRepeating } from '../repeating.ts';
import { createFollowerState, isKnown, type LoadedKey, toLoaded } from './follower-state.ts';
import type { FollowerTarget } from './target.ts';

export interface FollowerOptions {
  readonly feed: RedisFeed;
  readonly cache: KeyringCache;
  readonly target: FollowerTarget;
  readonly registration: Registration;
  readonly clock: Clock;
  readonly log: Log;
  /** How often the name is held and what was seen is told, milliseconds. */
  readonly beat?: number;
}

export interface Follower {
  /**
   * Resolves when mail may be signed: everything is loaded, and the control plane waits for this follower; or everything that it had is loaded
   * from the disk, and neither of the others can be reached.
   * @throws FeedError `name-taken` or `wrong-key`: a person must act. Any error where `signal` ends it.
   */
  start(signal: AbortSignal): Promise<'from-feed' | 'from-cache'>;
  /** Goes on following, in the background. */
  follow(): void;
  readonly status: FollowerStatus;
  stop(): Promise<void>;
}

export interface FollowerStatus {
  /** Domains that are loaded. */
  readonly domains: number;
  readonly position: FeedPosition | null;
  /** Why it does not follow at this moment; null where it does. */
  readonly trouble: string | null;
  readonly refused: number;
}

const shortestPause = 100;
const longestPause = 2000;
/** How long a start that waits to be known waits for a change meanwhile, milliseconds. */
const startWait = 100;
/** How long after the disk failed it is tried again, milliseconds. */
const keepAgainAfter = 60_000;
const reportsAtOnce = 500;

/** A record that was taken over, and the generation that was loaded before it. */
interface Taken {
  readonly record: FeedRecord;
  readonly before: number;
}

export function createFollower(options: FollowerOptions): Follower {
  const { feed, cache, target, registration, clock, log, beat = 5000 } = options;
  const state = createFollowerState();
  const stopping = new AbortController();
  const closers: Array<() => Promise<void>> = [];
  let position: FeedPosition | null = null;
  let admitted: Registration | null = null;
  /** There is a whole cache on disk, to which changes are added. */
  let isCached = false;
  /** What lies on disk is older than what is loaded, and could not be taken away. */
  let isStale = false;
  /** Domains whose keyrings came while that was so. */
  const unkept = new Set<string>();
  /** When keeping everything on disk is tried again, after it failed. */
  let keepAgainAt: number | null = null;
  let isNameOurs = false;
  let trouble: string | null = null;
  let refused = 0;
  let reporting: Promise<void> | null = null;

  /** Takes records over. What is new among them is answered: it belongs on disk, and is acknowledged after that. */
  function apply(records: readonly (FeedRecord | FeedDamage)[]): {
    taken: Taken[];
    fresh: Map<string, LoadedKey[]>;
  } {
    const taken: Taken[] = [];
    const fresh = new Map<string, LoadedKey[]>();
    for (const record of records) {
      const { domain } = record;
      const known = state.loaded.get(domain);
      if (record.kind === 'damaged') {
        refused += 1;
        log.error('keyring-refused', { domain, error: record.error.message });
        // What is loaded goes on signing. Where nothing is, mail waits: it is in care, as far as anybody can tell.
        if (known === undefined) target.putOff(domain);
        else state.trouble(domain, record.error.message);
        continue;
      }
      if (known !== undefined && isOlder(record, known)) {
        refused += 1;
        log.warn('older-keyring-refused', { domain, generation: record.generation, loaded: known.generation });
        continue;
      }
      const isOurs = record.kind === 'removed' ? known?.isOurs === true : target.signs(record);
      const next = toLoaded(record, isOurs);
      if (isKnown(known, next)) continue;
      // Of the same generation with other content: it was sealed anew, or a stream was added; what was there need not be compared.
      const anew = known !== undefined && (known.born !== next.born || known.generation === next.generation);
      if (record.kind === 'keyring' && isOurs) target.put(record, anew);
      else target.remove(domain);
      const entered = state.load(domain, next);
      if (isOurs && entered.length > 0) fresh.set(domain, [...entered]);
      taken.push({ record, before: known?.born === next.born ? known.generation : 0 });
    }
    return { taken, fresh };
  }

  const cacheState = (): CacheState => ({ position, admitted });

  /** Puts on disk what came, and tells of it. Where the disk fails, no start may go by what is on it. */
  async function keep(taken: readonly Taken[]): Promise<void> {
    const records = taken.map(({ record }) => record);
    if (isCached && (await onDisk(async () => cache.append(records, cacheState()).then(() => true))) === null) {
      isCached = false;
      isStale = true;
    }
    await tellOf(taken);
  }

  /** What came is acknowledged, unless a start could still go by what was there before. */
  async function tellOf(taken: readonly Taken[]): Promise<void> {
    const message = isStale ? await takeAway() : null;
    for (const { record, before } of taken) {
      if (message === null) state.mark(record.domain);
      else {
        state.notKept(record.domain, before, message);
        unkept.add(record.domain);
      }
    }
  }

  /** Takes away what is old on disk; what is wrong, or null. */
  async function takeAway(): Promise<string | null> {
    try {
      await cache.discard();
    } catch (error) {
      keepAgainAt ??= clock.now() + keepAgainAfter;
      return `What changed cannot be kept on disk, nor can what is there be taken away: ${errorText(error)}`;
    }
    nothingIsStale();
    return null;
  }

  function nothingIsStale(): void {
    isStale = false;
    for (const domain of unkept) state.kept(domain);
    unkept.clear();
  }

  async function test(domain: string, keys: readonly LoadedKey[]): Promise<void> {
    for (const key of keys) {
      const result = await target.selfTest(domain, key.stream, key.selector);
      // Not yet: the control plane asks for it when it comes to that.
      if (result === null) return;
      const now = state.loaded.get(domain)?.keys.some((k) => k.selector === key.selector && k.entered === key.entered);
      if (now !== true) continue;
      const { entered } = key;
      const at = clock.now();
      if (result.kind === 'signed') state.tested(domain, key, { kind: 'signed', at, entered });
      else {
        log.warn('self-test-failed', { domain, selector: key.selector, error: result.message });
        state.tested(domain, key, { kind: 'failed', at, entered, message: result.message });
      }
    }
  }

  async function takeOver(records: readonly (FeedRecord | FeedDamage)[]): Promise<void> {
    const { taken, fresh } = apply(records);
    if (taken.length > 0) await keep(taken);
    for (const [domain, keys] of fresh) await test(domain, keys);
    if (taken.length > 0) void report();
  }

  /** Everything from the feed. The first time it becomes the cache; later only what differs is new. */
  async function loadAll(signal: AbortSignal): Promise<void> {
    let writer = isCached ? null : await onDisk(() => cache.begin());
    const isFirst = state.loaded.size === 0;
    const changed: Taken[] = [];
    const toTest = new Map<string, LoadedKey[]>();
    try {
      position = await feed.load(async (records) => {
        const { taken, fresh } = apply(records);
        // At a start nothing is told of by itself: the control plane knows what it does not know, and asks.
        if (!isFirst) {
          changed.push(...taken);
          for (const [domain, keys] of fresh) toTest.set(domain, keys);
        }
        const begun = writer;
        if (begun === null) return;
        const whole = records.filter((record): record is FeedRecord => record.kind !== 'damaged');
        if ((await onDisk(async () => begun.add(whole).then(() => true))) !== null) return;
        writer = null;
        await begun.abandon().catch(() => undefined);
      }, signal);
    } catch (error) {
      await writer?.abandon().catch(() => undefined);
      throw error;
    }
    const begun: CacheWriter | null = writer;
    if (begun === null) await keep(changed);
    else {
      isCached = (await onDisk(async () => begun.finish(cacheState()).then(() => true))) !== null;
      if (isCached) nothingIsStale();
      await tellOf(changed);
    }
    for (const [domain, keys] of toTest) await test(domain, keys);
  }

  /** Mail is signed whether or not the disk takes what there is to keep: null where it does not. */
  async function onDisk<T>(task: () => Promise<T>): Promise<T | null> {
    try {
      return await task();
    } catch (error) {
      log.error('keyrings-not-kept', {
        error: errorText(error),
        advice: 'see to the data folder; until then this milter cannot start without Redis',
      });
      keepAgainAt = clock.now() + keepAgainAfter;
      return null;
    }
  }

  /** One step of following: everything, or what has changed. True where nothing is left to be told. */
  async function step(signal: AbortSignal, waitMs?: number): Promise<boolean> {
    if (position === null) {
      await loadAll(signal);
      return false;
    }
    const changes = await feed.next(position, signal, waitMs);
    position = changes.position;
    if (changes.position === null) return false;
    await takeOver(changes.records);
    return changes.records.length === 0;
  }

  async function hold(): Promise<void> {
    try {
      await feed.holdName();
      isNameOurs = true;
    } catch (error) {
      if (error instanceof FeedError && error.code === 'name-taken') isNameOurs = false;
      throw error;
    }
    const known = await feed.register();
    if (known && (admitted === null || !sameRegistration(admitted, registration))) {
      admitted = registration;
      if (isCached) await keep([]);
    }
  }

  /** What is to be told, some at a time; what is not taken is told again. One at a time: who comes meanwhile waits for the same. */
  function report(): Promise<void> {
    reporting ??= tell().finally(() => {
      reporting = null;
    });
    return reporting;
  }

  async function tell(): Promise<void> {
    for (const { domain, selector, at } of target.takeSignaturesSeen()) state.saw(domain, selector, at);
    if (!isNameOurs) return;
    try {
      for (;;) {
        const reports = state.pending(reportsAtOnce);
        if (reports.length === 0) return;
        await feed.report(reports);
        state.settle(reports);
      }
    } catch (error) {
      if (!(error instanceof FeedError)) throw error;
      log.debug('not-reported', { error: error.message });
    }
  }

  async function answerAsked(): Promise<void> {
    if (!isNameOurs || trouble !== null) return;
    for (;;) {
      const domains = await feed.asked();
      if (domains.length === 0 || stopping.signal.aborted) return;
      for (const domain of domains) {
        state.mark(domain);
        await test(domain, state.loaded.get(domain)?.isOurs === true ? (state.loaded.get(domain)?.keys ?? []) : []);
      }
      await report();
    }
  }

  function say(error: unknown): void {
    const message = errorText(error);
    if (message === trouble) return;
    trouble = message;
    log.warn('keyrings-not-followed', { error: message, advice: 'mail is signed by what is loaded meanwhile' });
  }

  async function run(): Promise<void> {
    const { signal } = stopping;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (keepAgainAt !== null && clock.now() >= keepAgainAt) {
          keepAgainAt = null;
          // Everything is read again, and becomes a new cache.
          position = null;
        }
        const before = position;
        await step(signal);
        // Redis may have forgotten who we are.
        if (trouble !== null || before === null) await hold();
        if (trouble !== null) log.info('keyrings-followed-again');
        trouble = null;
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        say(error);
        failures += 1;
        await sleep(Math.min(longestPause, shortestPause * 2 ** Math.min(failures, 8)), undefined, { signal }).catch(
          () => undefined,
        );
      }
    }
  }

  return {
    get status() {
      return { domains: state.loaded.size, position, trouble, refused };
    },
    async start(signal) {
      const cached = await cache
        .read((records) => void apply(records))
        .catch((error: unknown) => {
          log.warn('kept-keyrings-not-opened', {
            error: errorText(error),
            advice: 'they are read from Redis again',
          });
          isStale = true;
          return null;
        });
      isCached = cached !== null;
      position = cached?.position ?? null;
      admitted = cached?.admitted ?? null;
      const mayStart = admitted !== null && sameRegistration(admitted, registration);
      for (let attempt = 0; ; attempt += 1) {
        signal.throwIfAborted();
        try {
          await hold();
          while (!(await step(signal, attempt === 0 ? 0 : startWait)));
          if (admitted !== null && sameRegistration(admitted, registration)) return 'from-feed';
          trouble = null;
          if (attempt === 0)
            log.info('waiting-to-be-known', { name: registration.name, advice: 'a control plane has to wait for it' });
        } catch (error) {
          signal.throwIfAborted();
          if (!(error instanceof FeedError) || error.code === 'name-taken') throw error;
          if (mayStart) {
            say(error);
            return 'from-cache';
          }
          if (error.code === 'wrong-key') throw error;
          say(error);
        }
        await sleep(Math.min(longestPause, shortestPause * 2 ** Math.min(attempt, 4)), undefined, { signal });
      }
    },
    follow() {
      const running = run();
      const failed = (what: string) => (error: unknown) => {
        // That it is away is said by the one who follows.
        const isNews = !(error instanceof FeedError) || error.code === 'name-taken';
        log[isNews ? 'error' : 'debug'](what, { error: errorText(error) });
      };
      closers.push(
        () => running,
        startRepeating(beat, hold, failed('name-not-held')),
        startRepeating(Math.min(1000, beat), report, failed('not-reported')),
        startRepeating(Math.min(500, beat), answerAsked, failed('not-tested')),
      );
    },
    async stop() {
      stopping.abort();
      for (const close of closers.reverse()) await close();
      await report().catch(() => undefined);
      if (isNameOurs) await feed.releaseName().catch(() => undefined);
      await cache.close();
      await feed.close();
    },
  };
}

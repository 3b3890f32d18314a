/**
 * Keeps Redis as the store says: what changes is read from the journal and put in place at once; everything is compared where it may have been
 * lost (another filling, a new connection, records that are missing). Any number of instances do the same side by side: what is older never
 * takes the place of what is newer, and what is equal is not written.
 */
import type { Clock } from '../../lifecycle/clock.ts';
import { FeedError } from '../../store/keyring/feed.ts';
import type { KeyringWriter, RecordToPut } from '../../store/keyring/redis-writer.ts';
import { contentOf, readHead } from '../../store/keyring/sealed-record.ts';
import type { Store } from '../../store/store.ts';
import { errorText, type Log } from '../log.ts';
import { toFeedRecord } from './feed-record.ts';

export interface PublisherStatus {
  /** Everything that was decided until a moment ago is in Redis. */
  readonly isUpToDate: boolean;
  /** Why not; null where nothing is wrong. */
  readonly trouble: string | null;
  /** Domains of which Redis holds a newer keyring than the store. */
  readonly newerThere: readonly string[];
  readonly counters: { readonly put: number; readonly compared: number; readonly failures: number };
}

export interface KeyringPublisher {
  /** One turn. Throws nothing for what Redis does: it is told by the status, and to the log where it changes. */
  tick(signal: AbortSignal): Promise<void>;
  status(): PublisherStatus;
}

/** Events after which a domain's keyring may be another. */
const telling = new Set([
  'domain-added',
  'active-changed',
  'generation-raised',
  'stream-added',
  'removal-requested',
  'domain-removed',
]);
const journalPage = 1000;
const domainsAtOnce = 100;
/** How often it is counted whether records are missing, milliseconds. */
const countEvery = 30_000;

export function createKeyringPublisher({
  store,
  writer,
  clock,
  log,
}: {
  readonly store: Store;
  readonly writer: KeyringWriter;
  readonly clock: Clock;
  readonly log: Log;
}): KeyringPublisher {
  const { sealer } = writer;
  /** Domains to put in place. */
  const open = new Set<string>();
  const newerThere = new Set<string>();
  const counters = { put: 0, compared: 0, failures: 0 };
  let read: number | null = null;
  /** The filling and the connection with which everything was compared last. */
  let compared: { epoch: string; connections: number } | null = null;
  let countedAt = 0;
  let trouble: string | null = null;

  async function readOn(): Promise<void> {
    if (read === null) {
      const { items } = await store.journal.list({ order: 'newest' }, { limit: 1 });
      read = items[0]?.seq ?? 0;
      return;
    }
    for (;;) {
      const { items } = await store.journal.list({ order: 'oldest' }, { limit: journalPage, after: String(read) });
      for (const { kind, domain } of items) if (domain !== null && telling.has(kind)) open.add(domain);
      read = items.at(-1)?.seq ?? read;
      if (items.length < journalPage) return;
    }
  }

  /** What the store says of the domains now; domains that are gone are left out. One that cannot be read is tried again at the next turn. */
  async function recordsOf(names: readonly string[]): Promise<RecordToPut[]> {
    // First the snapshots: keyrings are then at least as new.
    const domains = await store.snapshots(names);
    const made = await Promise.all(
      [...domains].map(async ([domain, { snapshot }]): Promise<RecordToPut[]> => {
        if (snapshot.domain.kind !== 'mail') return [];
        try {
          const stored = await store.keyring(domain);
          return stored === null ? [] : [{ domain, content: contentOf(toFeedRecord(stored, snapshot)) }];
        } catch (error) {
          open.add(domain);
          log.error('keyring-not-published', { domain, error: errorText(error) });
          return [];
        }
      }),
    );
    return made.flat();
  }

  /** @throws FeedError; false where the filling is gone. */
  async function put(epoch: string, records: readonly RecordToPut[]): Promise<boolean> {
    if (records.length === 0) return true;
    const verdicts = await writer.put(epoch, records);
    if (verdicts === null) return false;
    for (const [index, verdict] of verdicts.entries()) {
      const record = records[index];
      if (record === undefined) continue;
      if (verdict === 'put') counters.put += 1;
      if (verdict !== 'newer-there') newerThere.delete(record.domain);
      else await settleNewer(epoch, record);
    }
    return true;
  }

  /** Somebody else read later than we did; or what stands there is no record of ours; or the store is older than what it once told. */
  async function settleNewer(epoch: string, { domain, content }: RecordToPut): Promise<void> {
    const there = await writer.record(domain);
    if (there === null) return void open.add(domain);
    try {
      sealer.open(domain, there);
    } catch (error) {
      if (!(error instanceof FeedError)) throw error;
      log.error('foreign-keyring-replaced', { domain, error: error.message });
      await writer.put(epoch, [{ domain, content, replaced: there }]);
      return;
    }
    const [now] = await recordsOf([domain]);
    const head = readHead(there);
    if (now === undefined || head === null || newerThere.has(domain)) return;
    const isBehind =
      now.content.born < head.born || (now.content.born === head.born && now.content.generation < head.generation);
    if (!isBehind) return void open.add(domain);
    newerThere.add(domain);
    log.error('keyring-in-redis-is-newer', {
      domain,
      generation: head.generation,
      store: now.content.generation,
      advice: 'was the store restored from a backup? followers keep signing by the newer one; see docs/redis.md',
    });
  }

  async function putOpen(epoch: string): Promise<boolean> {
    while (open.size > 0) {
      const names = [...open].slice(0, domainsAtOnce);
      for (const name of names) open.delete(name);
      const failed = new Set<string>();
      try {
        const records = await recordsOf(names);
        for (const name of names) if (open.delete(name)) failed.add(name);
        const present = new Set(records.map(({ domain }) => domain));
        const gone = names.filter((name) => !present.has(name) && !failed.has(name));
        if (!(await put(epoch, [...records, ...(await removalsOf(gone))]))) {
          for (const name of names) open.add(name);
          return false;
        }
      } catch (error) {
        for (const name of names) open.add(name);
        throw error;
      }
      if (failed.size > 0) {
        for (const name of failed) open.add(name);
        return true;
      }
    }
    return true;
  }

  /** Records for domains that have left: only where the journal says so, for a store that was restored does not know of domains that live. */
  async function removalsOf(names: readonly string[]): Promise<RecordToPut[]> {
    const removals: RecordToPut[] = [];
    for (const domain of names) {
      const there = await writer.record(domain);
      const head = there === null ? null : readHead(there);
      if (head === null || head.kind === 'removed') continue;
      if ((await store.snapshot(domain)) !== null) continue;
      const { items } = await store.journal.list({ domain, order: 'newest' }, { limit: 5 });
      if (!items.some(({ kind }) => kind === 'domain-removed')) {
        log.warn('unknown-keyring-in-redis', {
          domain,
          advice: 'this store has never had the domain; see docs/redis.md',
        });
        continue;
      }
      removals.push({ domain, content: { kind: 'removed', born: head.born, generation: head.generation + 1 } });
    }
    return removals;
  }

  /** Goes through everything. False where the filling went away meanwhile. */
  async function compareAll(epoch: string, signal: AbortSignal): Promise<boolean> {
    const heads = await writer.heads();
    let after: string | null = null;
    do {
      signal.throwIfAborted();
      const page: Awaited<ReturnType<Store['listDomains']>> = await store.listDomains(
        { kind: 'mail' },
        { limit: domainsAtOnce, after },
      );
      const records = await recordsOf(page.items.map(({ name }) => name));
      const different = records.filter(({ domain, content }) => {
        const head = heads.get(domain);
        heads.delete(domain);
        return head === undefined || !sealer.head(domain, content).equals(head);
      });
      if (!(await put(epoch, different))) return false;
      counters.compared += records.length;
      // What changes meanwhile does not wait for the end.
      await readOn();
      if (!(await putOpen(epoch))) return false;
      after = page.next;
    } while (after !== null);
    const left = [...heads].filter(([, head]) => readHead(head)?.kind !== 'removed').map(([domain]) => domain);
    return (await put(epoch, await removalsOf(left))) && (await writer.filled(epoch));
  }

  async function turn(signal: AbortSignal): Promise<void> {
    const { connections } = writer.link;
    const filling = await writer.begin();
    await readOn();
    const now = clock.now();
    const isKnown = compared?.epoch === filling.epoch && compared.connections === writer.link.connections;
    let isWhole = filling.isFilled;
    if (isKnown && isWhole && Math.abs(now - countedAt) >= countEvery) {
      countedAt = now;
      const records = await writer.countRecords();
      isWhole = records >= filling.count;
      if (!isWhole) log.warn('keyrings-missing-in-redis', { records, expected: filling.count });
    }
    if (isKnown && isWhole) {
      await putOpen(filling.epoch);
      return;
    }
    if (!filling.isFilled) log.warn('redis-is-being-filled', { redis: writer.link.name });
    const before = counters.put;
    if (!(await compareAll(filling.epoch, signal))) return;
    compared = { epoch: filling.epoch, connections: Math.max(1, connections) };
    countedAt = now;
    log.info('redis-compared', { compared: counters.compared, put: counters.put - before });
  }

  return {
    async tick(signal) {
      try {
        await turn(signal);
        if (trouble !== null) log.info('redis-is-back', { redis: writer.link.name });
        trouble = null;
      } catch (error) {
        if (signal.aborted) return;
        counters.failures += 1;
        const message = errorText(error);
        if (message !== trouble) {
          log.error('keyrings-not-published', { error: message, advice: 'followers go on signing by what they have' });
        }
        trouble = message;
        if (!(error instanceof FeedError)) throw error;
      }
    },
    status: () => ({
      isUpToDate: trouble === null && compared !== null && open.size === 0,
      trouble,
      newerThere: [...newerThere],
      counters: { ...counters },
    }),
  };
}

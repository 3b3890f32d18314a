/** What the agent has of each domain, and what is still to be done for it at the signers here. */

import type { CacheState, CacheWriter, KeyringCache } from '../../../store/keyring/cache.ts';
import type { FeedKeyring, FeedRecord } from '../../../store/keyring/feed.ts';
import { isOlder } from '../../../store/keyring/feed.ts';
import type { Log } from '../../log.ts';
import type { Item, KeyringItem } from '../wire.ts';
import type { LocalDelivery, LocalSigners } from './local-signers.ts';
import type { Outbox } from './outbox.ts';
import { digestOf, toRecord } from './records.ts';
import { createWorkQueue } from './work-queue.ts';

/** The place in the journal is not kept: each start compares everything. */
const cacheState: CacheState = { position: null, admitted: null };

/** Since when the domain is there: not known. */
const unknownLife = 0;

function isKnownLife({ born }: FeedKeyring): boolean {
  return born !== unknownLife;
}

interface Held {
  readonly record: FeedKeyring;
  /** Of what is kept, to tell a repetition. */
  readonly digest: string;
  /** What the control plane knows: the generation that it has from us. */
  acknowledged: number;
  /** Somebody changed by hand what is here: it is left until a person has decided, or it is gone again. */
  drifted: boolean;
  /** It was decided that what somebody changed is written over; until that is done. */
  overwrite: boolean;
  tests: KeyringItem['tests'];
  /** The generation that every signer here has, since this start; null before the first delivery. */
  loaded: number | null;
  trouble: string | null;
}

/** A domain that the signers are to forget. */
interface Forgetting {
  /** To be answered with; null where nobody waits for it. */
  readonly generation: number | null;
  /** What is put on the disk when they have; null where nothing of it is there. */
  readonly removed: FeedRecord | null;
}

export interface LoadingTurn {
  add(items: readonly Item[]): Promise<void>;
  finish(): Promise<void>;
  /** It came to nothing: what there was stays. */
  abandon(): Promise<void>;
}

export interface Holdings {
  /** Reads the cache; false where there is none that is whole. @throws FeedError `wrong-key` */
  begin(): Promise<boolean>;
  /** Gives the signers all there is, and lets them open their sockets; from then on what comes is delivered. */
  open(): Promise<void>;
  readonly isOpen: boolean;
  /** A comparison with all that the control plane has. The first one makes the cache. */
  loading(): Promise<LoadingTurn>;
  /** Resolves when it is on the disk; the signers get it from there on. */
  apply(items: readonly Item[]): Promise<void>;
  collectSignatures(): void;
  inspect(signal: AbortSignal): Promise<void>;
  domains(): readonly string[];
  facts(): { domains: number; behind: number; troubles: Array<{ domain: string; message: string }> };
  stop(): Promise<void>;
}

export interface HoldingsOptions {
  readonly cache: KeyringCache;
  readonly signers: LocalSigners;
  readonly outbox: Outbox;
  readonly log: Log;
  readonly elapsed: () => number;
  /** Of the control plane, as far as it is known; epoch milliseconds. */
  readonly now: () => number;
}

export function createHoldings({ cache, signers, outbox, log, elapsed, now }: HoldingsOptions): Holdings {
  const held = new Map<string, Held>();
  const queue = createWorkQueue(workOn, (domain, trouble) => log.warn('domain-not-settled', { domain, trouble }));
  const forgetting = new Map<string, Forgetting>();
  let isOpen = false;
  let hasCache = false;
  let collectedAt = elapsed();

  /** What is wrong, or null where there is nothing left to do. */
  async function workOn(domain: string): Promise<string | null> {
    const forget = forgetting.get(domain);
    if (forget !== undefined) {
      await signers.forget(domain);
      // Kept until here: a start that comes before has it still, and is told once more.
      if (forget.removed !== null && !held.has(domain)) await cache.append([forget.removed], cacheState);
      if (forgetting.get(domain) === forget && !held.has(domain)) {
        const { generation } = forget;
        if (generation !== null) outbox.put({ kind: 'acknowledged', domain, born: null, generation });
      }
      // Asked for once more meanwhile, with a generation to answer: that is a turn of its own.
      if (forgetting.get(domain) === forget) forgetting.delete(domain);
    }
    const its = held.get(domain);
    if (its === undefined) return null;
    const { record } = its;
    if (its.drifted && !its.overwrite) {
      if (its.loaded === record.generation) return null;
      // Who changed what is found out before anything is written: the rest of the signers go on.
      await signers.inspect(record);
    }
    const { overwrite } = its;
    const delivery = await signers.deliver({ ...record, overwrite });
    if (held.get(domain)?.record !== record) return null;
    const trouble = tell(its, delivery);
    if (trouble !== null || delivery.kind !== 'acknowledged') return trouble;
    return tryKeys(its);
  }

  function tell(its: Held, delivery: LocalDelivery): string | null {
    const { domain, generation, born } = its.record;
    switch (delivery.kind) {
      case 'acknowledged':
        its.loaded = delivery.generation;
        its.trouble = null;
        outbox.drop(domain, 'not-acknowledged');
        if (its.drifted && !its.overwrite) outbox.put({ kind: 'drift-gone', domain });
        if (its.acknowledged !== delivery.generation || its.overwrite)
          outbox.put({ kind: 'acknowledged', domain, born, generation: delivery.generation });
        Object.assign(its, { acknowledged: delivery.generation, drifted: false, overwrite: false });
        return null;
      case 'drifted':
        its.trouble = delivery.message;
        // A person decides; what comes of that comes as a change.
        its.drifted = true;
        outbox.put({ kind: 'drift-found', domain, message: delivery.message });
        return null;
      case 'failed':
        its.trouble = delivery.message;
        // What was acknowledged before may be gone: nobody knows what is loaded there.
        if (its.acknowledged >= generation) {
          its.acknowledged = 0;
          outbox.put({ kind: 'acknowledged', domain, born, generation: 0 });
        }
        outbox.put({ kind: 'not-acknowledged', domain, message: delivery.message });
        return delivery.message;
    }
  }

  async function tryKeys(its: Held): Promise<string | null> {
    const { record } = its;
    let trouble: string | null = null;
    for (const test of its.tests) {
      const { stream, selector, entered } = test;
      const failure = await signers.test(record, stream, selector);
      if (held.get(record.domain)?.record !== record) return null;
      if (failure === null) {
        outbox.put({ kind: 'signed', domain: record.domain, selector, entered });
        its.tests = its.tests.filter((each) => each !== test);
      } else {
        trouble = failure;
        outbox.put({ kind: 'test-failed', domain: record.domain, selector, message: failure });
      }
    }
    its.trouble = trouble;
    return trouble;
  }

  /** Takes items in; what of it is to be kept on the disk is given back, and what is to be done then. */
  function take(items: readonly Item[]): { records: FeedRecord[]; then: Array<() => void> } {
    const records: FeedRecord[] = [];
    const then: Array<() => void> = [];
    for (const item of items) {
      const { domain } = item;
      const its = held.get(domain);
      if (item.kind === 'forget') {
        if (its !== undefined || item.generation !== null) {
          const { generation } = item;
          then.push(() => {
            const removed = its === undefined ? (forgetting.get(domain)?.removed ?? null) : removedOf(its, generation);
            held.delete(domain);
            outbox.clear(domain);
            forgetting.set(domain, { generation, removed });
            queue.due(domain);
            log.info('domain-forgotten', { domain });
          });
        }
        continue;
      }
      if (item.kind === 'damaged') {
        // What is here goes on being used. Where there is nothing, the domain's mail is put off, not passed.
        log.error('keyring-damaged', { domain, advice: 'the control plane cannot open its keys: see the log there' });
        if (its !== undefined || !item.mustSign) continue;
        const placeholder = nothingOf(domain);
        records.push(placeholder);
        then.push(() => {
          held.set(domain, fromCache(placeholder));
          queue.due(domain);
        });
        continue;
      }
      const record = toRecord(item);
      const digest = digestOf(record);
      // Another life of the domain: what its signers have of the former one is more, and says nothing.
      const isReborn = its !== undefined && isKnownLife(its.record) && its.record.born < record.born;
      if (its !== undefined && isOlder(record, its.record)) {
        // The control plane was put back from a backup: it hears what is here, and goes on from there.
        then.push(() => {
          its.acknowledged = item.acknowledged;
          const generation = its.loaded ?? its.record.generation;
          if (generation > item.acknowledged) outbox.put({ kind: 'acknowledged', domain, born: item.born, generation });
        });
        continue;
      }
      const { acknowledged, drifted, overwrite, tests } = item;
      const known = { acknowledged, drifted, overwrite, tests };
      if (its !== undefined && its.digest === digest) {
        then.push(() => {
          Object.assign(its, known);
          if (
            its.loaded !== record.generation ||
            acknowledged !== record.generation ||
            tests.length > 0 ||
            overwrite ||
            drifted
          )
            queue.due(domain);
        });
        continue;
      }
      records.push(record);
      then.push(() => {
        if (isReborn) {
          outbox.clear(domain);
          forgetting.set(domain, { generation: null, removed: null });
        }
        const loaded = isReborn ? null : (its?.loaded ?? null);
        held.set(domain, { record, digest, ...known, loaded, trouble: its?.trouble ?? null });
        queue.due(domain);
      });
    }
    return { records, then };
  }

  async function apply(items: readonly Item[]): Promise<void> {
    const { records, then } = take(items);
    if (records.length > 0) await cache.append(records, cacheState);
    for (const each of then) each();
  }

  return {
    get isOpen() {
      return isOpen;
    },
    async begin() {
      const found = await cache.read((records) => {
        for (const record of records) {
          const before = held.get(record.domain);
          if (record.kind === 'removed') {
            if (before === undefined || !isOlder(record, before.record)) held.delete(record.domain);
          } else if (record.kind === 'keyring') held.set(record.domain, fromCache(record));
          else {
            // Its mail is put off until the control plane has given it again.
            log.error('keyring-damaged', { domain: record.domain, error: record.error.message });
            held.set(record.domain, fromCache(nothingOf(record.domain)));
          }
        }
      });
      hasCache = found !== null;
      if (!hasCache) held.clear();
      return hasCache;
    },
    async open() {
      await signers.open([...held.values()].map(({ record }) => record));
      isOpen = true;
      for (const domain of held.keys()) queue.due(domain);
      queue.start();
    },
    async loading() {
      if (hasCache) return { add: apply, finish: async () => undefined, abandon: async () => undefined };
      held.clear();
      const writer: CacheWriter = await cache.begin();
      return {
        async add(items) {
          const { records, then } = take(items);
          await writer.add(records);
          for (const each of then) each();
        },
        async finish() {
          await writer.finish(cacheState);
          hasCache = true;
        },
        abandon: () => writer.abandon(),
      };
    },
    apply,
    collectSignatures() {
      const since = elapsed() - collectedAt;
      collectedAt = elapsed();
      const at = now();
      // However the clock jumped: it was after the last time that this was asked.
      for (const seen of signers.seen())
        outbox.seen(seen.domain, seen.selector, Math.min(since, Math.max(0, at - seen.at)));
    },
    async inspect(signal) {
      if (!isOpen) return;
      for (const [domain, its] of [...held]) {
        if (signal.aborted) return;
        const { record } = its;
        if (its.loaded === null || queue.has(domain)) continue;
        const found = await signers.inspect(record);
        if (held.get(domain)?.record !== record || queue.has(domain)) continue;
        if (found.kind === 'changed') {
          if (!its.drifted || its.trouble !== found.message) {
            log.warn('signer-changed', { domain, message: found.message });
            outbox.put({ kind: 'drift-found', domain, message: found.message });
          }
          its.drifted = true;
          its.trouble = found.message;
        } else if (found.kind === 'lost') {
          log.warn('signer-lost', { domain, message: found.message });
          its.loaded = null;
          queue.due(domain);
        } else if (found.kind === 'as-delivered' && its.drifted) {
          its.trouble = null;
          its.loaded = null;
          queue.due(domain);
        }
      }
    },
    domains: () => [...held.keys()],
    facts() {
      const troubled = [...held.values()].filter(({ trouble }) => trouble !== null);
      const behind = [...held.values()].filter(({ loaded, record }) => (loaded ?? -1) < record.generation).length;
      const troubles = troubled
        .slice(0, 10)
        .map(({ record, trouble }) => ({ domain: record.domain, message: trouble ?? '' }));
      return { domains: held.size, behind, troubles };
    },
    stop: queue.stop,
  };
}

function removedOf({ record: { domain, born, generation } }: Held, asked: number | null): FeedRecord {
  return { kind: 'removed', domain, born, generation: Math.max(generation, asked ?? 0) };
}

function fromCache({ sealed: _, ...record }: FeedKeyring): Held {
  const { generation } = record;
  const nothing = { drifted: false, overwrite: false, tests: [], loaded: null, trouble: null };
  return { record, digest: digestOf(record), acknowledged: generation, ...nothing };
}

/** A domain whose keys are not known: its mail must be signed, and cannot be from here. What its signers keep by themselves may sign it. */
function nothingOf(domain: string): FeedKeyring {
  return { kind: 'keyring', domain, born: unknownLife, generation: 0, mustSign: true, streams: { default: [] } };
}

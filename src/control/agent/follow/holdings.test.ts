import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { temporaryKeks } from '../../../store/kek.ts';
import { createKeyringCache, type KeyringCache } from '../../../store/keyring/cache.ts';
import type { FeedKeyring } from '../../../store/keyring/feed.ts';
import { createRecordSealer } from '../../../store/keyring/sealed-record.ts';
import { silentLog } from '../../log.ts';
import type { KeyringItem, Report } from '../wire.ts';
import { createHoldings, type Holdings } from './holdings.ts';
import type { LocalDelivery, LocalInspection, LocalSigners } from './local-signers.ts';
import { createOutbox } from './outbox.ts';

const domain = 'ours.test';

function item(generation: number, more: Partial<KeyringItem> = {}): KeyringItem {
  const key = { selector: `s${generation}`, algorithm: 'ed25519-sha256', pkcs8: 'AAAA', entered: generation } as const;
  const rest = { overwrite: false, drifted: false, acknowledged: 0, tests: [], others: [] };
  return {
    kind: 'keyring',
    domain,
    born: 5,
    generation,
    mustSign: true,
    streams: { default: [key] },
    ...rest,
    ...more,
  };
}

/** Signers that do as they are told, and remember what they were given. */
function fakeSigners() {
  const given: FeedKeyring[] = [];
  const forgotten: string[] = [];
  const fake = {
    delivery: (record: FeedKeyring): LocalDelivery => ({ kind: 'acknowledged', generation: record.generation }),
    inspection: { kind: 'as-delivered' } as LocalInspection,
    test: null as string | null,
    forgetting: async (): Promise<void> => undefined,
    opened: [] as string[],
    given,
    forgotten,
  };
  const signers: LocalSigners = {
    names: [],
    abilities: { algorithms: ['rsa', 'ed25519'], atMost: null },
    endpoints: [],
    async open(records) {
      fake.opened = [...records].map((record) => `${record.domain} ${record.generation}`);
    },
    async deliver(record) {
      given.push(record);
      return fake.delivery(record);
    },
    async forget(name) {
      forgotten.push(name);
      await fake.forgetting();
    },
    test: async () => fake.test,
    inspect: async () => fake.inspection,
    seen: () => [],
    close: async () => undefined,
  };
  return { fake, signers };
}

describe('what an agent has of its domains', () => {
  let folder: string;
  const keks = temporaryKeks();
  let open: Array<{ holdings: Holdings; cache: KeyringCache }> = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'keyturn-holdings-'));
  });
  afterEach(async () => {
    for (const { holdings, cache } of open) {
      await holdings.stop();
      await cache.close();
    }
    open = [];
    rmSync(folder, { recursive: true, force: true });
  });

  async function start(items: readonly KeyringItem[] | null) {
    const { fake, signers } = fakeSigners();
    const outbox = createOutbox(() => performance.now());
    const cache = createKeyringCache(folder, createRecordSealer(keks));
    const clock = { elapsed: () => performance.now(), now: () => Date.now() };
    const holdings = createHoldings({ cache, signers, outbox, log: silentLog, ...clock });
    open.push({ holdings, cache });
    if (items === null) expect(await holdings.begin()).toBe(true);
    else {
      const turn = await holdings.loading();
      await turn.add(items);
      await turn.finish();
    }
    await holdings.open();
    const reports = async (): Promise<readonly Report[]> => {
      await sleep(20);
      const letters = outbox.take();
      letters?.settle();
      return letters?.reports ?? [];
    };
    return { fake, holdings, reports, close: () => cache.close() };
  }

  test('is given to the signers, acknowledged, tried, and there again at the next start', async () => {
    const first = await start([item(1, { tests: [{ stream: 'default', selector: 's1', entered: 1 }] })]);
    expect(await first.reports()).toEqual([
      { kind: 'acknowledged', domain, born: 5, generation: 1 },
      { kind: 'signed', domain, selector: 's1', entered: 1 },
    ]);
    await first.holdings.apply([item(2)]);
    expect(await first.reports()).toEqual([{ kind: 'acknowledged', domain, born: 5, generation: 2 }]);
    await first.close();
    const again = await start(null);
    expect(again.fake.opened).toEqual([`${domain} 2`]);
    expect(again.fake.given.map(({ generation }) => generation)).toEqual([2]);
    // What the control plane knows already is not told again, and a repetition is no work.
    expect(await again.reports()).toEqual([]);
    await again.holdings.apply([item(2, { acknowledged: 2 })]);
    await sleep(20);
    expect(again.fake.given).toHaveLength(1);
  });

  test('is not acknowledged where a signer fails, and is tried again until it does not', async () => {
    const { fake, holdings, reports } = await start([item(1, { acknowledged: 1 })]);
    fake.delivery = () => ({ kind: 'failed', message: 'dkim: the folder is read-only' });
    expect(await reports()).toEqual([]);
    await holdings.apply([item(2, { acknowledged: 1 })]);
    expect(await reports()).toEqual([{ kind: 'not-acknowledged', domain, message: 'dkim: the folder is read-only' }]);
    expect(holdings.facts()).toMatchObject({
      behind: 1,
      troubles: [{ domain, message: 'dkim: the folder is read-only' }],
    });
    fake.delivery = ({ generation }) => ({ kind: 'acknowledged', generation });
    await sleep(400);
    expect(await reports()).toEqual([{ kind: 'acknowledged', domain, born: 5, generation: 2 }]);
  });

  test('that a restart cannot deliver again is acknowledged no more', async () => {
    const { fake, holdings, reports } = await start([item(1)]);
    await reports();
    fake.inspection = { kind: 'lost', message: 'the table is gone' };
    fake.delivery = () => ({ kind: 'failed', message: 'the disk is full' });
    await holdings.inspect(new AbortController().signal);
    expect(await reports()).toEqual([
      { kind: 'acknowledged', domain, born: 5, generation: 0 },
      { kind: 'not-acknowledged', domain, message: 'the disk is full' },
    ]);
  });

  test('and somebody changed is left until a person has decided, or it is as it was', async () => {
    const { fake, holdings, reports } = await start([item(1)]);
    await reports();
    const signal = new AbortController().signal;
    const changed = { kind: 'changed', message: 'dkim: the row of ours.test names another file' } as const;
    fake.inspection = changed;
    await holdings.inspect(signal);
    expect(await reports()).toEqual([{ kind: 'drift-found', domain, message: changed.message }]);
    // Found once, told once; and nothing is written.
    await holdings.inspect(signal);
    expect(await reports()).toEqual([]);
    expect(fake.given).toHaveLength(1);
    // Decided: written over, acknowledged again though the generation is the same, and the decision is used up.
    fake.inspection = { kind: 'as-delivered' };
    await holdings.apply([item(1, { acknowledged: 0, overwrite: true })]);
    expect(await reports()).toEqual([{ kind: 'acknowledged', domain, born: 5, generation: 1 }]);
    expect(fake.given.map(({ overwrite }) => overwrite)).toEqual([false, true]);
    // Another time the person puts it right by hand.
    fake.inspection = changed;
    await holdings.inspect(signal);
    expect(await reports()).toMatchObject([{ kind: 'drift-found' }]);
    fake.inspection = { kind: 'as-delivered' };
    await holdings.inspect(signal);
    expect(await reports()).toContainEqual({ kind: 'drift-gone', domain });
    expect(fake.given.at(-1)?.overwrite).toBe(false);
  });

  test('ends by a word of the control plane, and begins anew when the domain comes back', async () => {
    const { fake, holdings, reports } = await start([item(7)]);
    await reports();
    await holdings.apply([{ kind: 'forget', domain, generation: 8 }]);
    expect(await reports()).toEqual([{ kind: 'acknowledged', domain, born: null, generation: 8 }]);
    expect(fake.forgotten).toEqual([domain]);
    expect(holdings.domains()).toEqual([]);
    await holdings.apply([item(1, { born: 9 })]);
    expect(await reports()).toEqual([{ kind: 'acknowledged', domain, born: 9, generation: 1 }]);
  });

  test('that left and came back while the agent was away is forgotten first', async () => {
    const { fake, holdings, reports } = await start([item(7)]);
    await reports();
    await holdings.apply([item(1, { born: 9 })]);
    expect(await reports()).toEqual([{ kind: 'acknowledged', domain, born: 9, generation: 1 }]);
    expect(fake.forgotten).toEqual([domain]);
  });

  test('and is newer than what the control plane has is told to it, and stays', async () => {
    const { fake, holdings, reports } = await start([item(7)]);
    await reports();
    await holdings.apply([item(3)]);
    expect(await reports()).toEqual([{ kind: 'acknowledged', domain, born: 5, generation: 7 }]);
    expect(fake.given.map(({ generation }) => generation)).toEqual([7]);
  });

  test('cannot be opened there: what is here stays, and a domain of which nothing is here is put off', async () => {
    const { fake, holdings, reports } = await start([item(3)]);
    await reports();
    await holdings.apply([
      { kind: 'damaged', domain, mustSign: true },
      { kind: 'damaged', domain: 'other.test', mustSign: true },
      { kind: 'damaged', domain: 'new.test', mustSign: false },
    ]);
    expect(await reports()).toEqual([]);
    expect(fake.given.slice(1)).toMatchObject([
      { domain: 'other.test', generation: 0, mustSign: true, streams: { default: [] } },
    ]);
    await holdings.apply([item(1, { domain: 'other.test' })]);
    expect(await reports()).toEqual([{ kind: 'acknowledged', domain: 'other.test', born: 5, generation: 1 }]);
    // What its signers kept by themselves went on signing: it is replaced, never taken away first.
    expect(fake.forgotten).toEqual([]);
  });

  test('is there still after a restart where a signer could not forget it, and gone once it has', async () => {
    const first = await start([item(7)]);
    await first.reports();
    first.fake.forgetting = () => Promise.reject(new Error('the program does not answer'));
    await first.holdings.apply([{ kind: 'forget', domain, generation: null }]);
    await first.reports();
    expect(first.holdings.domains()).toEqual([]);
    await first.holdings.stop();
    await first.close();
    // It is asked about, as everything is that was not named, and told to forget it again.
    const second = await start(null);
    expect(second.holdings.domains()).toEqual([domain]);
    await second.holdings.apply([{ kind: 'forget', domain, generation: null }]);
    await second.reports();
    expect(second.fake.forgotten).toEqual([domain]);
    await second.close();
    const third = await start(null);
    expect(third.holdings.domains()).toEqual([]);
  });

  test('is forgotten and answered for where the word comes a second time while the first is carried out', async () => {
    const { fake, holdings, reports } = await start([item(7)]);
    await reports();
    const first = Promise.withResolvers<void>();
    fake.forgetting = () => first.promise;
    await holdings.apply([{ kind: 'forget', domain, generation: null }]);
    await sleep(20);
    expect(fake.forgotten).toEqual([domain]);
    fake.forgetting = async () => undefined;
    await holdings.apply([{ kind: 'forget', domain, generation: 8 }]);
    first.resolve();
    expect(await reports()).toEqual([{ kind: 'acknowledged', domain, born: null, generation: 8 }]);
  });

  test('is not taken from a cache that was never whole', async () => {
    const { signers } = fakeSigners();
    const cache = createKeyringCache(folder, createRecordSealer(keks));
    const outbox = createOutbox(() => 0);
    const holdings = createHoldings({ cache, signers, outbox, log: silentLog, elapsed: () => 0, now: () => 0 });
    open.push({ holdings, cache });
    const turn = await holdings.loading();
    await turn.add([item(1)]);
    await turn.abandon();
    expect(await holdings.begin()).toBe(false);
    expect(holdings.domains()).toEqual([]);
  });
});

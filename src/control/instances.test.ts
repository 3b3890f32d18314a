import { describe, expect, test } from 'vitest';
import { tempDir } from '../../tests/support/temp.ts';
import type { Instance } from '../store/instances.ts';
import { openMemoryStore } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { type InstanceOptions, InstanceTaken, startInstance } from './instances.ts';
import { type Log, silentLog } from './log.ts';

/** A machine with clocks of its own on one store. */
function machine(store: InstanceOptions['store'], ahead = 0) {
  const time = { steady: 0, wall: 1_000_000 + ahead };
  const told: string[] = [];
  const say = (event: string) => void told.push(event);
  const log: Log = { ...silentLog, info: say, warn: say, error: say };
  const dir = tempDir('instance');
  return {
    time,
    told,
    dir,
    pass(milliseconds: number) {
      time.steady += milliseconds;
      time.wall += milliseconds;
    },
    start: (name: string, more: Partial<InstanceOptions> = {}) =>
      startInstance({
        store,
        clock: { now: () => time.wall },
        steady: () => time.steady,
        wall: () => time.wall,
        log,
        name,
        facts: { host: `host-${ahead}`, pid: 1, roles: ['reconcile'] },
        folder: dir.path,
        ...more,
      }),
  };
}

/** A store whose connection can be cut. */
function cuttable(store: Store) {
  const link = { cut: false };
  const through =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (link.cut) throw new Error('the network is down');
      return call(...args);
    };
  return {
    link,
    store: {
      claimInstance: through(store.claimInstance.bind(store)),
      renewInstance: through(store.renewInstance.bind(store)),
      releaseInstance: through(store.releaseInstance.bind(store)),
      listInstances: through(store.listInstances.bind(store)),
      releaseOwner: through(store.releaseOwner.bind(store)),
    },
  };
}

describe('the names of instances', () => {
  test('belong to one living process each, on whatever machine, and to the next when it has ended', async () => {
    await using store = await openMemoryStore();
    const [a, b] = [machine(store), machine(store, 100)];
    const first = await a.start('one');
    // Somebody who says something meanwhile is alive.
    const beating = setInterval(() => {
      a.pass(1000);
      void first.beat();
    }, 20);
    await expect(b.start('one', { every: 50 })).rejects.toThrow(InstanceTaken);
    await expect(b.start('one', { every: 50 })).rejects.toThrow(/host-0, process 1/);
    clearInterval(beating);
    await first.release();
    const second = await b.start('one');
    expect(second.holds()).toBe(true);
    for (const { dir } of [a, b]) dir.remove();
  });

  test('are taken over at once by a process on the folder of the one that was killed', async () => {
    await using store = await openMemoryStore();
    const a = machine(store);
    await a.start('one');
    const again = await a.start('one', { ttl: 3_600_000 });
    expect(again.holds()).toBe(true);
    expect(await store.listInstances()).toMatchObject([{ name: 'one', boot: again.boot }]);
    a.dir.remove();
  });

  test('of the silent are free whatever the clocks say, for silence is measured by one clock', async () => {
    await using store = await openMemoryStore();
    const dead = machine(store, 3_600_000);
    await dead.start('one');
    const b = machine(store);
    const waiting = setInterval(() => b.pass(5000), 10);
    const taken = await b.start('one', { every: 20 });
    clearInterval(waiting);
    expect(taken.holds()).toBe(true);
    for (const { dir } of [dead, b]) dir.remove();
  });

  test('give nobody the right to act who could not confirm them: neither in a broken network nor after a sleep', async () => {
    await using store = await openMemoryStore();
    const { link, store: cut } = cuttable(store);
    const a = machine(cut);
    const one = await a.start('one');
    link.cut = true;
    a.pass(9000);
    await one.beat();
    expect(one.holds()).toBe(true);
    a.pass(1000);
    expect(one.holds()).toBe(false);
    await one.beat();
    expect(one.holds()).toBe(false);
    link.cut = false;
    await one.beat();
    expect(one.holds()).toBe(true);
    expect(a.told).toEqual(['instance-not-confirmed', 'instance-confirmed']);
    // Asleep, only the machine's own clock goes on.
    a.time.wall += 60_000;
    expect(one.holds()).toBe(false);
    a.dir.remove();
  });

  test('are lost to another who took them, until that one is gone', async () => {
    await using store = await openMemoryStore();
    const [a, b] = [machine(store), machine(store, 1)];
    const one = await a.start('one');
    // A sleeps; B waits for its silence to last.
    const waiting = setInterval(() => b.pass(5000), 10);
    const other = await b.start('one', { every: 20 });
    clearInterval(waiting);
    a.time.wall = b.time.wall;
    await one.beat();
    await one.beat();
    expect([one.holds(), other.holds()]).toEqual([false, true]);
    expect(a.told).toEqual(['instance-name-lost']);
    await other.release();
    await one.beat();
    expect(one.holds()).toBe(true);
    for (const { dir } of [a, b]) dir.remove();
  });
});

test('what a silent instance held is given back once, and again when it comes back and falls silent', async () => {
  await using store = await openMemoryStore();
  const released: string[] = [];
  const counting: InstanceOptions['store'] = {
    claimInstance: store.claimInstance.bind(store),
    renewInstance: store.renewInstance.bind(store),
    releaseInstance: store.releaseInstance.bind(store),
    listInstances: store.listInstances.bind(store),
    releaseOwner: async (owner) => {
      released.push(owner);
      return 3;
    },
  };
  const [a, b] = [machine(store), machine(counting, 50_000)];
  const one = await a.start('one');
  let woken = 0;
  const two = await b.start('two', { onTakeover: (count) => (woken += count) });
  expect(released).toEqual(['two']);
  const beats = async (count: number, alive: boolean) => {
    for (let i = 0; i < count; i++) {
      a.pass(3000);
      b.pass(3000);
      if (alive) await one.beat();
      await two.beat();
    }
  };
  await beats(10, true);
  expect(released).toEqual(['two']);
  await beats(10, false);
  expect(released).toEqual(['two', 'one']);
  expect(woken).toBe(3);
  await beats(3, true);
  await beats(10, false);
  expect(released).toEqual(['two', 'one', 'one']);
  // Long forgotten, it leaves the list.
  b.pass(2 * 86_400_000);
  await two.beat();
  await two.beat();
  expect((await store.listInstances()).map(({ name }: Instance) => name)).toEqual(['two']);
  for (const { dir } of [a, b]) dir.remove();
});

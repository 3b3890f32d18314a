import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../lifecycle/clock.ts';
import { defaultPolicy } from '../lifecycle/policy.ts';
import { openMemoryStore } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { bindToAll } from './bindings.ts';
import { lockInstance } from './instance-lock.ts';
import { createLimit } from './limit.ts';
import { type Log, silentLog } from './log.ts';
import type { LookContext } from './look.ts';
import { addDomain, addStream, syncPolicies } from './operations.ts';
import { startReconciler } from './reconciler.ts';
import { createSignatureLedger } from './signature-ledger.ts';

const actor = { name: 'olga', source: 'cli' } as const;

async function storeWith(names: readonly string[]): Promise<Store> {
  const store = await openMemoryStore();
  const operator = { store, clock: systemClock, actor };
  await syncPolicies(operator, {}, defaultPolicy);
  for (const name of names) await addDomain(operator, { name, kind: 'mail', policy: 'default', bindings: [] });
  return store;
}

function contextOf(store: Store, log: Log = silentLog): LookContext {
  return {
    store,
    world: {
      publisherOf: () => {
        throw new Error('no publisher here');
      },
      prove: () => Promise.reject(new Error('no DNS here')),
      signers: new Map(),
      bindings: [],
      keyPair: async (algorithm) => {
        if (algorithm === 'rsa') throw new Error('no primes today');
        return { publicKey: 'x', secret: (keyId) => ({ keyId, from: 'der', pkcs8: new Uint8Array(1) }) };
      },
      newKeyId: () => 'k',
      recordText: () => null,
    },
    clock: systemClock,
    ledger: createSignatureLedger(),
    log,
    limit: createLimit(4),
    effectTimeout: 1000,
    leaseMs: 60_000,
  };
}

const options = { owner: 'test', concurrency: 4, interval: 20 };

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(5);
}

describe('the loop', () => {
  test('looks at every domain that is due, and at one that is woken', async () => {
    const names = Array.from({ length: 30 }, (_, i) => `d${i}.example`);
    await using store = await storeWith(names);
    const reconciler = startReconciler(contextOf(store), options);
    const looked = async () => {
      const domains = await store.snapshots(names);
      return [...domains.values()].filter(({ snapshot }) => snapshot.domain.lastLookAt !== null).length;
    };
    await until(async () => (await looked()) === names.length);
    await reconciler.stop();
    expect(reconciler.counts.looks).toBeGreaterThanOrEqual(names.length);
  });

  test('outlives a store that throws, and a domain whose look throws', async () => {
    const errors: string[] = [];
    const log: Log = { ...silentLog, error: (event) => errors.push(event) };
    await using store = await storeWith(['a.example', 'b.example']);
    let claims = 0;
    const shaky: Store = Object.assign(Object.create(store), {
      claimDue: (request: Parameters<Store['claimDue']>[0]) => {
        if (++claims === 1) throw new Error('the disk is away');
        return store.claimDue(request);
      },
      snapshot: (name: string) =>
        name === 'a.example' ? Promise.reject(new Error('a page is damaged')) : store.snapshot(name),
    });
    const reconciler = startReconciler(contextOf(shaky, log), options);
    await until(async () => (await store.snapshot('b.example'))?.snapshot.domain.lastLookAt !== null);
    await until(() => reconciler.counts.failures > 0);
    await reconciler.stop();
    expect(errors).toEqual(expect.arrayContaining(['cannot-claim', 'look-failed']));
  });

  test('gives a domain whose steps all fail by a fault a rest, instead of looking at it without a pause', async () => {
    const errors: string[] = [];
    const log: Log = { ...silentLog, error: (event) => errors.push(event) };
    await using store = await storeWith([]);
    const rsa = { ...defaultPolicy, keys: [{ algorithm: 'rsa', bits: 2048, count: 1 }] } as const;
    await syncPolicies({ store, clock: systemClock, actor }, { rsa }, defaultPolicy);
    await addDomain(
      { store, clock: systemClock, actor },
      { name: 'a.example', kind: 'mail', policy: 'rsa', bindings: [bindToAll('m')] },
    );
    const reconciler = startReconciler(contextOf(store, log), options);
    await until(() => errors.length > 0);
    await sleep(200);
    await reconciler.stop();
    expect(new Set(errors)).toEqual(new Set(['step-failed']));
    expect(errors.length).toBeLessThan(5);
    expect((await store.snapshot('a.example'))?.nextLookAt).toBeGreaterThan(Date.now() + 3000);
  });

  test('stops only when looks that are under way have ended, and claims nothing more', async () => {
    await using store = await storeWith(['a.example']);
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let begun = false;
    const slow: Store = Object.assign(Object.create(store), {
      snapshot: async (name: string) => {
        begun = true;
        await held;
        return store.snapshot(name);
      },
    });
    const reconciler = startReconciler(contextOf(slow), options);
    await until(() => begun);
    let stopped = false;
    const stopping = reconciler.stop().then(() => {
      stopped = true;
    });
    await sleep(50);
    expect(stopped).toBe(false);
    release();
    await stopping;
    expect((await store.snapshot('a.example'))?.snapshot.domain.lastLookAt).not.toBeNull();
  });
});

describe('a stream that is added', () => {
  test('is signed by the signers of the default stream, in the same commit', async () => {
    await using store = await storeWith([]);
    const operator = { store, clock: systemClock, actor };
    await addDomain(operator, {
      name: 'a.example',
      kind: 'mail',
      policy: 'default',
      bindings: [bindToAll('m1'), bindToAll('m2')],
    });
    expect(
      (
        await addStream(
          operator,
          'a.example',
          'news',
          null,
          ['m1', 'm2'].map((id) => bindToAll(id)),
        )
      ).kind,
    ).toBe('done');
    const snapshot = (await store.snapshot('a.example'))?.snapshot;
    expect(snapshot?.signers.map(({ streams }) => streams)).toEqual([
      ['default', 'news'],
      ['default', 'news'],
    ]);
    expect(
      await addStream(
        operator,
        'a.example',
        'news',
        null,
        ['m1', 'm2'].map((id) => bindToAll(id)),
      ),
    ).toEqual({ kind: 'refused', why: 'already-so' });
  });
});

describe('the lock of an instance', () => {
  test('is held once for each name, and free again when it is released', () => {
    const folder = mkdtempSync(join(tmpdir(), 'keyturn-lock-'));
    try {
      const first = lockInstance(folder, 'milter');
      expect(first).not.toBeNull();
      expect(lockInstance(folder, 'milter')).toBeNull();
      using other = lockInstance(folder, 'milter-2');
      expect(other).not.toBeNull();
      first?.release();
      using again = lockInstance(folder, 'milter');
      expect(again).not.toBeNull();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

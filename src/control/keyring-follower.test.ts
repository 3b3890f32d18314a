import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { generateKeyPair } from '../dkim/key-pair.ts';
import { systemClock } from '../lifecycle/clock.ts';
import { connectMilter } from '../signers/milter/client.ts';
import { testMessage } from '../signers/milter/signer.ts';
import type { Signer } from '../signers/signer.ts';
import { openMemoryStore } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { bindToAll } from './bindings.ts';
import { configSchema } from './config/schema.ts';
import { importKey } from './import-key.ts';
import { followKeyrings } from './keyring-follower.ts';
import { type Log, silentLog } from './log.ts';
import { type MilterRole, startMilterRole } from './milter-role.ts';
import { addDomain, operate } from './operations.ts';

const operator = (store: Store) => ({ store, clock: systemClock, actor: { name: 'test', source: 'cli' } }) as const;
const { milter: settings } = configSchema.parse({ milter: { listen: ['inet:127.0.0.1:0'] } });

/** A domain whose only key is active; `look` is the state that the lifecycle would have left it in. */
async function activeDomain(store: Store, domain: string): Promise<void> {
  const { privateKey } = await generateKeyPair({ algorithm: 'ed25519' });
  const input = privateKey.export({ type: 'pkcs8', format: 'pem' });
  await importKey(operator(store), {
    domain,
    selector: 's1',
    stream: 'default',
    input: String(input),
    policy: 'default',
    bindings: [bindToAll('milter')],
  });
  await change(store, domain, 'active', null);
}

async function change(store: Store, domain: string, state: 'active' | 'retiring', removingAt: number | null) {
  const stored = await store.snapshot(domain);
  if (stored === null) throw new Error(`${domain} is not there`);
  const { snapshot: before, version } = stored;
  const generation = before.domain.generation + 1;
  const after = {
    ...before,
    domain: { ...before.domain, generation, firstActiveAt: 1, removingAt },
    keys: before.keys.map((key) => ({ ...key, state, activatedAt: 1, enteredGeneration: key.enteredGeneration ?? 1 })),
  };
  const event = { actor: 'test', source: 'cli', domain, kind: 'active-changed', details: {}, at: 1 } as const;
  await store.commit({ name: domain, version }, { before, after, events: [event] });
}

async function deliver(role: MilterRole, domain: string) {
  using client = await connectMilter(role.server.endpoints[0] ?? '');
  return await client.deliver({ ...testMessage(domain), clientAddress: '127.0.0.1' });
}

describe('a milter that follows the keyrings of other processes', () => {
  let store: Store;
  let role: MilterRole;
  beforeEach(async () => {
    store = await openMemoryStore();
    await activeDomain(store, 'leaves.test');
    await activeDomain(store, 'stays.test');
    role = await startMilterRole('milter', settings, {
      store,
      clock: systemClock,
      log: silentLog,
    });
  });
  const following = (from: Store, log: Log = silentLog) =>
    followKeyrings(role.signer, { store: from, clock: systemClock, log, binding: bindToAll('milter') });
  afterEach(async () => {
    await role.stop();
    await store.close();
  });

  test('lets the mail of a domain that leaves pass once its last key has left, as after a restart', async () => {
    const follow = following(store);
    await follow();
    expect((await deliver(role, 'leaves.test')).added).toHaveLength(1);
    await change(store, 'leaves.test', 'retiring', 2);
    await follow();
    expect(await deliver(role, 'leaves.test')).toMatchObject({ verdict: 'accepted', added: [] });
    const again = await startMilterRole('milter', settings, {
      store,
      clock: systemClock,
      log: silentLog,
    });
    try {
      expect(await deliver(again, 'leaves.test')).toMatchObject({ verdict: 'accepted', added: [] });
    } finally {
      await again.stop();
    }
  });

  test('puts off the mail of a domain that stays and has lost its keys', async () => {
    const follow = following(store);
    await follow();
    await change(store, 'stays.test', 'retiring', null);
    await follow();
    expect(await deliver(role, 'stays.test')).toMatchObject({ verdict: 'tempfailed', added: [] });
  });

  test('goes on with the others where one domain cannot be read, and comes back to that one', async () => {
    let damaged = true;
    const partly: Store = Object.assign(Object.create(store), {
      keyring: (name: string) =>
        damaged && name === 'leaves.test' ? Promise.reject(new Error('does not open')) : store.keyring(name),
    });
    const said: unknown[] = [];
    const log: Log = { ...silentLog, error: (what, fields) => void said.push([what, fields]) };
    const follow = following(partly, log);
    const generationOf = async (domain: string) =>
      (await store.snapshot(domain))?.snapshot.signers[0]?.acknowledgedGeneration;
    await follow();
    await addDomain(operator(store), { name: 'new.test', kind: 'mail', policy: 'default', bindings: [] });
    await follow();
    expect(await generationOf('leaves.test')).toBe(0);
    expect(await generationOf('stays.test')).toBe(1);
    expect(await generationOf('new.test')).toBe(0);
    expect(JSON.stringify(said)).toContain('leaves.test');
    damaged = false;
    await expect
      .poll(
        async () => {
          await follow();
          return generationOf('leaves.test');
        },
        { timeout: 10_000 },
      )
      .toBe(1);
  });

  test('takes the generation that a signer ahead of a restored store made necessary', async () => {
    const follow = following(store);
    await follow();
    await operate(operator(store), 'stays.test', (_domain, at) => [
      { kind: 'signer-added', at, signerId: 'other', streams: ['default'] },
      { kind: 'acknowledged', at, signerId: 'other', generation: 7 },
    ]);
    await follow();
    const signers = (await store.snapshot('stays.test'))?.snapshot.signers;
    expect(signers?.find(({ id }) => id === 'milter')?.acknowledgedGeneration).toBe(8);
  });

  test('goes on with the others where a domain that is gone cannot be forgotten, and forgets it in the end', async () => {
    let cannot = true;
    const forgotten: string[] = [];
    const signer: Signer = {
      ...role.signer,
      async forget(domain) {
        if (cannot) throw new Error('the program does not answer');
        forgotten.push(domain);
      },
    };
    const follow = followKeyrings(signer, {
      store,
      clock: systemClock,
      log: silentLog,
      binding: bindToAll('milter'),
    });
    await follow();
    const gone = { actor: 'test', source: 'cli', domain: 'gone.test', kind: 'domain-removed', details: {}, at: 1 };
    await store.journal.append([gone]);
    await change(store, 'stays.test', 'active', null);
    await follow();
    expect((await store.snapshot('stays.test'))?.snapshot.signers[0]?.acknowledgedGeneration).toBe(2);
    cannot = false;
    await expect
      .poll(
        async () => {
          await follow();
          return forgotten;
        },
        { timeout: 10_000 },
      )
      .toEqual(['gone.test']);
  });
});

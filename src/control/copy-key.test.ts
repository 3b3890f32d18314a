import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { generateKeyPair } from '../dkim/key-pair.ts';
import { systemClock } from '../lifecycle/clock.ts';
import { defaultPolicy } from '../lifecycle/policy.ts';
import type { KeyView, Snapshot } from '../lifecycle/types.ts';
import type { FoundKey, Signer } from '../signers/signer.ts';
import { openMemoryStore } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { adopt } from './adopt.ts';
import { bindToAll } from './bindings.ts';
import { copyKey, keysToCopy } from './copy-key.ts';
import { importKey } from './import-key.ts';
import { addDomain, mark, operate, syncPolicies } from './operations.ts';
import { addShadow } from './shadows.ts';
import { unwatchExternal, watchExternal } from './watch-external.ts';

const main = 'example.test';
const shadow = 'dkim-backup1.example.test';
const bindings = [bindToAll('mta')];
let store: Store;

beforeEach(async () => {
  store = await openMemoryStore();
  await syncPolicies(operator(), {}, defaultPolicy);
  await addDomain(operator(), { name: main, kind: 'mail', policy: 'default', bindings });
  await addShadow(operator(), { name: shadow, of: main, policy: 'default' });
});
afterEach(() => store.close());

const operator = (dryRun = false) =>
  ({ store, clock: systemClock, actor: { name: 'test', source: 'cli' }, dryRun }) as const;

async function pem(): Promise<string> {
  const { privateKey } = await generateKeyPair({ algorithm: 'ed25519' });
  return String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

async function snapshotOf(domain: string): Promise<Snapshot> {
  const stored = await store.snapshot(domain);
  if (stored === null) throw new Error(`no ${domain}`);
  return stored.snapshot;
}

async function imported(domain: string, selector: string): Promise<KeyView> {
  const wanted = { domain, selector, stream: 'default', policy: 'default', bindings, kept: true } as const;
  expect(await importKey(operator(), { ...wanted, input: await pem() })).toMatchObject({ kind: 'done' });
  const key = (await snapshotOf(domain)).keys.find((each) => each.selector === selector);
  if (key === undefined) throw new Error(`no ${selector}`);
  return key;
}

describe('from a shadow to its main domain', () => {
  test('the record changes hands, the private half is there, and it is asked for', async () => {
    const key = await imported(shadow, 'dkim1');
    const target = { domain: main, stream: 'default', use: true };
    expect(await copyKey(operator(), shadow, key.id, target)).toMatchObject({ what: 'copied', sameRecord: true });
    expect((await snapshotOf(shadow)).keys).toMatchObject([
      { handedTo: main, kept: true, copies: { count: 1, some: [`${main}/dkim1`] } },
    ]);
    const [copy] = (await snapshotOf(main)).keys;
    expect(copy).toMatchObject({
      selector: 'dkim1',
      publicKey: key.publicKey,
      copiedFrom: `${shadow}/dkim1`,
      kept: true,
      wanted: { at: expect.any(Number) },
    });
    expect(await store.loadPrivateKey(copy?.id ?? '')).toEqual(await store.loadPrivateKey(key.id));
  });

  test('a copy that a crash interrupted is completed by a repetition, which changes nothing once it is done', async () => {
    const key = await imported(shadow, 'dkim1');
    await mark(operator(), shadow, { kind: 'key-handed', keyId: key.id, to: main });
    const target = { domain: main, stream: 'default', use: false };
    expect(await copyKey(operator(), shadow, key.id, target)).toMatchObject({ kind: 'done', what: 'copied' });
    const before = await store.snapshot(main);
    expect(await copyKey(operator(), shadow, key.id, target)).toMatchObject({ kind: 'done', what: 'there' });
    expect(await store.snapshot(main)).toEqual(before);
  });

  test('nothing is given away that the main domain refuses', async () => {
    const key = await imported(shadow, 'dkim1');
    const target = { domain: main, stream: 'no-such-stream', use: true };
    expect(await copyKey(operator(), shadow, key.id, target)).toMatchObject({ kind: 'refused', at: main });
    expect((await snapshotOf(shadow)).keys[0]).not.toHaveProperty('handedTo');
    await mark(operator(), main, { kind: 'removal-requested' });
    const leaving = { domain: main, stream: 'default', use: true };
    expect(await copyKey(operator(), shadow, key.id, leaving)).toMatchObject({ kind: 'refused', at: main });
    expect((await snapshotOf(shadow)).keys[0]).not.toHaveProperty('handedTo');
  });

  test('a dry run changes neither', async () => {
    const key = await imported(shadow, 'dkim1');
    const before = [await store.snapshot(main), await store.snapshot(shadow)];
    const result = await copyKey(operator(true), shadow, key.id, { domain: main, stream: 'default', use: true });
    expect(result).toMatchObject({ kind: 'done', what: 'copied' });
    expect([await store.snapshot(main), await store.snapshot(shadow)]).toEqual(before);
  });
});

test('from the main domain to a shadow: the record stays, and the key is kept', async () => {
  const key = await imported(main, 'own');
  await mark(operator(), main, { kind: 'key-released', keyId: key.id });
  const other = await imported(main, 'other');
  const result = await copyKey(operator(), main, other.id, { domain: shadow, stream: 'default', use: false });
  expect(result).toMatchObject({ kind: 'done', sameRecord: true });
  expect((await snapshotOf(shadow)).keys).toMatchObject([{ selector: 'other', handedTo: main, kept: true }]);
});

test('to another domain it gets a record of its own, and both know of each other', async () => {
  await addDomain(operator(), { name: 'other.test', kind: 'mail', policy: 'default', bindings });
  const key = await imported(main, 's1');
  const target = { domain: 'other.test', stream: 'default', selector: 's2', use: false };
  expect(await copyKey(operator(), main, key.id, target)).toMatchObject({ kind: 'done', sameRecord: false });
  expect((await snapshotOf('other.test')).keys).toMatchObject([
    { selector: 's2', state: 'created', written: null, copiedFrom: `${main}/s1`, kept: true },
  ]);
  expect((await snapshotOf(main)).keys[0]?.copies).toEqual({ count: 1, some: ['other.test/s2'] });
  expect(await copyKey(operator(), main, key.id, { ...target, domain: 'nobody.test' })).toMatchObject({
    kind: 'unknown-domain',
  });
});

test('a selector is given once under a main domain, also where several ask at one time', async () => {
  await addShadow(operator(), { name: 'dkim-backup2.example.test', of: main, policy: 'default' });
  const wanted = { selector: 'same', stream: 'default', policy: 'default', bindings } as const;
  const results = await Promise.all(
    [main, shadow, 'dkim-backup2.example.test'].map(async (domain) =>
      importKey(operator(), { ...wanted, domain, input: await pem() }),
    ),
  );
  expect(results.filter(({ kind }) => kind === 'done')).toHaveLength(1);
  for (const result of results)
    if (result.kind !== 'done') expect(result).toMatchObject({ kind: 'refused', why: 'selector-taken' });
});

test('what is meant without a selector: what a shadow holds ready, what a domain signs with', async () => {
  const key = await imported(shadow, 'dkim1');
  const snapshot = await snapshotOf(shadow);
  expect(keysToCopy(snapshot, null)).toEqual([]);
  const ready = { ...snapshot, keys: [{ ...key, state: 'standby' as const }] };
  expect(keysToCopy(ready, null).map(({ selector }) => selector)).toEqual(['dkim1']);
});

describe('adopting what was put at a signer by hand', () => {
  const signerThat = (found: readonly FoundKey[]): Signer => ({
    id: 'mta',
    kind: 'test',
    deliver: async ({ generation }) => ({ kind: 'acknowledged', generation }),
    forget: async () => {},
    selfTest: async () => ({ kind: 'signed' }),
    found: async () => found,
  });
  const drifted = () =>
    operate(operator(), main, (_domain, at) => [{ kind: 'drift-found', at, signerId: 'mta', message: 'another key.' }]);

  test('imports the key in use and leaves the signer alone until it signs', async () => {
    await drifted();
    const found = [
      { selector: 'byhand', privateKey: await pem(), inUse: true },
      { selector: 'idle', privateKey: null, inUse: false },
    ];
    expect(await adopt(operator(), main, signerThat(found))).toMatchObject({ kind: 'done', adopted: ['byhand'] });
    const { keys, signers } = await snapshotOf(main);
    expect(keys).toMatchObject([{ selector: 'byhand', imported: true, wanted: {} }]);
    expect(signers).toMatchObject([{ drift: { adopting: [keys[0]?.id] } }]);
  });

  test('says what to do where the private half is not given away, and changes nothing', async () => {
    await drifted();
    const before = await store.snapshot(main);
    const result = await adopt(operator(), main, signerThat([{ selector: 'x1', privateKey: null, inUse: true }]));
    expect(result).toMatchObject({ kind: 'not-adopted', message: expect.stringContaining('--selector x1') });
    expect(await store.snapshot(main)).toEqual(before);
  });

  test('without drift there is nothing to adopt', async () => {
    expect(await adopt(operator(), main, signerThat([]))).toMatchObject({ kind: 'not-adopted' });
  });
});

test('keys of somebody else are watched, replaced by their owner, and watched no longer', async () => {
  const key = { selector: 'k1', stream: 'crm', publicKey: 'AAAA', algorithm: 'rsa', bits: 2048 } as const;
  expect(await watchExternal(operator(), main, key)).toMatchObject({ what: 'watched' });
  expect(await watchExternal(operator(), main, key)).toMatchObject({ what: 'known' });
  expect(await watchExternal(operator(), main, { ...key, publicKey: 'BBBB' })).toMatchObject({ what: 'replaced' });
  const { keys, streams, signers } = await snapshotOf(main);
  expect(streams.find(({ name }) => name === 'crm')).toMatchObject({ external: true });
  expect(signers[0]?.streams).toEqual(['default']);
  expect(keys.map(({ publicKey, state }) => [publicKey, state])).toEqual([
    ['AAAA', 'removed'],
    ['BBBB', 'created'],
  ]);
  expect(await unwatchExternal(operator(), main, 'k1')).toMatchObject({ kind: 'done' });
  expect(await unwatchExternal(operator(), main, 'k1')).toMatchObject({ kind: 'refused', why: 'unknown-key' });
});

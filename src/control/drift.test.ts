import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { generateKeyPair } from '../dkim/key-pair.ts';
import { systemClock } from '../lifecycle/clock.ts';
import { plan } from '../lifecycle/plan.ts';
import type { SignerView } from '../lifecycle/types.ts';
import type { Keyring } from '../signers/keyring.ts';
import type { Inspection, Signer } from '../signers/signer.ts';
import { openMemoryStore } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { bindToAll } from './bindings.ts';
import { createDriftWatch } from './drift.ts';
import { importKey } from './import-key.ts';
import { silentLog } from './log.ts';
import { mark, operate } from './operations.ts';

const domain = 'example.test';
const never = new AbortController().signal;
let store: Store;
let answer: Inspection;
let asked: Keyring[];
let signer: Signer;

beforeEach(async () => {
  store = await openMemoryStore();
  answer = { kind: 'as-delivered' };
  asked = [];
  signer = {
    id: 'mailcow',
    kind: 'test',
    deliver: async ({ generation }) => ({ kind: 'acknowledged', generation }),
    forget: async () => {},
    selfTest: async () => ({ kind: 'signed' }),
    async inspect(keyring) {
      asked.push(keyring);
      return answer;
    },
  };
  const { privateKey } = await generateKeyPair({ algorithm: 'ed25519' });
  await importKey(operator(), {
    domain,
    selector: 's1',
    stream: 'default',
    input: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    policy: 'default',
    bindings: [bindToAll(signer.id)],
  });
});
afterEach(() => store.close());

const operator = () => ({ store, clock: systemClock, actor: { name: 'test', source: 'cli' } }) as const;

/** The key is active, and the signer has it. */
async function activate(): Promise<void> {
  await operate(operator(), domain, ({ snapshot }, at) => {
    const keyId = snapshot.keys[0]?.id ?? '';
    const proof = {
      at,
      expected: 'key',
      verdict: 'seen',
      serversAsked: 1,
      serversAgreeing: 1,
      ttl: 60,
      negativeTtl: 60,
    } as const;
    return [
      { kind: 'proved', keyId, proof },
      { kind: 'moved', at, keyId, to: 'published' },
      { kind: 'moved', at, keyId, to: 'standby' },
      { kind: 'active-changed', at, enter: [keyId], leave: [] },
      { kind: 'acknowledged', at, signerId: signer.id, generation: 1 },
      { kind: 'signature-seen', at, signerId: signer.id, keyId },
    ];
  });
}

async function look(restoring: readonly string[] = []): Promise<SignerView | undefined> {
  const watch = createDriftWatch({
    signers: new Map([[signer.id, signer]]),
    restoring: new Set(restoring),
    store,
    clock: systemClock,
    log: silentLog,
  });
  await watch(never);
  return (await store.snapshot(domain))?.snapshot.signers[0];
}

async function deliveries(): Promise<number> {
  const stored = await store.snapshot(domain);
  if (stored === null) throw new Error('the domain is gone');
  return plan(stored.snapshot, stored.policy, systemClock.now()).steps.filter(({ kind }) => kind === 'deliver').length;
}

describe('watching for drift', () => {
  test('asks nothing of a signer that has not been given its keyring yet', async () => {
    await look();
    expect(asked).toEqual([]);
  });

  test('gives the signer what it should have, and lets it be where all is well', async () => {
    await activate();
    const version = (await store.snapshot(domain))?.version;
    await look();
    expect(asked).toMatchObject([{ domain, generation: 1, streams: { default: [{ selector: 's1', entered: 1 }] } }]);
    expect((await store.snapshot(domain))?.version).toBe(version);
  });

  test('has what was lost handed over again, without asking anybody', async () => {
    await activate();
    answer = { kind: 'lost', message: 'Its Redis holds nothing of this domain.' };
    expect(await look()).toMatchObject({ acknowledgedGeneration: 0 });
    expect(await deliveries()).toBe(1);
    const { items } = await store.journal.list({ domain, order: 'newest' });
    expect(items.map(({ kind }) => kind)).toContain('signer-lost');
  });

  test('leaves alone what somebody changed, until a person decides, and says so once', async () => {
    await activate();
    answer = { kind: 'changed', message: 'It signs with the selector other.' };
    expect((await look())?.drift?.message).toBe(answer.message);
    await look();
    expect(await deliveries()).toBe(0);
    const { items } = await store.journal.list({ domain });
    expect(items.filter(({ kind }) => kind === 'signer-changed')).toHaveLength(1);
    await mark(operator(), domain, { kind: 'drift-restored', signerId: signer.id });
    expect(await deliveries()).toBe(1);
  });

  test('forgets the drift where it is undone by hand', async () => {
    await activate();
    answer = { kind: 'changed', message: 'It signs with the selector other.' };
    await look();
    answer = { kind: 'as-delivered' };
    const after = await look();
    expect(after).not.toHaveProperty('drift');
    expect(after?.acknowledgedGeneration).toBe(1);
    expect(await deliveries()).toBe(0);
  });

  test('puts it back at once where the settings say so', async () => {
    await activate();
    answer = { kind: 'changed', message: 'It signs with the selector other.' };
    expect(await look([signer.id])).toMatchObject({ acknowledgedGeneration: 0, restoring: true });
    expect(await deliveries()).toBe(1);
  });
});

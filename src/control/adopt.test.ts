import { expect, test } from 'vitest';
import { generateKeyPair } from '../dkim/key-pair.ts';
import { systemClock } from '../lifecycle/clock.ts';
import type { Signer } from '../signers/signer.ts';
import { openMemoryStore } from '../store/open.ts';
import { adopt } from './adopt.ts';
import { bindToAll } from './bindings.ts';
import { addDomain, operate } from './operations.ts';

const domain = 'ours.test';

/** A signer that somebody put a key at, under this selector. */
async function signerWith(selector: string): Promise<Signer> {
  const { privateKey } = await generateKeyPair({ algorithm: 'ed25519' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return {
    id: 'rspamd',
    kind: 'rspamd-redis',
    deliver: async ({ generation }) => ({ kind: 'acknowledged', generation }),
    forget: async () => undefined,
    selfTest: async () => ({ kind: 'signed' }),
    found: async () => [{ selector, privateKey: pem, inUse: true }],
  };
}

test.each([
  ['DKIM', 'done'],
  ['2026-11.mail', 'done'],
  ['s1\nevil.test theirs', 'not-adopted'],
  ['../s1', 'not-adopted'],
  ['s1..x', 'not-adopted'],
  ['', 'not-adopted'],
  ['s'.repeat(300), 'not-adopted'],
])('a key that was found under %j at a signer: %s', async (selector, kind) => {
  await using store = await openMemoryStore();
  const operator = { store, clock: systemClock, actor: { name: 'test', source: 'cli' } } as const;
  await addDomain(operator, { name: domain, kind: 'mail', policy: 'default', bindings: [bindToAll('rspamd')] });
  await operate(operator, domain, (_domain, at) => [
    { kind: 'drift-found', at, signerId: 'rspamd', message: 'Another key.' },
  ]);
  const result = await adopt(operator, domain, await signerWith(selector));
  expect(result.kind).toBe(kind);
  const keys = (await store.snapshot(domain))?.snapshot.keys.map((key) => key.selector);
  expect(keys).toEqual(kind === 'done' ? [selector] : []);
});

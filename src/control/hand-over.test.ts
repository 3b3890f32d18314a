import { expect, test } from 'vitest';
import { systemClock } from '../lifecycle/clock.ts';
import type { Signer } from '../signers/signer.ts';
import { openMemoryStore } from '../store/open.ts';
import { bindToAll } from './bindings.ts';
import { handOver } from './hand-over.ts';
import { addDomain } from './operations.ts';

const domain = 'ours.test';

test.each([
  ['of a store that was put back from a backup', 7, 'acknowledged'],
  ['that is a time', 1_795_563_600_000, 'not-acknowledged'],
  ['that no number can follow', Number.MAX_SAFE_INTEGER, 'not-acknowledged'],
])('a signer that answers with a generation %s', async (_, generation, kind) => {
  await using store = await openMemoryStore();
  const operator = { store, clock: systemClock, actor: { name: 'test', source: 'cli' } } as const;
  await addDomain(operator, { name: domain, kind: 'mail', policy: 'default', bindings: [bindToAll('hook')] });
  const signer: Signer = {
    id: 'hook',
    kind: 'webhook',
    deliver: async () => ({ kind: 'acknowledged', generation }),
    forget: async () => undefined,
    selfTest: async () => ({ kind: 'signed' }),
  };
  const stored = await store.snapshot(domain);
  if (stored === null) throw new Error('it was added');
  expect(await handOver(signer, stored.snapshot, { store, clock: systemClock })).toMatchObject({ kind });
});

import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../lifecycle/clock.ts';
import { newDomain, newKey } from '../../../lifecycle/new-domain.ts';
import { defaultPolicy } from '../../../lifecycle/policy.ts';
import type { Snapshot } from '../../../lifecycle/types.ts';
import { openMemoryStore } from '../../../store/open.ts';
import { bindToAll } from '../../bindings.ts';
import { syncPolicies } from '../../operations.ts';
import type { Report } from '../wire.ts';
import type { KnownAgent } from './authenticate.ts';
import { takeReports } from './reports.ts';

const domain = 'ours.test';
const born = 1000;

const mx1: KnownAgent = { name: 'mx1', binding: bindToAll('mx1'), restores: false, tokenHash: null, certificate: null };
const actor = { name: 'mx1', source: 'agent' } as const;

/** A domain of generation 3 with an active key, `s1`, that entered with it, and the signer mx1 that has generation 2. */
async function scene() {
  const store = await openMemoryStore();
  await syncPolicies({ store, clock: systemClock, actor }, {}, defaultPolicy);
  const empty = newDomain(domain, 'mail', born);
  const of = {
    id: 'k1',
    stream: 'default',
    selector: 's1',
    algorithm: 'ed25519',
    bits: 256,
    publicKey: 'AAAA',
  } as const;
  const key = newKey({ ...of, ownership: 'ours', imported: false }, born);
  const snapshot: Snapshot = {
    ...empty,
    domain: { ...empty.domain, generation: 3, firstActiveAt: born },
    keys: [{ ...key, state: 'active', activatedAt: born, enteredGeneration: 3 }],
    signers: [
      {
        id: 'mx1',
        streams: ['default'],
        acknowledgedGeneration: 2,
        acknowledgedAt: born,
        setAsideAt: null,
        retry: null,
      },
    ],
  };
  await store.addDomain({ snapshot, policy: { kind: 'named', name: 'default' }, events: [], nextLookAt: born });
  const report = (agent: KnownAgent, ...reports: Report[]) =>
    takeReports(agent, reports, { store, clock: systemClock, actor });
  const now = async () => {
    const stored = await store.snapshot(domain);
    if (stored === null) throw new Error('gone');
    return stored.snapshot;
  };
  return { store, report, now, [Symbol.asyncDispose]: () => store.close() };
}

describe('reports of an agent', () => {
  test('are folded in once, however often they come', async () => {
    await using its = await scene();
    const reports: Report[] = [
      { kind: 'acknowledged', domain, born, generation: 3 },
      { kind: 'signed', domain, selector: 's1', entered: 3 },
    ];
    expect(await its.report(mx1, ...reports)).toEqual({ taken: 2, refused: 0 });
    const first = await its.now();
    expect(first.signers[0]?.acknowledgedGeneration).toBe(3);
    expect(first.keys[0]?.signaturesSeen.mx1).toBeGreaterThan(born);
    expect(await its.report(mx1, ...reports)).toEqual({ taken: 2, refused: 0 });
    expect(await its.now()).toEqual(first);
    const { items } = await its.store.journal.list({ domain });
    expect(
      items.filter(({ kind, source, actor: by }) => kind === 'acknowledged' && source === 'agent' && by === 'mx1'),
    ).toHaveLength(1);
  });

  test('that are late change nothing: of a former life of the domain, of a key that had the selector before', async () => {
    await using its = await scene();
    const before = await its.now();
    await its.report(
      mx1,
      { kind: 'acknowledged', domain, born: born - 1, generation: 9 },
      { kind: 'signed', domain, selector: 's1', entered: 2 },
      { kind: 'signed', domain, selector: 's0', entered: 3 },
      { kind: 'acknowledged', domain, born, generation: 2_000_000_000 },
    );
    expect(await its.now()).toEqual(before);
  });

  test('one that is late takes none of the others with it', async () => {
    await using its = await scene();
    await its.report(
      mx1,
      { kind: 'drift-gone', domain },
      { kind: 'signed', domain, selector: 's1', entered: 1 },
      { kind: 'acknowledged', domain, born, generation: 3 },
    );
    expect((await its.now()).signers[0]?.acknowledgedGeneration).toBe(3);
  });

  test('of domains that are not its own are refused', async () => {
    await using its = await scene();
    const stranger = { ...mx1, name: 'mx2', binding: bindToAll('mx2') };
    expect(await its.report(stranger, { kind: 'acknowledged', domain, born, generation: 3 })).toEqual({
      taken: 0,
      refused: 1,
    });
    expect(await its.report(mx1, { kind: 'drift-gone', domain: 'unknown.test' })).toEqual({ taken: 0, refused: 1 });
  });

  test('of what somebody changed there wait for a person, or are put right where that was said', async () => {
    const drift: Report = { kind: 'drift-found', domain, message: 'dkim: another key stands there' };
    await using asking = await scene();
    await asking.report(mx1, drift);
    expect((await asking.now()).signers[0]?.drift).toMatchObject({ message: drift.message });
    await using restoring = await scene();
    await restoring.report({ ...mx1, restores: true }, drift);
    expect((await restoring.now()).signers[0]).toMatchObject({ restoring: true, acknowledgedGeneration: 0 });
  });

  test('of signatures on mail are dated by their age, whatever the clock there says', async () => {
    await using its = await scene();
    await its.report(mx1, { kind: 'signature-seen', domain, selector: 's1', age: 5000 });
    const seen = (await its.now()).keys[0]?.signaturesSeen.mx1 ?? 0;
    expect(Date.now() - seen).toBeGreaterThanOrEqual(5000);
    expect(Date.now() - seen).toBeLessThan(60_000);
  });
});

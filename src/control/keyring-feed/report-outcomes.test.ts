import { describe, expect, test } from 'vitest';
import { apply } from '../../lifecycle/apply.ts';
import { newDomain, newKey, newSigner } from '../../lifecycle/new-domain.ts';
import type { Snapshot } from '../../lifecycle/types.ts';
import type { FeedReport } from '../../store/keyring/feed.ts';
import { reportOutcomes } from './report-outcomes.ts';

const now = 1_800_000_000_000;
const born = 1_700_000_000_000;

/** One active key that entered with generation 3, and a signer that has acknowledged 2. */
function domainWith(): Snapshot {
  const begun = newDomain('example.com', 'mail', born);
  const key = newKey(
    {
      id: 'k1',
      stream: 'default',
      selector: 's1',
      algorithm: 'ed25519',
      bits: 256,
      publicKey: 'x',
      ownership: 'ours',
      imported: false,
    },
    born,
  );
  return {
    ...begun,
    domain: { ...begun.domain, generation: 3, firstActiveAt: born },
    keys: [{ ...key, state: 'active', activatedAt: born, enteredGeneration: 3 }],
    signers: [{ ...newSigner('mx1', ['default']), acknowledgedGeneration: 2, acknowledgedAt: born }],
  };
}

const report = (more: Partial<FeedReport> = {}): FeedReport => ({
  domain: 'example.com',
  born,
  acknowledged: 3,
  trouble: null,
  tests: {},
  seen: {},
  ...more,
});

describe('what a follower reports', () => {
  test('is folded once: the same report again says nothing', () => {
    const full = report({ tests: { s1: { kind: 'signed', at: now - 500, entered: 3 } }, seen: { s1: now - 700 } });
    let snapshot = domainWith();
    const outcomes = reportOutcomes(snapshot, 'mx1', full, now);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['acknowledged', 'signature-seen']);
    for (const outcome of outcomes) {
      const applied = apply(snapshot, outcome);
      expect(applied.refused).toBeUndefined();
      snapshot = applied.snapshot;
    }
    expect(reportOutcomes(snapshot, 'mx1', full, now + 5000)).toEqual([]);
  });

  test('of an earlier life, by an unknown signer, or of an earlier key of the selector says nothing', () => {
    expect(reportOutcomes(domainWith(), 'mx1', report({ born: 5 }), now)).toEqual([]);
    expect(reportOutcomes(domainWith(), 'mx9', report(), now)).toEqual([]);
    const old = report({ acknowledged: 2, tests: { s1: { kind: 'signed', at: now, entered: 1 } } });
    expect(reportOutcomes(domainWith(), 'mx1', old, now)).toEqual([]);
  });

  test('less than it had is believed: it lost it', () => {
    expect(reportOutcomes(domainWith(), 'mx1', report({ acknowledged: 0 }), now)).toEqual([
      { kind: 'acknowledged', at: now, signerId: 'mx1', generation: 0 },
    ]);
  });

  test('trouble and failed tests are told, each failure once', () => {
    const failed = { kind: 'failed', at: now - 10, entered: 3, message: 'no' } as const;
    const full = report({ acknowledged: 2, trouble: 'does not open', tests: { s1: failed } });
    const outcomes = reportOutcomes(domainWith(), 'mx1', full, now);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['not-acknowledged', 'self-test-failed']);
    const snapshot = outcomes.reduce((before, outcome) => apply(before, outcome).snapshot, domainWith());
    const again = reportOutcomes(snapshot, 'mx1', report({ acknowledged: 2, tests: { s1: failed } }), now);
    expect(again.map(({ kind }) => kind)).not.toContain('self-test-failed');
  });

  test('a name like one of every object is no selector of it', () => {
    const base = domainWith();
    const keys = base.keys.map((key) => ({ ...key, selector: 'constructor' }));
    expect(reportOutcomes({ ...base, keys }, 'mx1', report({ acknowledged: 2 }), now)).toEqual([]);
  });
});

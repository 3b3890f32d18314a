import { describe, expect, it } from 'vitest';
import { defaultPolicy } from './policy.ts';
import { check, checkContinuity, checkStep } from './rules.ts';
import { DAY, type Life, settledLife } from './testing.ts';
import type { KeyView, Outcome, SignerView, Snapshot } from './types.ts';

/** RSA only; one key signs, a second has entered and is settled, so that the first may leave. */
function twoActive(): { life: Life; old: KeyView; fresh: KeyView; leave: Outcome } {
  const life = settledLife({ keys: [{ algorithm: 'rsa', bits: 2048, count: 1 }] });
  const [old] = life.keys('active');
  life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
  life.answer = (step) => (step.kind === 'change-active' && step.leave.length > 0 ? [] : undefined);
  life.until(
    (s) => s.keys.filter((key) => key.signaturesSeen.mta !== undefined && key.state === 'active').length === 2,
    DAY,
  );
  const fresh = life.keys('active').find((key) => key.id !== old?.id);
  if (old === undefined || fresh === undefined) throw new Error('two active keys were expected');
  return { life, old, fresh, leave: { kind: 'active-changed', at: life.now, enter: [], leave: [old.id] } };
}

function withKey(snapshot: Snapshot, id: string, change: Partial<KeyView>): Snapshot {
  return { ...snapshot, keys: snapshot.keys.map((key) => (key.id === id ? { ...key, ...change } : key)) };
}

function withSigner(snapshot: Snapshot, change: Partial<SignerView>): Snapshot {
  return { ...snapshot, signers: snapshot.signers.map((signer) => ({ ...signer, ...change })) };
}

describe('rule 1', () => {
  const life = settledLife({ keys: [{ algorithm: 'rsa', bits: 2048, count: 1 }] });
  const [standby] = life.keys('standby');
  if (standby?.proof == null) throw new Error('a proved standby key was expected');
  const { proof, id } = standby;
  const enter: Outcome = { kind: 'active-changed', at: life.now, enter: [id], leave: [] };
  const at = proof.at + 1000;

  it('lets a freshly proved standby key in', () => {
    expect(check(life.snapshot, enter, life.policy, at)).toEqual([]);
  });

  it.for<[string, Partial<KeyView>, number]>([
    ['an old proof', {}, proof.at + defaultPolicy.proofFresh + 1],
    ['a proof from the future', {}, proof.at - 1],
    ['a server that does not show it', { proof: { ...proof, verdict: 'missing' } }, at],
    ['a server that does not answer', { proof: { ...proof, verdict: 'unreachable' } }, at],
    ['a proof of something else', { proof: { ...proof, expected: 'absent' } }, at],
    ['resolvers that may remember its absence', { waited: 299_999 }, at],
    ['resolvers that may remember another key of its slot', { earlierTtl: 3600, waited: 3_599_999 }, at],
    ['a gap in its proofs', { provedSince: null }, at],
    ['a compromise', { compromisedAt: 1 }, at],
    ['a rejection', { rejectedAt: 1 }, at],
    ['another state', { state: 'published' }, at],
    ['another owner', { ownership: 'external' }, at],
  ])('keeps a key out because of %s', ([, change, now]) => {
    const found = check(withKey(life.snapshot, id, change), enter, life.policy, now);
    expect(found).toMatchObject([{ rule: 1, keyId: id }]);
  });
});

describe('rule 2', () => {
  const { life, old, fresh, leave } = twoActive();
  const now = fresh.proof?.at ?? 0;

  it('lets a key go whose successor is settled', () => {
    expect(check(life.snapshot, leave, life.policy, now)).toEqual([]);
  });

  it.for<[string, Snapshot]>([
    ['has not been seen to sign', withKey(life.snapshot, fresh.id, { signaturesSeen: {} })],
    ['is compromised', withKey(life.snapshot, fresh.id, { compromisedAt: 1 })],
    ['has lost its record', withKey(life.snapshot, fresh.id, { proof: null })],
    ['is not loaded by a signer', withSigner(life.snapshot, { acknowledgedGeneration: 1 })],
    ['is of a kind that many cannot verify', withKey(life.snapshot, fresh.id, { algorithm: 'ed25519' })],
    ['has only a signer that was set aside', withSigner(life.snapshot, { setAsideAt: 1 })],
  ])('keeps the old key while its successor %s', ([, snapshot]) => {
    expect(check(snapshot, leave, life.policy, now)).toMatchObject([{ rule: 2, keyId: old.id }]);
  });

  it('and rule 5 keep the last keys of a stream', () => {
    const both: Outcome = { kind: 'active-changed', at: now, enter: [], leave: [old.id, fresh.id] };
    expect(check(life.snapshot, both, life.policy, now).map((found) => found.rule)).toEqual([2, 2, 5, 5]);
  });

  it('lets Ed25519 stand in where the policy has given up RSA', () => {
    const policy = { ...life.policy, keys: [{ algorithm: 'ed25519', bits: 256, count: 1 } as const] };
    const snapshot = withKey(life.snapshot, fresh.id, { algorithm: 'ed25519' });
    expect(check(snapshot, leave, policy, now)).toEqual([]);
  });
});

describe('rule 3', () => {
  const life = settledLife({ keys: [{ algorithm: 'rsa', bits: 2048, count: 1 }] });
  const [old] = life.keys('active');
  if (old === undefined) throw new Error('an active key was expected');
  life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
  life.live(14 * DAY + 3_600_000);
  const over = withKey(life.snapshot, old.id, { state: 'retiring', waited: 14 * DAY });
  const revoke: Outcome = { kind: 'moved', at: life.now, keyId: old.id, to: 'revoked' };

  it('lets a key be revoked after its overlap', () => {
    expect(check(over, revoke, life.policy, life.now)).toEqual([]);
  });

  it('keeps its record during the overlap, unless it is compromised', () => {
    const early = withKey(over, old.id, { waited: 14 * DAY - 1 });
    expect(check(early, revoke, life.policy, life.now)).toMatchObject([{ rule: 3 }]);
    expect(check(withKey(early, old.id, { compromisedAt: 1 }), revoke, life.policy, life.now)).toEqual([]);
  });

  it('keeps its record while a signer may use it, compromised or not', () => {
    const behind = withSigner(withKey(over, old.id, { compromisedAt: 1 }), { acknowledgedGeneration: 1 });
    expect(check(behind, revoke, life.policy, life.now)).toMatchObject([{ rule: 3 }]);
  });

  it('lets nobody empty or remove a record before the end is decided', () => {
    for (const record of ['revoked', 'absent'] as const) {
      const step = { kind: 'write-record', keyId: old.id, record, ttl: 300, why: 'too early' } as const;
      expect(checkStep(over, step, life.policy, life.now)).toMatchObject([{ rule: 3 }]);
      expect(checkStep(withKey(over, old.id, { state: 'revoked' }), step, life.policy, life.now)).toEqual([]);
    }
  });
});

describe('rule 4', () => {
  const { life, old } = twoActive();
  const { snapshot } = life;

  it('allows what happens, and a key that a rollback brings back', () => {
    expect(checkContinuity(snapshot, snapshot)).toEqual([]);
    expect(checkContinuity(withKey(snapshot, old.id, { state: 'retiring' }), snapshot)).toEqual([]);
  });

  it.for<[string, Snapshot]>([
    ['a generation that goes back', { ...snapshot, domain: { ...snapshot.domain, generation: 0 } }],
    ['a key that vanishes', { ...snapshot, keys: snapshot.keys.slice(1) }],
    ['a key that becomes young again', withKey(snapshot, old.id, { state: 'standby' })],
    ['a key with another public half', withKey(snapshot, old.id, { publicKey: 'another' })],
    ['a domain that forgets that it signs', { ...snapshot, domain: { ...snapshot.domain, firstActiveAt: null } }],
  ])('finds %s', ([, after]) => {
    expect(checkContinuity(snapshot, after)).toMatchObject([{ rule: 4 }]);
  });
});

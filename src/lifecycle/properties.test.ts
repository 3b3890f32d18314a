import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { apply } from './apply.ts';
import { findKey } from './facts.ts';
import { newDomain } from './new-domain.ts';
import { looked, plan } from './plan.ts';
import { defaultPolicy } from './policy.ts';
import { checkContinuity, checkStep } from './rules.ts';
import { START } from './testing.ts';
import type { Outcome, Snapshot } from './types.ts';

const keyId = fc.constantFrom('a', 'b', 'c', 'unknown');
const signerId = fc.constantFrom('s', 't', 'unknown');
const at = fc.integer({ min: START, max: START + 90 * 86_400_000 });
const stream = fc.constantFrom('default', 'news', 'unknown');
const record = fc.constantFrom('key', 'revoked', 'absent');
const fixed = <T extends string>(kind: T) => fc.constant(kind);

const proof = fc.record({
  at,
  expected: record,
  verdict: fc.constantFrom('seen', 'seen', 'missing', 'revoked', 'mismatched', 'several', 'unreachable', 'bogus'),
  serversAsked: fc.constant(2),
  serversAgreeing: fc.constantFrom(0, 1, 2),
  ttl: fc.constantFrom(null, 300),
  negativeTtl: fc.constantFrom(0, 60, 3600),
});

const key = fc
  .record({ id: fc.constantFrom('a', 'b', 'c'), stream, algorithm: fc.constantFrom('rsa', 'ed25519') })
  .map((k) => ({ ...k, selector: `sel-${k.id}`, bits: k.algorithm === 'rsa' ? 2048 : 256, publicKey: k.id }));

/** Anything that can be said, in any order, true or not. */
const outcome: fc.Arbitrary<Outcome> = fc.oneof(
  fc.record({ kind: fixed('key-created'), at, key }),
  fc.record({ kind: fixed('key-imported'), at, key: key.map((k) => ({ ...k, ownership: 'ours' as const })) }),
  fc.record({ kind: fixed('key-copied'), at, key, from: fc.constant('x.test/y'), kept: fc.boolean() }),
  fc.record({ kind: fixed('key-wanted'), at, keyId }),
  fc.record({ kind: fixed('key-kept'), at, keyId }),
  fc.record({ kind: fixed('key-released'), at, keyId }),
  fc.record({ kind: fixed('drift-found'), at, signerId, message: fc.constantFrom('one', 'another') }),
  fc.record({ kind: fixed('drift-gone'), at, signerId }),
  fc.record({ kind: fixed('drift-restored'), at, signerId }),
  fc.record({ kind: fixed('drift-adopted'), at, signerId, keyIds: fc.uniqueArray(keyId, { maxLength: 2 }) }),
  fc.record({ kind: fixed('record-written'), at, keyId, record, ttl: fc.constantFrom(60, 300) }),
  fc.record({
    kind: fixed('record-not-written'),
    at,
    keyId,
    reason: fc.constantFrom('waiting', 'conflict', 'refused', 'failed'),
    message: fc.constant('no'),
  }),
  fc.record({ kind: fixed('proved'), keyId, proof }),
  fc.record({
    kind: fixed('moved'),
    at,
    keyId,
    to: fc.constantFrom('created', 'published', 'standby', 'active', 'retiring', 'revoked', 'removed'),
  }),
  fc.record({
    kind: fixed('active-changed'),
    at,
    enter: fc.uniqueArray(keyId, { maxLength: 2 }),
    leave: fc.uniqueArray(keyId, { maxLength: 2 }),
  }),
  fc.record({ kind: fixed('acknowledged'), at, signerId, generation: fc.nat(6) }),
  fc.record({ kind: fixed('not-acknowledged'), at, signerId, message: fc.constant('no') }),
  fc.record({ kind: fixed('signature-seen'), at, signerId, keyId }),
  fc.record({ kind: fixed('self-test-failed'), at, signerId, keyId, message: fc.constant('no') }),
  fc.record({ kind: fixed('private-key-destroyed'), at, keyId }),
  fc.record({ kind: fixed('stream-added'), at, stream, policy: fc.constant(null) }),
  fc.record({ kind: fixed('rotation-requested'), at, stream }),
  fc.record({ kind: fixed('rotation-approved'), at, stream }),
  fc.record({ kind: fixed('paused'), at, stream: fc.option(stream) }),
  fc.record({ kind: fixed('resumed'), at, stream: fc.option(stream) }),
  fc.record({ kind: fixed('rolled-back'), at, stream }),
  fc.record({ kind: fixed('compromised'), at, keyId }),
  fc.record({
    kind: fixed('signer-added'),
    at,
    signerId: fc.constantFrom('s', 't'),
    streams: fc.constant(['default']),
  }),
  fc.record({
    kind: fixed('signer-added'),
    at,
    signerId: fc.constantFrom('s', 't'),
    streams: fc.constant(['default']),
    abilities: fc.record({ algorithms: fc.constant(['rsa'] as const), atMost: fc.constantFrom(null, 1, 2) }),
  }),
  fc.record({ kind: fixed('signer-set-aside'), at, signerId }),
  fc.record({ kind: fixed('signer-brought-back'), at, signerId }),
  fc.record({ kind: fixed('signer-removed'), at, signerId }),
);

const start: Snapshot = newDomain('example.test', 'mail', START);

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) freeze(inner);
  }
  return value;
}

it('whatever is said, in whatever order: nothing throws, nothing goes back, nothing is changed in place', () => {
  fc.assert(
    fc.property(fc.array(outcome, { maxLength: 60 }), at, (outcomes, now) => {
      let snapshot = freeze(start);
      for (const one of outcomes) {
        const { snapshot: after, refused } = apply(snapshot, one);
        if (refused !== undefined) expect(after).toBe(snapshot);
        expect(checkContinuity(snapshot, after)).toEqual([]);
        const untouched = after.keys.filter((k) => snapshot.keys.some((before) => before.id === k.id && before === k));
        if ('stream' in one && one.kind !== 'rolled-back' && one.kind !== 'rotation-requested')
          expect(untouched).toHaveLength(snapshot.keys.length);
        snapshot = freeze(after);
      }
      const planned = plan(snapshot, defaultPolicy, now);
      expect(planned.nextLookAt).toBeGreaterThanOrEqual(now);
      expect(planned.nextLookAt - now).toBeLessThanOrEqual(86_400_000);
      const seen = apply(snapshot, looked(planned, now)).snapshot;
      for (const step of planned.steps) expect(checkStep(seen, step, defaultPolicy, now)).toEqual([]);
    }),
    { numRuns: 1500 },
  );
});

it('an outcome that comes twice decides nothing twice', () => {
  fc.assert(
    fc.property(fc.array(outcome, { maxLength: 40 }), (outcomes) => {
      let once = start;
      let twice = start;
      for (const one of outcomes) {
        if (one.kind === 'record-not-written' || one.kind === 'not-acknowledged' || one.kind === 'self-test-failed')
          continue;
        once = apply(once, one).snapshot;
        twice = apply(apply(twice, one).snapshot, one).snapshot;
      }
      expect(twice).toEqual(once);
    }),
    { numRuns: 1500 },
  );
});

it('a signer that was changed by hand is left alone, and nothing is given up on its word', () => {
  let drifts = 0;
  fc.assert(
    fc.property(fc.array(outcome, { minLength: 20, maxLength: 60 }), at, (outcomes, now) => {
      const snapshot = outcomes.reduce((before, one) => apply(before, one).snapshot, start);
      const drifted = snapshot.signers.filter(({ drift, setAsideAt }) => drift !== undefined && setAsideAt === null);
      drifts += drifted.length;
      for (const step of plan(snapshot, defaultPolicy, now).steps) {
        if (step.kind === 'deliver') expect(drifted.map(({ id }) => id)).not.toContain(step.signerId);
        if (drifted.length === 0 || snapshot.domain.removingAt !== null) continue;
        if (step.kind === 'change-active')
          for (const id of step.leave)
            expect(drifted.some(({ streams }) => streams.includes(findKey(snapshot, id)?.stream ?? ''))).toBe(false);
        if (step.kind === 'move' && step.to === 'revoked')
          expect(findKey(snapshot, step.keyId)?.enteredGeneration ?? null).toBeNull();
      }
    }),
    { numRuns: 1500 },
  );
  expect(drifts).toBeGreaterThan(0);
});

/** Any snapshot that the types allow, and any way in which one may change. */
import fc from 'fast-check';
import type { Policy } from '../../src/lifecycle/policy.ts';
import type {
  Condition,
  DomainView,
  KeyView,
  ProofSummary,
  SignerView,
  Snapshot,
  StreamView,
} from '../../src/lifecycle/types.ts';

const time = fc.integer({ min: 0, max: 4e12 });
const maybeTime = fc.option(time);
const id = fc.string({ unit: fc.constantFrom(...'abcdefghijklmnop0123456789-_'), minLength: 1, maxLength: 12 });
const text = fc.string({ unit: 'binary', maxLength: 40 }).filter((s) => s.isWellFormed());
const retry = fc.option(fc.record({ at: time, failures: fc.nat(1000) }));
const recordKind = fc.constantFrom('key' as const, 'revoked' as const, 'absent' as const);

export const keyStates = ['created', 'published', 'standby', 'active', 'retiring', 'revoked', 'removed'] as const;
const severities = ['info', 'warning', 'critical'] as const;

const policy: fc.Arbitrary<Policy> = fc.record({
  keys: fc.array(
    fc.record({
      algorithm: fc.constantFrom('rsa' as const, 'ed25519' as const),
      bits: fc.constantFrom(256, 2048, 3072, 4096),
      count: fc.integer({ min: 1, max: 3 }),
    }),
    { maxLength: 3 },
  ),
  selectorTemplate: text,
  rotateEvery: time,
  jitter: fc.double({ min: 0, max: 0.5, noNaN: true }).map((n) => n + 0),
  lead: time,
  standby: fc.nat(3),
  overlap: time,
  tombstone: time,
  ttl: fc.nat(86_400),
  ttlAhead: fc.nat(86_400),
  freeze: fc.array(fc.record({ kind: fc.constant('dates' as const), from: time, to: time, why: text }), {
    maxLength: 2,
  }),
  approval: fc.constantFrom('none' as const, 'required' as const),
  proofFresh: time,
  watchEvery: time,
});

const proof: fc.Arbitrary<ProofSummary> = fc.record({
  at: time,
  expected: recordKind,
  verdict: fc.constantFrom('seen' as const, 'missing' as const, 'several' as const, 'bogus' as const),
  serversAsked: fc.nat(20),
  serversAgreeing: fc.nat(20),
  ttl: fc.option(fc.nat(86_400)),
  negativeTtl: fc.nat(86_400),
});

function domainView(name: string): fc.Arbitrary<DomainView> {
  return fc.record({
    name: fc.constant(name),
    kind: fc.constantFrom('mail' as const, 'shadow' as const),
    createdAt: time,
    generation: fc.nat(1e9),
    firstActiveAt: maybeTime,
    pausedAt: maybeTime,
    removingAt: maybeTime,
    lastLookAt: maybeTime,
  });
}

const streamView: fc.Arbitrary<StreamView> = fc.record({
  name: id,
  policy: fc.option(policy),
  pausedAt: maybeTime,
  rotateRequestedAt: maybeTime,
  rotateRequestedGeneration: fc.option(fc.nat()),
  approvedAt: maybeTime,
  approvedGeneration: fc.option(fc.nat()),
  heldSince: maybeTime,
});

function keyView(prefix: string): fc.Arbitrary<KeyView> {
  return fc.record({
    id: id.map((part) => `${prefix}.${part}`),
    stream: id,
    selector: id,
    algorithm: fc.constantFrom('rsa' as const, 'ed25519' as const),
    bits: fc.constantFrom(256, 1024, 2048),
    publicKey: fc.base64String({ maxLength: 60 }),
    state: fc.constantFrom(...keyStates),
    ownership: fc.constantFrom('ours' as const, 'external' as const),
    imported: fc.boolean(),
    createdAt: time,
    publishedAt: maybeTime,
    activatedAt: maybeTime,
    retiredAt: maybeTime,
    revokedAt: maybeTime,
    removedAt: maybeTime,
    written: fc.option(fc.record({ kind: recordKind, ttl: fc.nat(86_400), at: time })),
    proof: fc.option(proof),
    provedSince: maybeTime,
    waited: fc.double({ min: 0, max: 1e12, noNaN: true }).map((n) => n + 0),
    enteredGeneration: fc.option(fc.nat()),
    leftGeneration: fc.option(fc.nat()),
    signaturesSeen: fc.dictionary(id, time, { maxKeys: 3, noNullPrototype: true }),
    compromisedAt: maybeTime,
    rejectedAt: maybeTime,
    privateKeyDestroyedAt: maybeTime,
    retry,
  });
}

const signerView: fc.Arbitrary<SignerView> = fc.record({
  id,
  streams: fc.array(id, { maxLength: 3 }),
  acknowledgedGeneration: fc.nat(),
  acknowledgedAt: maybeTime,
  setAsideAt: maybeTime,
  retry,
});

const condition: fc.Arbitrary<Condition> = fc.record({
  subject: fc.oneof(
    fc.constant({ kind: 'domain' as const }),
    fc.record({ kind: fc.constantFrom('stream' as const, 'key' as const, 'signer' as const), id }),
  ),
  reason: fc.constantFrom('record-missing', 'signer-behind', 'set-aside', 'waiting-for-approval'),
  severity: fc.constantFrom(...severities),
  message: text,
  since: time,
});

/** Key ids are unique over all domains; they carry the domain's name here. */
export function anySnapshot(name: string): fc.Arbitrary<Snapshot> {
  return (
    fc
      .record({
        domain: domainView(name),
        streams: fc.uniqueArray(streamView, { selector: (s) => s.name, maxLength: 3 }),
        keys: fc.uniqueArray(keyView(name), { selector: (k) => k.id, maxLength: 5 }),
        signers: fc.uniqueArray(signerView, { selector: (s) => s.id, maxLength: 3 }),
        conditions: fc.array(condition, { maxLength: 4 }),
      })
      // Some of fast-check's objects have no prototype; the lifecycle's always have one.
      .map((snapshot) => structuredClone(snapshot))
  );
}

/** Takes some entities from `next` and leaves others as they are, the same objects, as a reducer does. */
export function anySuccessor(before: Snapshot): fc.Arbitrary<Snapshot> {
  const { name } = before.domain;
  return fc
    .record({
      next: anySnapshot(name),
      domain: fc.boolean(),
      streams: fc.constantFrom('keep', 'mix', 'replace'),
      keys: fc.constantFrom('keep', 'mix', 'replace'),
      signers: fc.constantFrom('keep', 'mix', 'replace'),
      conditions: fc.constantFrom('keep', 'mix', 'replace'),
    })
    .map(({ next, domain, streams, keys, signers, conditions }) => ({
      domain: domain ? next.domain : before.domain,
      streams: mixed(streams, before.streams, next.streams, (s) => s.name),
      keys: mixed(keys, before.keys, next.keys, (k) => k.id),
      signers: mixed(signers, before.signers, next.signers, (s) => s.id),
      conditions: mixed(conditions, before.conditions, next.conditions, (_, index) => String(index)),
    }));
}

function mixed<T>(
  how: string,
  before: readonly T[],
  next: readonly T[],
  idOf: (entity: T, index: number) => string,
): readonly T[] {
  if (how === 'keep') return before;
  if (how === 'replace') return next;
  // Every second one stays, the others are replaced under the same identity or added.
  const kept = before.filter((_, index) => index % 2 === 0);
  const ids = new Set(kept.map(idOf));
  return [...kept, ...next.filter((entity, index) => !ids.has(idOf(entity, index + kept.length)))];
}

/** A domain as small as the rules of the store allow. */
export function plainSnapshot(name: string, changes: Partial<Snapshot> = {}): Snapshot {
  return {
    domain: {
      name,
      kind: 'mail',
      createdAt: 1_000,
      generation: 0,
      firstActiveAt: null,
      pausedAt: null,
      removingAt: null,
      lastLookAt: null,
    },
    streams: [
      {
        name: 'default',
        policy: null,
        pausedAt: null,
        rotateRequestedAt: null,
        rotateRequestedGeneration: null,
        approvedAt: null,
        approvedGeneration: null,
        heldSince: null,
      },
    ],
    keys: [],
    signers: [],
    conditions: [],
    ...changes,
  };
}

export function plainKey(keyId: string, changes: Partial<KeyView> = {}): KeyView {
  return {
    id: keyId,
    stream: 'default',
    selector: `s-${keyId}`,
    algorithm: 'ed25519',
    bits: 256,
    publicKey: '',
    state: 'created',
    ownership: 'ours',
    imported: false,
    createdAt: 1_000,
    publishedAt: null,
    activatedAt: null,
    retiredAt: null,
    revokedAt: null,
    removedAt: null,
    written: null,
    proof: null,
    provedSince: null,
    waited: 0,
    enteredGeneration: null,
    leftGeneration: null,
    signaturesSeen: {},
    compromisedAt: null,
    rejectedAt: null,
    privateKeyDestroyedAt: null,
    retry: null,
    ...changes,
  };
}

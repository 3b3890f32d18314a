/** How domains, streams, keys and signers begin. */
import type { Policy } from './policy.ts';
import type { DomainView, KeyView, SignerAbilities, SignerView, Snapshot, StreamView } from './types.ts';

/** A domain as it is added: one stream, `default`, and neither keys nor signers yet. `now` in epoch milliseconds. */
export function newDomain(name: string, kind: DomainView['kind'], now: number, shadowOf?: string): Snapshot {
  return {
    domain: {
      name,
      kind,
      ...(shadowOf === undefined ? {} : { shadowOf }),
      createdAt: now,
      generation: 0,
      firstActiveAt: null,
      pausedAt: null,
      removingAt: null,
      lastLookAt: null,
    },
    streams: [newStream('default', null)],
    keys: [],
    signers: [],
    conditions: [],
  };
}

export function newStream(name: string, policy: Policy | null, external?: true): StreamView {
  return {
    name,
    policy,
    pausedAt: null,
    rotateRequestedAt: null,
    rotateRequestedGeneration: null,
    approvedAt: null,
    approvedGeneration: null,
    heldSince: null,
    ...(external === undefined ? {} : { external }),
  };
}

/** A key that was just made or imported: nothing about it has been written or proved. */
export function newKey(
  made: Pick<
    KeyView,
    | 'id'
    | 'stream'
    | 'selector'
    | 'algorithm'
    | 'bits'
    | 'publicKey'
    | 'ownership'
    | 'imported'
    | 'slot'
    | 'earlierTtl'
    | 'kept'
    | 'copiedFrom'
    | 'handedTo'
  >,
  now: number,
): KeyView {
  return {
    ...made,
    state: 'created',
    createdAt: now,
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
  };
}

/** A signer that has loaded nothing of this domain yet. */
export function newSigner(id: string, streams: readonly string[], abilities?: SignerAbilities): SignerView {
  return {
    id,
    streams,
    acknowledgedGeneration: 0,
    acknowledgedAt: null,
    setAsideAt: null,
    retry: null,
    ...(abilities === undefined ? {} : { abilities }),
  };
}

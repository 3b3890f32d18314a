/** A look: waits are credited, and what a jumping clock made nonsense of is put right. */

import type { Condition, KeyView, Outcome, SignerView, Snapshot } from '../types.ts';
import { clamp } from '../waits.ts';

type Looked = Extract<Outcome, { kind: 'looked' }>;

export function applyLook(snapshot: Snapshot, looked: Looked): Snapshot {
  const last = snapshot.domain.lastLookAt;
  const wentBack = last !== null && looked.at < last;
  return {
    ...snapshot,
    domain: { ...snapshot.domain, lastLookAt: looked.at },
    keys: mapKeeping(snapshot.keys, (key) => lookAtKey(key, looked, last, wentBack)),
    signers: mapKeeping(snapshot.signers, (signer) => notInFuture(signer, looked.at)),
    conditions: sameConditions(snapshot.conditions, looked.conditions) ? snapshot.conditions : looked.conditions,
  };
}

function lookAtKey(key: KeyView, looked: Looked, last: number | null, wentBack: boolean): KeyView {
  if (key.state === 'removed') return key;
  let next = key;
  // A proof of unknown age is no proof: it is taken anew. That the record has been seen without a gap stays true.
  if (key.proof !== null && (wentBack || key.proof.at > looked.at)) next = { ...next, proof: null };
  if (key.provedSince !== null && key.provedSince > looked.at) next = { ...next, provedSince: looked.at };
  if (key.activatedAt !== null && key.activatedAt > looked.at) next = { ...next, activatedAt: looked.at };
  if (key.wanted !== undefined && key.wanted.at > looked.at) next = { ...next, wanted: { at: looked.at } };
  if (key.releasedAt !== undefined && key.releasedAt > looked.at) next = { ...next, releasedAt: looked.at };
  if (key.retiredAt !== null && key.retiredAt > looked.at) next = { ...next, retiredAt: looked.at };
  if (key.revokedAt !== null && key.revokedAt > looked.at) next = { ...next, revokedAt: looked.at };
  const cap = looked.waits[key.id];
  if (cap !== undefined && last !== null) {
    const credit = clamp(looked.at - last, 0, cap);
    if (credit > 0) next = { ...next, waited: key.waited + credit };
  }
  return next;
}

function notInFuture(signer: SignerView, at: number): SignerView {
  return signer.acknowledgedAt !== null && signer.acknowledgedAt > at ? { ...signer, acknowledgedAt: at } : signer;
}

function mapKeeping<T>(items: readonly T[], change: (item: T) => T): readonly T[] {
  let changed = false;
  const next = items.map((item) => {
    const made = change(item);
    if (made !== item) changed = true;
    return made;
  });
  return changed ? next : items;
}

function sameConditions(a: readonly Condition[], b: readonly Condition[]): boolean {
  return a.length === b.length && a.every((condition, i) => condition === b[i]);
}

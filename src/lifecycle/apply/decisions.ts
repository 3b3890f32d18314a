/**
 * Decisions: moves and changes of the active set. What can be checked without a policy is checked again here, so that a
 * decision made from an old snapshot is refused; the rules that need a policy and the time are in rules.ts.
 */
import type { Applied } from '../apply.ts';
import { findKey, isAbsentEverywhere, isSeen, isSpoiled, mayEnter } from '../facts.ts';
import type { Guards } from '../rules.ts';
import { hasBeenActive, mayMove } from '../transitions.ts';
import type { KeyView, Outcome, Snapshot } from '../types.ts';
import { changeKey, dropFromKey } from './change.ts';
import { undrifted } from './reports.ts';

type Moved = Extract<Outcome, { kind: 'moved' }>;
type ActiveChanged = Extract<Outcome, { kind: 'active-changed' }>;

export function applyDecision(snapshot: Snapshot, outcome: Moved | ActiveChanged, guards: Guards): Applied {
  return outcome.kind === 'moved' ? move(snapshot, outcome, guards) : changeActive(snapshot, outcome, guards);
}

function move(snapshot: Snapshot, { keyId, to, at }: Moved, guards: Guards): Applied {
  const key = findKey(snapshot, keyId);
  if (key === undefined) return { snapshot, refused: 'unknown-key' };
  if (!mayMove(key.state, to)) return { snapshot, refused: key.state === to ? 'already-so' : 'wrong-state' };
  if (key.ownership === 'external' && to !== 'published') return { snapshot, refused: 'not-ours' };
  switch (to) {
    case 'published':
      return { snapshot: changeKey(snapshot, keyId, { state: to, publishedAt: key.publishedAt ?? at }) };
    case 'standby':
      return { snapshot: changeKey(snapshot, keyId, { state: to }) };
    case 'revoked':
      if (guards.absence && !isAbsentEverywhere(snapshot, key)) return { snapshot, refused: 'wrong-state' };
      return {
        snapshot: changeKey(snapshot, keyId, {
          state: to,
          revokedAt: at,
          proof: null,
          provedSince: null,
          waited: 0,
          retry: null,
        }),
      };
    case 'removed':
      // A record that was handed over is not this key's any more: there is nothing of it to wait for.
      if (key.handedTo === undefined && !isSeen(key, 'absent')) return { snapshot, refused: 'wrong-state' };
      return { snapshot: changeKey(snapshot, keyId, { state: to, removedAt: at, waited: 0, retry: null }) };
    default:
      return { snapshot, refused: 'wrong-state' };
  }
}

function changeActive(snapshot: Snapshot, { enter, leave, at }: ActiveChanged, guards: Guards): Applied {
  const entering = enter.map((id) => findKey(snapshot, id));
  const leaving = leave.map((id) => findKey(snapshot, id));
  for (const key of entering) {
    if (key === undefined) return { snapshot, refused: 'unknown-key' };
    if (key.ownership === 'external') return { snapshot, refused: 'not-ours' };
    if (!mayEnter(snapshot, key) || isSpoiled(key) || !isSeen(key)) return { snapshot, refused: 'wrong-state' };
    if (snapshot.domain.removingAt !== null) return { snapshot, refused: 'removing' };
  }
  for (const key of leaving) {
    if (key === undefined) return { snapshot, refused: 'unknown-key' };
    if (key.state !== 'active') return { snapshot, refused: 'wrong-state' };
    if (guards.successor && snapshot.domain.removingAt === null && !staysSomebody(snapshot, key, leave))
      return { snapshot, refused: 'no-successor' };
  }
  if (enter.length + leave.length === 0) return { snapshot, refused: 'already-so' };
  const generation = snapshot.domain.generation + 1;
  return {
    snapshot: withAdopted({
      ...snapshot,
      domain: { ...snapshot.domain, generation, firstActiveAt: snapshot.domain.firstActiveAt ?? at },
      keys: snapshot.keys.map((key) => {
        if (enter.includes(key.id)) return entered(key, generation, at);
        if (leave.includes(key.id)) return left(key, generation, at);
        return key;
      }),
    }),
  };
}

/** Signers whose found keys sign by now are given the keyring that holds them, in place of what stands there. */
export function withAdopted(snapshot: Snapshot): Snapshot {
  const isActive = (id: string): boolean => findKey(snapshot, id)?.state === 'active';
  let next = snapshot;
  for (const signer of snapshot.signers)
    if (signer.drift?.adopting?.every(isActive) === true)
      next = undrifted(next, signer, { acknowledgedGeneration: 0, retry: null, restoring: true });
  return next;
}

/** `activatedAt` is kept by a key that comes back, for its age counts from its first use, unless it was asked for: then it counts anew. */
function entered(key: KeyView, generation: number, at: number): KeyView {
  return {
    ...(key.kept === false ? dropFromKey(key, 'kept', 'releasedAt') : key),
    state: 'active',
    activatedAt: key.wanted === undefined || key.state === 'active' ? (key.activatedAt ?? at) : at,
    retiredAt: null,
    enteredGeneration: generation,
    leftGeneration: null,
    signaturesSeen: {},
    waited: 0,
  };
}

function left(key: KeyView, generation: number, at: number): KeyView {
  return { ...dropFromKey(key, 'wanted'), state: 'retiring', retiredAt: at, leftGeneration: generation, waited: 0 };
}

/** Another active key of the stream, fit for use and known to be in use, stays. */
function staysSomebody(snapshot: Snapshot, key: KeyView, leave: readonly string[]): boolean {
  return snapshot.keys.some(
    (other) =>
      other.stream === key.stream &&
      other.state === 'active' &&
      !leave.includes(other.id) &&
      !isSpoiled(other) &&
      hasBeenActive(other),
  );
}

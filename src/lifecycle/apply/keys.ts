/** What people ask of a single key: to sign, to be kept or let go, to be given up, to be another domain's. */
import type { Applied } from '../apply.ts';
import { findKey, findStream, isPipeline, isReleased, isSpoiled } from '../facts.ts';
import { mayComeBack } from '../rules.ts';
import type { KeyView, OperatorOutcome, Snapshot } from '../types.ts';
import { changeKey, changeStream, dropFromKey } from './change.ts';

type OfKey = Extract<OperatorOutcome, { keyId: string }>;

/** The most places of a pair that a key remembers by name. */
const REMEMBERED = 20;

export function applyToKey(snapshot: Snapshot, outcome: OfKey): Applied {
  const key = findKey(snapshot, outcome.keyId);
  if (key === undefined) return { snapshot, refused: 'unknown-key' };
  if (outcome.kind === 'key-unwatched') return unwatch(snapshot, key, outcome.at);
  if (key.ownership === 'external') return { snapshot, refused: 'not-ours' };
  switch (outcome.kind) {
    case 'compromised':
      if (key.compromisedAt !== null) return { snapshot, refused: 'already-so' };
      if (key.state === 'removed') return { snapshot, refused: 'wrong-state' };
      return { snapshot: replace(snapshot, { ...dropFromKey(key, 'wanted'), compromisedAt: outcome.at }) };
    case 'key-wanted':
      return want(snapshot, key, outcome.at);
    case 'key-kept':
      return keep(snapshot, key);
    case 'key-released':
      return release(snapshot, key, outcome.at);
    case 'key-handed':
      return hand(snapshot, key, outcome.to);
    case 'copies-made':
      return remember(snapshot, key, outcome.to);
  }
}

function replace(snapshot: Snapshot, key: KeyView): Snapshot {
  return { ...snapshot, keys: snapshot.keys.map((each) => (each.id === key.id ? key : each)) };
}

function isOver(key: KeyView): boolean {
  return key.state === 'revoked' || key.state === 'removed';
}

/** The stream shall sign with this key; what was asked for before, or is held by a rollback, no longer is. */
function want(snapshot: Snapshot, key: KeyView, at: number): Applied {
  const { domain } = snapshot;
  if (domain.kind === 'shadow' || findStream(snapshot, key.stream)?.external === true)
    return { snapshot, refused: 'signs-nothing' };
  if (domain.removingAt !== null) return { snapshot, refused: 'removing' };
  if (isOver(key) || isSpoiled(key) || isReleased(key)) return { snapshot, refused: 'wrong-state' };
  if (key.state === 'retiring' && key.kept !== true && !mayComeBack(key)) return { snapshot, refused: 'wrong-state' };
  if (key.wanted !== undefined) return { snapshot, refused: 'already-so' };
  const keys = snapshot.keys.map((other) => {
    if (other.id === key.id) return { ...other, wanted: { at } };
    return other.stream === key.stream && other.algorithm === key.algorithm ? dropFromKey(other, 'wanted') : other;
  });
  const calm = { rotateRequestedAt: null, rotateRequestedGeneration: null, heldSince: null };
  return { snapshot: changeStream({ ...snapshot, keys }, key.stream, calm) };
}

/** What a key that retires has waited was for mail on its way; a kept one waits for resolvers, should its record ever have been away. */
function keep(snapshot: Snapshot, key: KeyView): Applied {
  if (key.kept === true) return { snapshot, refused: 'already-so' };
  if (snapshot.domain.removingAt !== null) return { snapshot, refused: 'removing' };
  if (isOver(key) || isSpoiled(key)) return { snapshot, refused: 'wrong-state' };
  const waited = key.state === 'retiring' ? 0 : key.waited;
  return { snapshot: replace(snapshot, { ...dropFromKey(key, 'releasedAt'), kept: true, waited }) };
}

/** The overlap of a key that retires begins now; one that never entered goes. */
function release(snapshot: Snapshot, key: KeyView, at: number): Applied {
  if (key.kept !== true) return { snapshot, refused: 'already-so' };
  if (key.state === 'active') return { snapshot: replace(snapshot, dropFromKey(key, 'kept')) };
  return { snapshot: replace(snapshot, { ...dropFromKey(key, 'wanted'), kept: false, releasedAt: at, waited: 0 }) };
}

function hand(snapshot: Snapshot, key: KeyView, to: string): Applied {
  if (snapshot.domain.shadowOf !== to) return { snapshot, refused: 'not-its-shadow' };
  if (key.handedTo === to) return { snapshot, refused: 'already-so' };
  if (!isPipeline(key) || isSpoiled(key) || isReleased(key)) return { snapshot, refused: 'wrong-state' };
  return { snapshot: changeKey(snapshot, key.id, { handedTo: to, kept: true }) };
}

function remember(snapshot: Snapshot, key: KeyView, to: readonly string[]): Applied {
  const { count, some } = key.copies ?? { count: 0, some: [] };
  const added = to.filter((place) => !some.includes(place));
  if (added.length === 0) return { snapshot, refused: 'already-so' };
  const copies = { count: count + added.length, some: [...some, ...added].slice(0, REMEMBERED) };
  return { snapshot: changeKey(snapshot, key.id, { copies }) };
}

function unwatch(snapshot: Snapshot, key: KeyView, at: number): Applied {
  if (key.ownership !== 'external') return { snapshot, refused: 'wrong-state' };
  if (key.state === 'removed') return { snapshot, refused: 'already-so' };
  return { snapshot: changeKey(snapshot, key.id, { state: 'removed', removedAt: at }) };
}

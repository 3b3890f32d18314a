/** Which keys enter the active set: first keys, successors, and old keys that a rollback brings back. */
import { isSeen, isSpoiled, isStock, signersOf, signersOfKey } from '../facts.ts';
import { faultOfEntering, isPastNegativeCaches } from '../rules.ts';
import { mayEnterFrom } from '../transitions.ts';
import type { KeyView } from '../types.ts';
import { passedOver } from './abilities.ts';
import { type Look, standingSince } from './look.ts';
import { isUnfinished, type Judged, matches, type Need, returning } from './stream.ts';

export function planActivation(look: Look, judged: Judged): void {
  enterImported(look, judged);
  enterWanted(look, judged);
  bringBack(look, judged);
  bringForward(look, judged);
  const open = judged.needs.filter((need) => isPermitted(look, judged, need));
  if (open.length === 0) return;
  const choices = open.map((need) => choose(look, judged, need));
  const complete = choices.every(({ need, ready, stale }) => ready.length + stale.length >= need.missing);
  const together = choices.every(({ need, ready }) => ready.length >= need.missing);
  const patient = !hasWaitedForOthers(look, judged);
  for (const { need, ready, stale } of choices) {
    const waits = need.cause === 'planned' && patient;
    // Only a fresh proof is lacking; but while other kinds are far from ready, it would be stale again by then.
    if (complete || !waits) for (const key of stale) look.wantProof.add(key.id);
    if (waits && !together) continue;
    for (const key of ready) {
      if (look.enter.includes(key.id)) continue;
      look.enter.push(key.id);
      look.changeReasons.push(WHY[need.cause]);
    }
  }
}

const WHY: Readonly<Record<Need['cause'], string>> = {
  emergency: 'a key was compromised',
  failover: "an active key's record is not as it should be",
  planned: 'the rotation is due',
  first: 'the first keys are ready',
};

/** What may go ahead: emergencies always; planned changes only when nothing and nobody holds them. */
export function isPermitted(look: Look, judged: Judged, need: Need): boolean {
  if (signersOf(look.snapshot, judged.stream.name).length === 0 || judged.stream.external === true) return false;
  switch (need.cause) {
    case 'emergency':
      return true;
    case 'failover':
      return !judged.paused;
    case 'first':
      return !judged.paused && judged.frozen === null;
    case 'planned':
      return (
        !judged.paused &&
        judged.frozen === null &&
        judged.stream.heldSince === null &&
        !awaitsApproval(judged) &&
        !isUnfinished(judged, need.spec)
      );
  }
}

/** The policy asks for a person's approval, and none has been given for the keys that sign now. */
export function awaitsApproval(judged: Judged): boolean {
  if (judged.policy.approval !== 'required') return false;
  const approved = judged.stream.approvedGeneration;
  if (approved === null) return true;
  return judged.active.some((key) => judged.due.has(key.id) && (key.enteredGeneration ?? 0) > approved);
}

/**
 * An imported key has been signing already, somewhere: it becomes active as soon as its record is proved, in addition to
 * what is there; if that makes too many, one leaves by the rules, with an overlap.
 */
function enterImported(look: Look, judged: Judged): void {
  for (const key of judged.pipeline) {
    if (!key.imported || key.state !== 'standby' || isSpoiled(key) || key.kept !== undefined) continue;
    if (key.wanted !== undefined || signersOfKey(look.snapshot, key).length === 0) continue;
    if (!isPermitted(look, judged, { spec: { ...key, count: 1 }, missing: 1, cause: 'first' })) continue;
    if (look.snapshot.domain.kind === 'shadow') continue;
    if (faultOfEntering(look.snapshot, key, look.policy, look.now, look.guards) === null) {
      look.enter.push(key.id);
      look.changeReasons.push('the imported key is proved');
    } else if (isSeen(key)) look.wantProof.add(key.id);
  }
}

/** A person asked for this key: it enters beside what is there, which then leaves by the rules. Pauses and freezes hold it. */
function enterWanted(look: Look, judged: Judged): void {
  for (const key of judged.keys) {
    if (key.wanted === undefined || !mayEnterFrom(key.state) || isSpoiled(key)) continue;
    if (signersOfKey(look.snapshot, key).length === 0) continue;
    if (!isPermitted(look, judged, { spec: { ...key, count: 1 }, missing: 1, cause: 'first' })) continue;
    if (faultOfEntering(look.snapshot, key, look.policy, look.now, look.guards) === null) {
      look.enter.push(key.id);
      look.changeReasons.push('it was asked for');
    } else if (isSeen(key) || key.proof === null) look.wantProof.add(key.id);
  }
}

/**
 * A signer that takes only so many keys signs with those that are to leave, and has never signed with one that stays: that one enters
 * again, so that the signer takes it up.
 */
function bringForward(look: Look, judged: Judged): void {
  const held = judged.paused || judged.frozen !== null || judged.stream.heldSince !== null;
  const urgent = judged.active.filter(isSpoiled).map(({ id }) => id);
  if ((held && urgent.length === 0) || judged.keys.some((key) => look.enter.includes(key.id))) return;
  const leaving = urgent.length > 0 ? urgent : [...judged.due.keys()];
  const staying = judged.active.filter((key) => !leaving.includes(key.id)).map(({ id }) => id);
  const id = passedOver(look.snapshot, judged.stream.name, staying, leaving);
  const key = judged.active.find((each) => each.id === id);
  if (key === undefined) return;
  if (faultOfEntering(look.snapshot, key, look.policy, look.now, look.guards) === null) {
    look.enter.push(key.id);
    look.changeReasons.push('signers that take few keys are to sign with it');
  } else if (isSeen(key)) look.wantProof.add(key.id);
}

/** A rollback: the keys that were replaced come back, whatever is paused or frozen, for a person wanted it so. */
function bringBack(look: Look, judged: Judged): void {
  for (const key of returning(judged)) {
    if (faultOfEntering(look.snapshot, key, look.policy, look.now, look.guards) === null) {
      look.enter.push(key.id);
      look.changeReasons.push('the rotation was rolled back');
    } else if (isSeen(key) || key.proof === null) look.wantProof.add(key.id);
  }
}

interface Choice {
  readonly need: Need;
  /** Keys that may enter now. */
  readonly ready: readonly KeyView[];
  /** Keys that may once they have been proved afresh. */
  readonly stale: readonly KeyView[];
}

/** As many keys as are missing, the first candidates first. */
function choose(look: Look, judged: Judged, need: Need): Choice {
  // Imported keys, and those asked for, that enter in this very change are in place of others.
  const ready = judged.keys.filter(
    (key) => key.state !== 'active' && look.enter.includes(key.id) && matches(key, need.spec),
  );
  const stale: KeyView[] = [];
  for (const key of candidatesFor(judged, need)) {
    if (ready.length + stale.length >= need.missing) break;
    if (faultOfEntering(look.snapshot, key, look.policy, look.now, look.guards) === null) ready.push(key);
    else if (isPastNegativeCaches(key) && (isSeen(key) || key.proof === null)) stale.push(key);
  }
  return { need, ready, stale };
}

/** The oldest standby key first. Imported keys come by themselves, and what somebody keeps only when asked for. */
function candidatesFor(judged: Judged, need: Need): readonly KeyView[] {
  return judged.pipeline
    .filter((key) => isStock(key) && key.state === 'standby' && matches(key, need.spec))
    .toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
}

/** Kinds that are due together change together; but one that is not ready does not hold the others up for ever. */
function hasWaitedForOthers(look: Look, judged: Judged): boolean {
  const since = standingSince(look.snapshot, { kind: 'stream', id: judged.stream.name }, 'rotation-waiting');
  return since !== null && look.now - since >= judged.policy.lead * 1.5;
}

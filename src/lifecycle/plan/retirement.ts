/** Which keys leave the active set, and which of those that left are revoked. */
import { hasSigned, isAcknowledged, isFreshlySeen, isSeen, isSpoiled } from '../facts.ts';
import type { KeySpec } from '../policy.ts';
import { checkLeaving, faultOfWithdrawal, isHealthy } from '../rules.ts';
import type { KeyView } from '../types.ts';
import { quick } from '../waits.ts';
import { type Look, standingSince } from './look.ts';
import { type Due, inOrderOfEntry, type Judged, matches, returning } from './stream.ts';

export function planRetirement(look: Look, judged: Judged): void {
  planLeaving(look, judged);
  planRevocation(look, judged);
}

function planLeaving(look: Look, judged: Judged): void {
  if (judged.due.size === 0) return;
  const all = judged.active.filter((key) => {
    const due = judged.due.get(key.id);
    return due !== undefined && mayGo(look, judged, key, due);
  });
  const leaving: string[] = [];
  const ids = all.map(({ id }) => id);
  // Together, where that may be: what a signer that takes only so many signs with afterwards depends on all that leave.
  if (all.length > 1 && checkLeaving(look.snapshot, ids, look.policy, look.now, look.guards).length === 0) {
    for (const key of all) look.changeReasons.push(LEAVES[judged.due.get(key.id) ?? 'surplus']);
    look.leave.push(...ids);
    return;
  }
  const urgentLast = all.toSorted((a, b) => Number(isSpoiled(a)) - Number(isSpoiled(b)));
  for (const key of urgentLast) {
    const due = judged.due.get(key.id);
    if (due === undefined) continue;
    if (checkLeaving(look.snapshot, [...leaving, key.id], look.policy, look.now, look.guards).length === 0) {
      leaving.push(key.id);
      look.changeReasons.push(LEAVES[due]);
    } else {
      askForFreshProofs(look, judged, key);
    }
  }
  look.leave.push(...leaving);
}

const LEAVES: Readonly<Record<Due, string>> = {
  compromised: 'the compromised key has a successor',
  rejected: 'the rejected key has a successor',
  broken: 'the key without a record has a successor',
  policy: 'the policy no longer asks for it',
  unsigned: 'no signer can sign with its kind any more',
  requested: 'its successor signs everywhere',
  age: 'its successor signs everywhere',
  surplus: 'the policy asks for fewer keys',
};

function mayGo(look: Look, judged: Judged, key: KeyView, due: Due): boolean {
  if (due === 'compromised') return true;
  const blocked = judged.paused || judged.frozen !== null;
  if (due === 'rejected') return !returning(judged).some((back) => back.algorithm === key.algorithm);
  if (due === 'broken') return !judged.paused && isReplaced(look, judged, key) && isBrokenForGood(look, judged, key);
  if (blocked || judged.stream.heldSince !== null) return false;
  return isReplaced(look, judged, key) || isSuperseded(look, judged, key);
}

/**
 * A rotation took so long (a signer was away) that its successors are due by now as well: they stand in for the older keys all the same,
 * whatever their length. Without this nothing could leave until still newer keys had come, for which there may be no selector.
 */
function isSuperseded(look: Look, judged: Judged, key: KeyView): boolean {
  const count = judged.specs.reduce((sum, spec) => sum + (spec.algorithm === key.algorithm ? spec.count : 0), 0);
  const latestFirst = inOrderOfEntry(judged.active);
  const place = latestFirst.indexOf(key);
  const older = latestFirst.slice(place).map(({ id }) => id);
  const later = latestFirst.slice(0, place).filter((each) => each.algorithm === key.algorithm && !isSpoiled(each));
  if (count === 0 || later.length < count) return false;
  const healthy = later.filter((each) => isHealthy(look.snapshot, each, look.policy, look.now, look.guards, older));
  if (healthy.length < count) for (const each of later) wantFresh(look, judged, each, older);
  return healthy.length >= count;
}

/**
 * Every kind that the key stands for is up to strength without it: the kinds of its own algorithm, or all where the policy
 * has given that up.
 */
function isReplaced(look: Look, judged: Judged, key: KeyView): boolean {
  const own = judged.specs.filter((spec) => spec.algorithm === key.algorithm && spec.count > 0);
  const specs = own.length > 0 ? own : judged.specs;
  return specs.every((spec) => isUpToStrength(look, judged, spec));
}

function isUpToStrength(look: Look, judged: Judged, spec: KeySpec): boolean {
  const fit = judged.active.filter((key) => matches(key, spec) && !judged.due.has(key.id));
  const established = fit.filter((key) =>
    isHealthy(look.snapshot, key, look.policy, look.now, look.guards, dueIds(judged)),
  );
  if (established.length < spec.count) for (const key of fit) wantFresh(look, judged, key);
  return established.length >= spec.count;
}

/** What a key is judged by that stays when the due ones have gone: a signer that takes only so many signs with others then. */
function dueIds(judged: Judged): readonly string[] {
  return [...judged.due.keys()];
}

function askForFreshProofs(look: Look, judged: Judged, leaver: KeyView): void {
  for (const key of judged.active) if (key.id !== leaver.id && !isSpoiled(key)) wantFresh(look, judged, key);
}

/** Signers first, proof last: a proof taken before they are done would be stale when it is needed. */
function wantFresh(look: Look, judged: Judged, key: KeyView, leaving: readonly string[] = dueIds(judged)): void {
  const loaded = !look.guards.acknowledgement || isAcknowledged(look.snapshot, key);
  const others = leaving.filter((id) => id !== key.id);
  const settled = loaded && hasSigned(look.snapshot, key, others);
  if (settled && isSeen(key) && !isFreshlySeen(key, judged.policy, look.now)) look.wantProof.add(key.id);
}

/** A record that comes back at once was a server's hiccup. */
function isBrokenForGood(look: Look, judged: Judged, key: KeyView): boolean {
  const patience = Math.min(judged.policy.proofFresh, 600_000);
  const since = standingSince(look.snapshot, { kind: 'key', id: key.id }, brokenReason(key));
  look.again((since ?? look.now) + patience + quick(judged.policy));
  return since !== null && look.now - since >= patience;
}

export function brokenReason(key: KeyView): string {
  return `record-${key.proof?.verdict ?? 'missing'}`;
}

function planRevocation(look: Look, judged: Judged): void {
  for (const key of judged.keys) {
    if (key.state !== 'retiring') continue;
    // What somebody keeps, or has asked for, stays for as long as it is fit for use.
    if (!isSpoiled(key) && (key.kept === true || key.wanted !== undefined)) continue;
    // The key that a rollback still has to bring back stays, however long that takes.
    if (key.compromisedAt === null && (judged.paused || judged.frozen !== null || returning(judged).includes(key)))
      continue;
    if (faultOfWithdrawal(look.snapshot, key, 'revoked', look.policy, look.guards) !== null) continue;
    look.decision({
      kind: 'move',
      keyId: key.id,
      to: 'revoked',
      why: key.compromisedAt === null ? 'no mail that it signed is on its way any more' : 'it was compromised',
    });
  }
}

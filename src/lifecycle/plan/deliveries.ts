/** Keyrings to signers, and test messages from them. */
import { DELIVERY_REASON, SELF_TEST_REASON } from '../apply/reports.ts';
import { chosenBy, hasDrifted, isSpoiled } from '../facts.ts';
import type { KeyView, SignerView, Step } from '../types.ts';
import { growing, quick, retryAt } from '../waits.ts';
import { type Look, standingSince } from './look.ts';
import { isBroken } from './stream.ts';

/** A signer of another process, of which nothing has been heard since the keyring changed. */
export const SILENT_REASON = 'signer-silent';

/** A signer that has been behind for long, whatever the reason: what waits for it, and what can be done. */
export const AWAY_REASON = 'signer-away';

export function planDeliveries(look: Look): void {
  const { generation } = look.snapshot.domain;
  for (const signer of look.snapshot.signers) {
    // What somebody changed on purpose is not written over: a person decides.
    if (hasDrifted(signer) || waitsToRetry(look, signer)) continue;
    if (signer.acknowledgedGeneration < generation) {
      ask(look, signer, { kind: 'deliver', signerId: signer.id, generation });
    } else if (signer.setAsideAt === null) {
      planSelfTests(look, signer);
    }
    if (signer.setAsideAt === null) reportSilence(look, signer);
  }
  for (const signer of look.snapshot.signers) if (signer.setAsideAt === null) reportAbsence(look, signer);
}

/** A signer that another process reaches answers by itself, or not at all: the longer it is silent, the more seldom is it looked for. */
function ask(look: Look, signer: SignerView, step: Step): void {
  const subject = { kind: 'signer', id: signer.id } as const;
  const since =
    standingSince(look.snapshot, subject, SILENT_REASON) ?? standingSince(look.snapshot, subject, 'signer-set-aside');
  look.steps.push(step);
  look.again(look.now + growing(since ?? look.now, look.now, look.policy));
}

function planSelfTests(look: Look, signer: SignerView): void {
  for (const key of look.keys) {
    if (key.state !== 'active' || !chosenBy(look.snapshot, signer, key.stream).includes(key)) continue;
    if (key.signaturesSeen[signer.id] !== undefined || look.leave.includes(key.id)) continue;
    if ((key.enteredGeneration ?? 0) > signer.acknowledgedGeneration) continue;
    ask(look, signer, { kind: 'self-test', signerId: signer.id, keyId: key.id });
  }
}

function reportSilence(look: Look, signer: SignerView): void {
  const { generation, name } = look.snapshot.domain;
  const isBehind = signer.acknowledgedGeneration < generation;
  const untried = look.keys.find(
    (key) =>
      key.state === 'active' &&
      key.signaturesSeen[signer.id] === undefined &&
      chosenBy(look.snapshot, signer, key.stream).includes(key),
  );
  if (signer.retry !== null || (!isBehind && untried === undefined)) return;
  const changes = look.keys.map((key) =>
    Math.max(
      key.enteredGeneration === generation ? (key.activatedAt ?? 0) : 0,
      key.leftGeneration === generation ? (key.retiredAt ?? 0) : 0,
    ),
  );
  if (look.now - Math.max(0, ...changes, signer.acknowledgedAt ?? 0) < quick(look.policy) * 24) return;
  const what = isBehind
    ? `has not taken up the keys of ${name} as they are`
    : `has not signed with ${untried?.selector}`;
  look.report({
    subject: { kind: 'signer', id: signer.id },
    reason: SILENT_REASON,
    // One that never answered may be on its way.
    severity: signer.acknowledgedAt === null ? 'info' : 'warning',
    message: `${signer.id} ${what}, and nothing is heard of it: no old key is given up until then. Start it again; if it is gone for good, or goes by another name now, remove it or set it aside.`,
  });
}

/** Told after a while, a warning after a twenty-fourth of the policy's lead (an hour of a day), critical after the lead or where a bad key waits. */
function reportAbsence(look: Look, signer: SignerView): void {
  const waiting = waitsFor(look, signer);
  if (waiting === null) return;
  const subject = { kind: 'signer', id: signer.id } as const;
  const begun = [AWAY_REASON, SILENT_REASON, DELIVERY_REASON, SELF_TEST_REASON]
    .map((reason) => standingSince(look.snapshot, subject, reason))
    .filter((at) => at !== null);
  // What began in the future (the clock has gone back since) began now.
  const since = Math.min(look.now, ...begun);
  const age = begun.length === 0 ? 0 : look.now - since;
  const told = quick(look.policy) * 24;
  const warned = Math.max(told, look.policy.lead / 24);
  const critical = Math.max(warned, look.policy.lead);
  if (begun.length > 0) for (const at of [told, warned, critical]) if (age < at) look.again(since + at);
  if (age < told) return;
  const isUrgent = waiting.bad && age >= warned;
  const { name } = look.snapshot.domain;
  look.report({
    subject,
    reason: AWAY_REASON,
    severity: age >= critical || isUrgent ? 'critical' : age >= warned ? 'warning' : 'info',
    message: `${signer.id} has been behind for long: ${waiting.what}. Mail goes on being signed by keys that stay in DNS. See to it that it runs and can be reached; "keyturn signer set-aside ${name} ${signer.id}" goes on without it (what it signs with an old key then fails once that key is revoked), "keyturn signer remove ${name} ${signer.id}" forgets one that signs no more.`,
  });
}

/** What cannot go on without the signer, in words; `bad`: among it a key that should not sign. Null where nothing waits. */
function waitsFor({ snapshot, keys }: Look, signer: SignerView): { what: string; bad: boolean } | null {
  // A drifted one has a condition of its own, and waits for a person.
  if (hasDrifted(signer)) return null;
  const has = signer.acknowledgedGeneration;
  const its = keys.filter((key) => key.ownership === 'ours' && signer.streams.includes(key.stream));
  const entered = its.filter(
    (key) =>
      key.state === 'active' &&
      chosenBy(snapshot, signer, key.stream).includes(key) &&
      ((key.enteredGeneration ?? 0) > has || key.signaturesSeen[signer.id] === undefined),
  );
  const left = its.filter((key) => key.state === 'retiring' && (key.leftGeneration ?? 0) > has);
  if (entered.length + left.length === 0 && has >= snapshot.domain.generation) return null;
  const names = (list: readonly KeyView[]): string => list.map(({ selector }) => selector).join(', ');
  const parts = [
    ...(entered.length > 0 ? [`it has not signed with ${names(entered)}, so that no key before can leave`] : []),
    ...(left.length > 0
      ? [`it may still sign with ${names(left)}, whose records stay until it has let go of them`]
      : []),
  ];
  const bad = left.some(isSpoiled) || its.some((key) => key.state === 'active' && (isSpoiled(key) || isBroken(key)));
  return { what: parts.length > 0 ? parts.join('; ') : 'it has not taken up the keys as they are', bad };
}

function waitsToRetry(look: Look, signer: SignerView): boolean {
  if (signer.retry === null || signer.retry.at > look.now) return false;
  const at = retryAt(signer.retry.at, signer.retry.failures, look.policy);
  if (at <= look.now) return false;
  look.again(at);
  return true;
}

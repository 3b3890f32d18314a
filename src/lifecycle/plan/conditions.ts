/** What is not as it should be, in words: what is the matter, and what the reader can do. */
import { DELIVERY_REASON, NOT_MADE_REASON, SELF_TEST_REASON, WRITE_REASONS } from '../apply/reports.ts';
import { chosenBy, isSeen, isSpoiled, signersOf, signersOfKey } from '../facts.ts';
import { faultOfEntering, isHealthy } from '../rules.ts';
import type { Condition, KeyView, Subject, Verdict } from '../types.ts';
import { abilityConditions } from './abilities.ts';
import { awaitsApproval, isPermitted } from './activation.ts';
import type { Look } from './look.ts';
import { desiredRecord } from './records.ts';
import { dueAt, isUnfinished, type Judged } from './stream.ts';

/** The conditions of one stream and its keys. */
export function planConditions(look: Look, judged: Judged): void {
  const subject: Subject = { kind: 'stream', id: judged.stream.name };
  const { stream } = judged;
  for (const key of judged.keys) reportKey(look, judged, key);
  if (stream.pausedAt !== null)
    look.report({
      subject,
      reason: 'stream-paused',
      severity: 'info',
      message: `Stream ${stream.name} is paused: its keys stay as they are until it is resumed.`,
    });
  if (stream.heldSince !== null)
    look.report({
      subject,
      reason: 'rotation-held',
      severity: 'info',
      message: `A rotation of stream ${stream.name} was rolled back: no other begins by itself until one is asked for or the stream is resumed.`,
    });
  if (look.snapshot.domain.kind === 'shadow' || look.snapshot.domain.removingAt !== null) return;
  if (stream.external === true) return;
  for (const condition of abilityConditions(look.snapshot, stream, judged.policy, judged.specs)) look.report(condition);
  if (signersOf(look.snapshot, stream.name).length === 0)
    look.report({
      subject,
      reason: 'no-signer',
      severity: 'warning',
      message: `No signer signs stream ${stream.name}: nothing enters or leaves until one is added or brought back.`,
    });
  reportNeeds(look, judged, subject);
}

function reportNeeds(look: Look, judged: Judged, subject: Subject): void {
  const { stream, needs, active } = judged;
  if (
    active.length > 0 &&
    !active.some((key) => isSeen(key) && !isSpoiled(key)) &&
    active.every((key) => key.proof !== null)
  )
    look.report({
      subject,
      reason: 'no-healthy-key',
      severity: 'critical',
      message: `Stream ${stream.name} signs with no key that is both safe and seen in DNS. What signs goes on signing; a successor follows as fast as its record can be proved.`,
    });
  if (needs.length === 0) return;
  const planned = needs.filter((need) => need.cause === 'planned');
  const kinds = needs.map((need) => `${need.missing} × ${need.spec.algorithm}-${need.spec.bits}`).join(', ');
  if (planned.length > 0 && awaitsApproval(judged))
    look.report({
      subject,
      reason: 'approval-awaited',
      severity: 'info',
      message: `A rotation is due (${kinds}) and waits for approval: new keys would enter, and the old ones leave once every signer uses the new.`,
    });
  if (planned.some((need) => isUnfinished(judged, need.spec)))
    look.report({
      subject,
      reason: 'rotation-unfinished',
      severity: 'warning',
      message: `The next rotation (${kinds}) waits: keys of the one before have not left, for not every signer of stream ${stream.name} is known to sign with their successors. Look after the signers that "keyturn domain show" lists as behind.`,
    });
  if (judged.frozen !== null && needs.some((need) => need.cause === 'planned' || need.cause === 'first'))
    look.report({
      subject,
      reason: 'frozen',
      severity: 'info',
      message: `A change is due (${kinds}) and waits for the end of the freeze${judged.frozen.why === null ? '' : ` (${judged.frozen.why})`} on ${new Date(judged.frozen.until).toISOString()}.`,
    });
  if (judged.frozen !== null) look.again(judged.frozen.until);
  const entering = judged.keys.filter((key) => look.enter.includes(key.id)).length;
  const open = needs.filter((need) => isPermitted(look, judged, need));
  if (open.length > 0 && entering === 0)
    look.report({
      subject,
      reason: 'rotation-waiting',
      severity: 'info',
      message: `New keys are needed (${kinds}) and wait until their records have been proved for long enough.`,
    });
  if (needs.some((need) => need.cause === 'emergency') && entering === 0)
    look.report({
      subject,
      reason: 'compromised-without-successor',
      severity: 'critical',
      message: `A compromised key goes on signing until a successor has been proved: check that new records reach every name server.`,
    });
}

const FOUND: Readonly<Record<Exclude<Verdict, 'seen'>, string>> = {
  missing: 'is missing on at least one authoritative server',
  revoked: 'is empty (revoked) on at least one authoritative server',
  mismatched: 'holds something else than the key on at least one authoritative server',
  several: 'stands beside another TXT record, which receivers may not sort out',
  unreachable: 'could not be asked for: not every authoritative server answers',
  bogus: 'fails DNSSEC validation',
};

function reportKey(look: Look, judged: Judged, key: KeyView): void {
  const subject: Subject = { kind: 'key', id: key.id };
  const { proof } = key;
  const expected = desiredRecord(look, key) ?? 'key';
  if (key.state === 'active' && key.compromisedAt !== null)
    look.report({
      subject,
      reason: 'key-compromised',
      severity: 'critical',
      message: `${key.selector} is compromised and still signs; it leaves as soon as another key signs everywhere.${sharedWith(key)}`,
    });
  reportWanted(look, judged, key);
  if (key.state === 'active' && key.algorithm === 'rsa' && key.bits < 2048)
    look.report({
      subject,
      reason: 'weak-key',
      severity: 'warning',
      message: `${key.selector} has only ${key.bits} bits: receivers may ignore it (RFC 8301 asks for 1024 at the very least, and 2048).`,
    });
  if (proof !== null && proof.expected === expected && proof.verdict !== 'seen' && key.state !== 'removed') {
    const fresh =
      key.state === 'created' || (key.state === 'published' && key.provedSince === null && key.waited === 0);
    look.report({
      subject,
      reason: `record-${proof.verdict}`,
      severity: key.state === 'active' ? 'critical' : fresh || key.state === 'revoked' ? 'info' : 'warning',
      message: `The record of ${key.selector} ${FOUND[proof.verdict]} (${proof.serversAgreeing} of ${proof.serversAsked} agree).`,
    });
  }
  if (
    key.state === 'active' &&
    judged.due.has(key.id) &&
    judged.stream.heldSince === null &&
    look.now - dueAt(key, judged.policy) > judged.policy.rotateEvery / 4 &&
    !isHealthyReplacement(look, judged)
  )
    look.report({
      subject,
      reason: 'rotation-overdue',
      severity: 'warning',
      message: `${key.selector} should have been replaced long ago; see what its stream, its signers and its successors wait for.`,
    });
}

/** Where else the pair is: what is known of one is known of all. */
function sharedWith({ copiedFrom, copies }: KeyView): string {
  const some = [...(copiedFrom === undefined ? [] : [copiedFrom]), ...(copies?.some ?? [])];
  if (some.length === 0) return '';
  const more = (copies?.count ?? 0) - (copies?.some.length ?? 0);
  return ` The same pair is at ${some.join(', ')}${more > 0 ? ` and ${more} more` : ''}: declare it compromised there as well.`;
}

/** Why a key that was asked for does not sign yet. */
function reportWanted(look: Look, judged: Judged, key: KeyView): void {
  if (key.wanted === undefined || key.state === 'active' || look.enter.includes(key.id)) return;
  const fault = faultOfEntering(look.snapshot, key, look.policy, look.now);
  const why = judged.paused
    ? 'it is paused'
    : judged.frozen !== null
      ? 'of the freeze'
      : signersOfKey(look.snapshot, key).length === 0
        ? 'no signer of the stream can sign with it'
        : `it ${fault ?? 'waits for a fresh proof'}`;
  look.report({
    subject: { kind: 'key', id: key.id },
    reason: 'key-awaited',
    severity: 'info',
    message: `${key.selector} is to sign stream ${key.stream} and does not yet, because ${why}.`,
  });
}

function isHealthyReplacement(look: Look, judged: Judged): boolean {
  return judged.active.some(
    (key) =>
      !judged.due.has(key.id) &&
      isHealthy(look.snapshot, key, look.policy, look.now, look.guards, [...judged.due.keys()]),
  );
}

/** Conditions of the domain and its signers, and those that failed steps left and that still hold. */
export function closeConditions(look: Look): readonly Condition[] {
  const { snapshot } = look;
  const domain: Subject = { kind: 'domain' };
  if (snapshot.domain.pausedAt !== null)
    look.report({
      subject: domain,
      reason: 'paused',
      severity: 'info',
      message: `${snapshot.domain.name} is paused: its keys stay as they are until it is resumed.`,
    });
  if (snapshot.domain.removingAt !== null)
    look.report({
      subject: domain,
      reason: 'removing',
      severity: 'info',
      message: `${snapshot.domain.name} is being removed: its keys leave, are revoked after the overlap, and go with their records.`,
    });
  for (const signer of snapshot.signers) {
    if (signer.drift)
      look.report({
        subject: { kind: 'signer', id: signer.id },
        reason: 'signer-drifted',
        severity: 'warning',
        message: `${signer.id} does not sign with what it was given: ${signer.drift.message} Nothing is changed there, and no old key is given up, until a person decides: "keyturn signer restore ${snapshot.domain.name} ${signer.id}" puts the keyring back, "keyturn signer adopt ${snapshot.domain.name} ${signer.id}" takes over what was found.`,
      });
    if (signer.setAsideAt !== null)
      look.report({
        subject: { kind: 'signer', id: signer.id },
        reason: 'signer-set-aside',
        severity: 'warning',
        message: `${signer.id} is set aside and not waited for: mail that it signs with an old key fails once that key is revoked. Bring it back or remove it.`,
      });
  }
  for (const key of look.keys) if (key.ownership === 'external') reportExternal(look, key);
  for (const condition of snapshot.conditions) if (isStillTrue(look, condition)) look.conditions.push(condition);
  return keepIdentity(snapshot.conditions, look.conditions);
}

function reportExternal(look: Look, key: KeyView): void {
  if (key.proof === null || key.proof.verdict === 'seen') return;
  look.report({
    subject: { kind: 'key', id: key.id },
    reason: `record-${key.proof.verdict}`,
    severity: 'warning',
    message: `The record of ${key.selector}, which somebody else signs with, ${FOUND[key.proof.verdict]}: ask its owner.`,
  });
}

/** Failures are reported by `apply`; they stand for as long as what failed is still wanted. */
function isStillTrue(look: Look, { subject, reason }: Condition): boolean {
  if (subject.kind === 'key' && (WRITE_REASONS as readonly string[]).includes(reason)) {
    const key = look.keys.find((k) => k.id === subject.id);
    if (key === undefined || key.retry === null) return false;
    const record = desiredRecord(look, key);
    return record !== null && !isSeen(key, record);
  }
  if (subject.kind === 'stream' && reason === NOT_MADE_REASON)
    return look.steps.some((step) => step.kind === 'create-key' && step.stream === subject.id);
  if (subject.kind !== 'signer') return false;
  const signer = look.snapshot.signers.find((s) => s.id === subject.id);
  if (signer === undefined || signer.retry === null) return false;
  if (reason === DELIVERY_REASON) return signer.acknowledgedGeneration < look.snapshot.domain.generation;
  if (reason !== SELF_TEST_REASON) return false;
  return look.keys.some(
    (key) =>
      key.state === 'active' &&
      key.signaturesSeen[signer.id] === undefined &&
      chosenBy(look.snapshot, signer, key.stream).includes(key),
  );
}

/** Conditions that did not change stay the same objects. */
function keepIdentity(old: readonly Condition[], now: readonly Condition[]): readonly Condition[] {
  const kept = now.map((condition) => {
    const before = old.find((c) => c.reason === condition.reason && sameSubject(c.subject, condition.subject));
    return before !== undefined &&
      before.message === condition.message &&
      before.severity === condition.severity &&
      before.since === condition.since
      ? before
      : condition;
  });
  return kept.length === old.length && kept.every((condition, i) => condition === old[i]) ? old : kept;
}

function sameSubject(a: Subject, b: Subject): boolean {
  return a.kind === b.kind && (a.kind === 'domain' || b.kind === 'domain' || a.id === b.id);
}

/** Keyrings to signers, and test messages from them. */
import { chosenBy, hasDrifted } from '../facts.ts';
import type { SignerView, Step } from '../types.ts';
import { growing, quick, retryAt } from '../waits.ts';
import { type Look, standingSince } from './look.ts';

/** A signer of another process, of which nothing has been heard since the keyring changed. */
export const SILENT_REASON = 'signer-silent';

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

function waitsToRetry(look: Look, signer: SignerView): boolean {
  if (signer.retry === null || signer.retry.at > look.now) return false;
  const at = retryAt(signer.retry.at, signer.retry.failures, look.policy);
  if (at <= look.now) return false;
  look.again(at);
  return true;
}

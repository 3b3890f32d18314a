/** Keyrings to signers, and test messages from them. */
import type { SignerView } from '../types.ts';
import { retryAt } from '../waits.ts';
import type { Look } from './look.ts';

export function planDeliveries(look: Look): void {
  const { generation } = look.snapshot.domain;
  for (const signer of look.snapshot.signers) {
    if (waitsToRetry(look, signer)) continue;
    if (signer.acknowledgedGeneration < generation) {
      look.effect({ kind: 'deliver', signerId: signer.id, generation });
    } else if (signer.setAsideAt === null) {
      planSelfTests(look, signer);
    }
  }
}

function planSelfTests(look: Look, signer: SignerView): void {
  for (const key of look.keys) {
    if (key.state !== 'active' || !signer.streams.includes(key.stream)) continue;
    if (key.signaturesSeen[signer.id] !== undefined || look.leave.includes(key.id)) continue;
    if ((key.enteredGeneration ?? 0) > signer.acknowledgedGeneration) continue;
    look.effect({ kind: 'self-test', signerId: signer.id, keyId: key.id });
  }
}

function waitsToRetry(look: Look, signer: SignerView): boolean {
  if (signer.retry === null || signer.retry.at > look.now) return false;
  const at = retryAt(signer.retry.at, signer.retry.failures, look.policy);
  if (at <= look.now) return false;
  look.again(at);
  return true;
}

/** A domain that leaves: its keys go without successors, by the same waits; when nothing is left, it is forgotten. */

import { findStream, policyOf } from '../facts.ts';
import { frozenAt } from '../freeze.ts';
import { faultOfWithdrawal } from '../rules.ts';
import type { Look } from './look.ts';

export function planRemoval(look: Look): void {
  const { snapshot } = look;
  for (const key of look.keys) {
    if (key.ownership === 'external' || key.state === 'removed' || key.state === 'revoked') continue;
    const stream = findStream(snapshot, key.stream);
    const policy = policyOf(stream, look.policy);
    const blocked =
      snapshot.domain.pausedAt !== null || (stream?.pausedAt ?? null) !== null || frozenAt(policy, look.now) !== null;
    if (blocked && key.compromisedAt === null) continue;
    if (key.state === 'active') {
      look.leave.push(key.id);
      look.changeReasons.push('the domain is being removed');
    } else if (faultOfWithdrawal(snapshot, key, 'revoked', look.policy, look.guards) === null) {
      look.decision({ kind: 'move', keyId: key.id, to: 'revoked', why: 'the domain is being removed' });
    }
  }
  const left = snapshot.keys.some(
    (key) => key.ownership === 'ours' && !(key.state === 'removed' && key.privateKeyDestroyedAt !== null),
  );
  const known = snapshot.signers.some(
    (signer) => signer.setAsideAt === null && signer.acknowledgedGeneration < snapshot.domain.generation,
  );
  if (!left && !known) look.decision({ kind: 'forget-domain' });
}

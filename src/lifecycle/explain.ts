/** Steps in words. */
import { findKey, recordDomain } from './facts.ts';
import type { RecordKind, Snapshot, Step } from './types.ts';

/** One sentence for people: what the step does, and why where it says so. */
export function explain(step: Step, snapshot: Snapshot): string {
  const { name } = snapshot.domain;
  const main = recordDomain(snapshot.domain);
  const key = (id: string): string => findKey(snapshot, id)?.selector ?? id;
  switch (step.kind) {
    case 'create-key':
      return `Make a key ${step.selector} (${kindOf(step.algorithm, step.bits)}) for stream ${step.stream} of ${name}.`;
    case 'write-record':
      return `${WRITES[step.record]} at ${key(step.keyId)}._domainkey.${main}${step.record === 'absent' ? '' : ` with a TTL of ${step.ttl} s`}, because ${step.why}.`;
    case 'prove':
      return `Ask every authoritative server of ${main} ${ASKS[step.expected]} ${key(step.keyId)}.`;
    case 'move':
      return `Count ${key(step.keyId)} as ${step.to}: ${step.why}.`;
    case 'change-active': {
      const isNew = (id: string): boolean => findKey(snapshot, id)?.state !== 'active';
      const fresh = step.enter.filter(isNew);
      const again = step.enter.filter((id) => !isNew(id));
      const enter = fresh.length > 0 ? `begin to sign with ${fresh.map(key).join(' and ')}` : '';
      const first = again.length > 0 ? `put ${again.map(key).join(' and ')} first` : '';
      const leave = step.leave.length > 0 ? `stop signing with ${step.leave.map(key).join(' and ')}` : '';
      const both = [enter, first, leave].filter((part) => part !== '').join(', and ');
      return `${both.charAt(0).toUpperCase()}${both.slice(1)}: ${step.why}.`;
    }
    case 'deliver':
      return `Hand keyring ${step.generation} of ${name} to signer ${step.signerId}.`;
    case 'self-test':
      return `Have signer ${step.signerId} sign a test message with ${key(step.keyId)}.`;
    case 'destroy-private-key':
      return `Destroy the private key of ${key(step.keyId)}.`;
    case 'forget-domain':
      return `Forget ${name}: none of its keys and records is left.`;
  }
}

const WRITES: Readonly<Record<RecordKind, string>> = {
  key: 'Publish the key',
  revoked: 'Publish an empty p= (revoked)',
  absent: 'Remove the record',
};

const ASKS: Readonly<Record<RecordKind, string>> = {
  key: 'for the record of',
  revoked: 'whether it shows the revocation of',
  absent: 'whether nothing is left of',
};

function kindOf(algorithm: 'rsa' | 'ed25519', bits: number): string {
  return algorithm === 'rsa' ? `RSA-${bits}` : 'Ed25519';
}

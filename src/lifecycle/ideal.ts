/** The world as it should be: everything that is asked for succeeds at once. */
import type { Outcome, Step } from './types.ts';

/**
 * What each step comes to when all goes well. A key that is made bears the id `future-<made>`; `negativeTtl` is the zone's, in
 * seconds.
 */
export function idealOutcomes(step: Step, at: number, made: number, negativeTtl: number): readonly Outcome[] {
  switch (step.kind) {
    case 'create-key': {
      const { kind: _, ...named } = step;
      return [{ kind: 'key-created', at, key: { id: `future-${made}`, ...named, publicKey: '' } }];
    }
    case 'write-record':
      return [{ kind: 'record-written', at, keyId: step.keyId, record: step.record, ttl: step.ttl }];
    case 'prove': {
      const proof = { at, expected: step.expected, verdict: 'seen', serversAsked: 1, serversAgreeing: 1 } as const;
      return [{ kind: 'proved', keyId: step.keyId, proof: { ...proof, ttl: 300, negativeTtl } }];
    }
    case 'move':
      return [{ kind: 'moved', at, keyId: step.keyId, to: step.to }];
    case 'change-active':
      return [{ kind: 'active-changed', at, enter: step.enter, leave: step.leave }];
    case 'deliver':
      return [{ kind: 'acknowledged', at, signerId: step.signerId, generation: step.generation }];
    case 'self-test':
      return [{ kind: 'signature-seen', at, signerId: step.signerId, keyId: step.keyId }];
    case 'destroy-private-key':
      return [{ kind: 'private-key-destroyed', at, keyId: step.keyId }];
    case 'forget-domain':
      return [];
  }
}

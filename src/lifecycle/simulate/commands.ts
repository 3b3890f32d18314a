/** What operators say, as outcomes. */
import type { Policy } from '../policy.ts';
import type { OperatorOutcome, Outcome, Snapshot } from '../types.ts';
import type { Command } from './history.ts';

/**
 * What a command of a history comes to for the domain as it is; nothing where it makes no sense. `imported` is the id and
 * selector that an imported key would have.
 */
export function outcomesOf(
  what: Command,
  at: number,
  snapshot: Snapshot,
  policy: Policy,
  imported: string,
): readonly Outcome[] {
  const stream =
    'stream' in what ? (snapshot.streams[what.stream % snapshot.streams.length]?.name ?? 'default') : 'default';
  const streams = snapshot.streams.map((s) => s.name);
  const signerId = 'signer' in what ? `signer-${what.signer}` : '';
  switch (what.kind) {
    case 'rotate':
      return [{ kind: 'rotation-requested', at, stream }];
    case 'approve':
      return [{ kind: 'rotation-approved', at, stream }];
    case 'roll-back':
      return [{ kind: 'rolled-back', at, stream }];
    case 'pause':
      return [{ kind: 'paused', at, stream }];
    case 'resume':
      return [{ kind: 'resumed', at, stream }];
    case 'pause-domain':
      return [{ kind: 'paused', at, stream: null }];
    case 'resume-domain':
      return [{ kind: 'resumed', at, stream: null }];
    case 'remove-domain':
      return [{ kind: 'removal-requested', at }];
    case 'compromise': {
      const alive = snapshot.keys.filter((key) => key.state !== 'removed' && key.state !== 'revoked');
      const key = alive[what.key % Math.max(1, alive.length)];
      return key === undefined ? [] : [{ kind: 'compromised', at, keyId: key.id }];
    }
    case 'set-keys':
      return [{ kind: 'policy-set', at, stream, policy: { ...policy, keys: what.keys } }];
    case 'add-signer':
      return [{ kind: 'signer-added', at, signerId, streams }];
    case 'remove-signer':
      return [{ kind: 'signer-removed', at, signerId }];
    case 'set-aside':
      return [{ kind: 'signer-set-aside', at, signerId }];
    case 'bring-back':
      return [{ kind: 'signer-brought-back', at, signerId }];
    case 'add-stream': {
      const name = `stream-${streams.length}`;
      if (streams.length > 2) return [];
      const added: OperatorOutcome[] = [{ kind: 'stream-added', at, stream: name, policy: null }];
      for (const signer of snapshot.signers)
        added.push({ kind: 'signer-added', at, signerId: signer.id, streams: [...streams, name] });
      return added;
    }
    case 'import': {
      const key = {
        id: imported,
        stream,
        selector: imported,
        algorithm: 'rsa',
        bits: 2048,
        publicKey: imported,
      } as const;
      return [{ kind: 'key-imported', at, key: { ...key, ownership: 'ours' } }];
    }
  }
}

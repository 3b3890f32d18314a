/** What operators say, as outcomes. */
import type { Policy } from '../policy.ts';
import type { KnownRecord, OperatorOutcome, Outcome, Snapshot } from '../types.ts';
import type { Command, SignerKindOf } from './history.ts';

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
  kinds: readonly SignerKindOf[],
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
    case 'copy': {
      const key = {
        id: imported,
        stream,
        selector: imported,
        algorithm: 'rsa',
        bits: 2048,
        publicKey: imported,
      } as const;
      const from = 'dkim-backup1.example.test/x';
      const known = what.known ? { known: knownSince(at, policy) } : {};
      const made = { kind: 'key-copied', at, key, from, kept: what.known || !what.use, ...known } as const;
      return what.use ? [made, { kind: 'key-wanted', at, keyId: imported }] : [made];
    }
    case 'want':
    case 'keep':
    case 'release':
    case 'hand': {
      const alive = snapshot.keys.filter((key) => key.state !== 'removed' && key.state !== 'revoked');
      const keyId = alive[what.key % Math.max(1, alive.length)]?.id ?? '';
      if (what.kind === 'hand') return [{ kind: 'key-handed', at, keyId, to: snapshot.domain.shadowOf ?? '' }];
      const kinds = { want: 'key-wanted', keep: 'key-kept', release: 'key-released' } as const;
      return [{ kind: kinds[what.kind], at, keyId }];
    }
    case 'restore':
      return [{ kind: 'drift-restored', at, signerId }];
    case 'adopt': {
      const keyId = foreignKey(signerId);
      if (snapshot.signers.every(({ id, drift }) => id !== signerId || drift === undefined)) return [];
      const key = {
        id: keyId,
        stream: 'default',
        selector: keyId,
        algorithm: 'rsa',
        bits: 2048,
        publicKey: keyId,
      } as const;
      return [
        { kind: 'key-imported', at, key: { ...key, ownership: 'ours' } },
        { kind: 'key-wanted', at, keyId },
        { kind: 'drift-adopted', at, signerId, keyIds: [keyId] },
      ];
    }
    case 'compromise': {
      const alive = snapshot.keys.filter((key) => key.state !== 'removed' && key.state !== 'revoked');
      const key = alive[what.key % Math.max(1, alive.length)];
      return key === undefined ? [] : [{ kind: 'compromised', at, keyId: key.id }];
    }
    case 'set-keys':
      return [{ kind: 'policy-set', at, stream, policy: { ...policy, keys: what.keys } }];
    case 'add-signer':
      return [added(kinds, what.signer, at, streams)];
    case 'remove-signer':
      return [{ kind: 'signer-removed', at, signerId }];
    case 'set-aside':
      return [{ kind: 'signer-set-aside', at, signerId }];
    case 'bring-back':
      return [{ kind: 'signer-brought-back', at, signerId }];
    case 'add-stream': {
      const name = `stream-${streams.length}`;
      if (streams.length > 2) return [];
      const more: OperatorOutcome[] = [{ kind: 'stream-added', at, stream: name, policy: null }];
      for (const signer of snapshot.signers)
        more.push(added(kinds, Number(signer.id.split('-')[1]), at, [...streams, name]));
      return more;
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

/** A signer as its number says that it is. */
function added(
  kinds: readonly SignerKindOf[],
  signer: number,
  at: number,
  streams: readonly string[],
): Extract<OperatorOutcome, { kind: 'signer-added' }> {
  const { abilities, only } = kinds[signer] ?? {};
  const its = only === undefined ? streams : only === 'first' ? streams.slice(0, 1) : streams.slice(1);
  const can = abilities === undefined ? {} : { abilities };
  return { kind: 'signer-added', at, signerId: `signer-${signer}`, streams: its, ...can };
}

/** The key that somebody puts into a signer by hand: everybody who meddles with that signer has the same. */
export function foreignKey(signerId: string): string {
  return `by-hand-${signerId}`;
}

/** What a shadow knows of a record that it has had in DNS for long. */
function knownSince(at: number, policy: Policy): KnownRecord {
  const long = policy.lead * 3;
  const proof = { at, expected: 'key', verdict: 'seen', serversAsked: 1, serversAgreeing: 1, ttl: 300 } as const;
  return {
    state: 'standby',
    publishedAt: at - long,
    written: { kind: 'key', ttl: 300, at: at - long },
    proof: { ...proof, negativeTtl: 60 },
    provedSince: at - long,
    waited: long,
    retry: null,
  };
}

/** What people asked for. Commands leave marks; what follows from them is the plan's business. */
import type { Applied } from '../apply.ts';
import { findStream, hasDrifted, isSpoiled } from '../facts.ts';
import { newSigner, newStream } from '../new-domain.ts';
import { mayComeBack } from '../rules.ts';
import type { KeyView, OperatorOutcome, SignerAbilities, SignerView, Snapshot } from '../types.ts';
import { changeSigner, changeStream, dropConditions, dropFromKey } from './change.ts';
import { withAdopted } from './decisions.ts';
import { applyToKey } from './keys.ts';
import { undrifted } from './reports.ts';
import { applyShadow } from './shadows.ts';

export function applyOperator(snapshot: Snapshot, outcome: OperatorOutcome): Applied {
  if ('signerId' in outcome) return applyToSigner(snapshot, outcome);
  if ('keyId' in outcome) return applyToKey(snapshot, outcome);
  switch (outcome.kind) {
    case 'removal-requested':
      if (snapshot.domain.removingAt !== null) return { snapshot, refused: 'already-so' };
      return {
        snapshot: {
          ...snapshot,
          domain: { ...snapshot.domain, removingAt: outcome.at },
          keys: snapshot.keys.map(unkept),
        },
      };
    case 'stream-added':
      if (findStream(snapshot, outcome.stream)) return { snapshot, refused: 'already-so' };
      return {
        snapshot: {
          ...snapshot,
          streams: [...snapshot.streams, newStream(outcome.stream, outcome.policy, outcome.external)],
        },
      };
    case 'shadow-added':
    case 'selector-reserved':
      return applyShadow(snapshot, outcome);
    case 'paused':
    case 'resumed':
      return pauseOrResume(snapshot, outcome);
    default:
      return applyToStream(snapshot, outcome);
  }
}

/** Nothing is kept in a domain that leaves; what a kept key has waited was not for mail on its way. */
function unkept(key: KeyView): KeyView {
  if (key.kept === undefined && key.wanted === undefined) return key;
  const free = dropFromKey(key, 'kept', 'releasedAt', 'wanted');
  return key.state === 'retiring' && key.kept === true ? { ...free, waited: 0 } : free;
}

function applyToStream(
  snapshot: Snapshot,
  outcome: Extract<
    OperatorOutcome,
    { kind: 'policy-set' | 'rotation-requested' | 'rotation-approved' | 'rolled-back' }
  >,
): Applied {
  if (!findStream(snapshot, outcome.stream)) return { snapshot, refused: 'unknown-stream' };
  const { generation } = snapshot.domain;
  switch (outcome.kind) {
    case 'policy-set':
      return { snapshot: changeStream(snapshot, outcome.stream, { policy: outcome.policy }) };
    case 'rotation-requested': {
      // The last word counts: keys that were asked for before make room as well.
      const unwanted = snapshot.keys.map((key) => (key.stream === outcome.stream ? dropFromKey(key, 'wanted') : key));
      const keys = unwanted.every((key, i) => key === snapshot.keys[i]) ? snapshot.keys : unwanted;
      return {
        snapshot: changeStream({ ...snapshot, keys }, outcome.stream, {
          rotateRequestedAt: outcome.at,
          rotateRequestedGeneration: generation,
          heldSince: null,
        }),
      };
    }
    case 'rotation-approved':
      return {
        snapshot: changeStream(snapshot, outcome.stream, { approvedAt: outcome.at, approvedGeneration: generation }),
      };
    case 'rolled-back':
      return rollBack(snapshot, outcome.stream, outcome.at);
  }
}

function pauseOrResume(snapshot: Snapshot, outcome: Extract<OperatorOutcome, { kind: 'paused' | 'resumed' }>): Applied {
  const pausedAt = outcome.kind === 'paused' ? outcome.at : null;
  if (outcome.stream === null) {
    const domain = { ...snapshot.domain, pausedAt };
    const streams =
      outcome.kind === 'resumed' && snapshot.streams.some((stream) => stream.heldSince !== null)
        ? snapshot.streams.map((stream) => (stream.heldSince === null ? stream : { ...stream, heldSince: null }))
        : snapshot.streams;
    if (snapshot.domain.pausedAt === pausedAt && streams === snapshot.streams)
      return { snapshot, refused: 'already-so' };
    return { snapshot: { ...snapshot, domain, streams } };
  }
  if (!findStream(snapshot, outcome.stream)) return { snapshot, refused: 'unknown-stream' };
  const held = outcome.kind === 'resumed' ? { heldSince: null } : {};
  return { snapshot: changeStream(snapshot, outcome.stream, { pausedAt, ...held }) };
}

/**
 * Rolls back the last rotation, while one of the keys that it replaces can still come back. The new keys are those that
 * entered after every retiring key did, or, where nothing has left yet, those that entered last; they are rejected, and the
 * stream is held so that the clock does not start the same rotation again.
 */
function rollBack(snapshot: Snapshot, stream: string, at: number): Applied {
  if (findStream(snapshot, stream)?.heldSince !== null) return { snapshot, refused: 'nothing-to-roll-back' };
  const keys = snapshot.keys.filter((key) => key.stream === stream && !isSpoiled(key));
  const active = keys.filter((key) => key.state === 'active');
  const retiring = keys.filter((key) => key.state === 'retiring');
  const entered = (key: KeyView): number => key.enteredGeneration ?? 0;
  const lastLeaver = Math.max(0, ...retiring.map(entered));
  const newest = Math.max(0, ...active.map(entered));
  const rejected = active.filter((key) => (retiring.length > 0 ? entered(key) > lastLeaver : entered(key) === newest));
  const firstIn = Math.min(...rejected.map(entered));
  const old = [
    ...active.filter((key) => !rejected.includes(key)),
    ...retiring.filter((key) => (key.leftGeneration ?? 0) >= firstIn && mayComeBack(key)),
  ];
  if (rejected.length === 0 || old.length === 0) return { snapshot, refused: 'nothing-to-roll-back' };
  const ids = new Set(rejected.map((key) => key.id));
  return {
    snapshot: {
      ...changeStream(snapshot, stream, { heldSince: at }),
      keys: snapshot.keys.map((key) => (ids.has(key.id) ? { ...dropFromKey(key, 'wanted'), rejectedAt: at } : key)),
    },
  };
}

function addSigner(
  snapshot: Snapshot,
  known: SignerView | undefined,
  { signerId, streams, abilities }: Extract<OperatorOutcome, { kind: 'signer-added' }>,
): Applied {
  if (known === undefined)
    return { snapshot: { ...snapshot, signers: [...snapshot.signers, newSigner(signerId, streams, abilities)] } };
  if (known.streams.join(' ') === streams.join(' ') && sameAbilities(known.abilities, abilities))
    return { snapshot, refused: 'already-so' };
  const { abilities: _, ...rest } = known;
  const changed: SignerView = { ...rest, streams, ...(abilities === undefined ? {} : { abilities }) };
  return { snapshot: { ...snapshot, signers: snapshot.signers.map((each) => (each === known ? changed : each)) } };
}

export function sameAbilities(a: SignerAbilities | undefined, b: SignerAbilities | undefined): boolean {
  return a?.atMost === b?.atMost && a?.algorithms.join(' ') === b?.algorithms.join(' ');
}

function applyToSigner(snapshot: Snapshot, outcome: Extract<OperatorOutcome, { signerId: string }>): Applied {
  const signer = snapshot.signers.find((s) => s.id === outcome.signerId);
  if (outcome.kind === 'signer-added') return addSigner(snapshot, signer, outcome);
  if (signer === undefined) return { snapshot, refused: 'unknown-signer' };
  switch (outcome.kind) {
    case 'signer-set-aside':
      if (signer.setAsideAt !== null) return { snapshot, refused: 'already-so' };
      return { snapshot: changeSigner(snapshot, signer.id, { setAsideAt: outcome.at }) };
    case 'drift-restored':
      if (!hasDrifted(signer)) return { snapshot, refused: 'already-so' };
      // What it signs with now is not known: it is given its keyring anew, and every key is tested again.
      return { snapshot: undrifted(snapshot, signer, { acknowledgedGeneration: 0, retry: null, restoring: true }) };
    case 'drift-adopted': {
      if (signer.drift === undefined) return { snapshot, refused: 'already-so' };
      const { at, message } = signer.drift;
      const adopting = changeSigner(snapshot, signer.id, { drift: { at, message, adopting: outcome.keyIds } });
      return { snapshot: withAdopted(adopting) };
    }
    case 'signer-brought-back':
      if (signer.setAsideAt === null) return { snapshot, refused: 'already-so' };
      return { snapshot: changeSigner(snapshot, signer.id, { setAsideAt: null, retry: null }) };
    case 'signer-removed': {
      const gone = { ...snapshot, signers: snapshot.signers.filter((s) => s !== signer) };
      return {
        snapshot: dropConditions(
          gone,
          { kind: 'signer', id: signer.id },
          gone.conditions.map((c) => c.reason),
        ),
      };
    }
  }
}

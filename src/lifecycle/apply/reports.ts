/** Reports of the world: what was made, written, seen, loaded and signed. Facts are taken whatever they say. */
import type { Applied } from '../apply.ts';
import { findKey, isPipeline, isReleased } from '../facts.ts';
import { newKey } from '../new-domain.ts';
import { ownerOfSelector } from '../shadow-token.ts';
import type { Condition, KeyView, Outcome, SignerView, Snapshot } from '../types.ts';
import { addCondition, changeKey, changeSigner, dropConditions } from './change.ts';

type Report = Extract<
  Outcome,
  {
    kind:
      | 'key-created'
      | 'key-not-created'
      | 'key-imported'
      | 'key-copied'
      | 'record-written'
      | 'record-not-written'
      | 'proved'
      | 'acknowledged'
      | 'not-acknowledged'
      | 'signature-seen'
      | 'self-test-failed'
      | 'drift-found'
      | 'drift-gone'
      | 'private-key-destroyed';
  }
>;

/** The conditions that a failed write leaves; plan keeps them until the record is as it should be. */
export const WRITE_REASONS = ['record-waiting', 'record-conflict', 'record-refused', 'write-failed'] as const;
/** The conditions that a signer's failures leave. */
export const DELIVERY_REASON = 'signer-not-acknowledging';
/** The condition of a stream whose next key cannot be made; it stands for as long as one is wanted. */
export const NOT_MADE_REASON = 'key-not-made';
export const SELF_TEST_REASON = 'self-test-failed';

export function applyReport(snapshot: Snapshot, report: Report): Applied {
  switch (report.kind) {
    case 'key-created':
      return addKey(snapshot, newKey({ ...report.key, ownership: 'ours', imported: false }, report.at));
    case 'key-not-created': {
      const { stream, message, at } = report;
      const subject = { kind: 'stream', id: stream } as const;
      return {
        snapshot: addCondition(snapshot, { subject, reason: NOT_MADE_REASON, severity: 'warning', message, since: at }),
      };
    }
    case 'key-imported':
      return addKey(
        snapshot,
        newKey(
          { ...report.key, imported: true, ...(report.kept === undefined ? {} : { kept: report.kept }) },
          report.at,
        ),
      );
    case 'key-copied':
      return copyKey(snapshot, report);
    case 'acknowledged':
    case 'not-acknowledged':
      return applyToSigner(snapshot, report);
    case 'drift-found':
    case 'drift-gone':
      return drift(snapshot, report);
    default:
      return applyToKey(snapshot, report);
  }
}

/** Making the same key again, or another for a selector that is taken, is harmless: the first one stands. */
function addKey(snapshot: Snapshot, key: KeyView, from?: string): Applied {
  if (snapshot.domain.removingAt !== null) return { snapshot, refused: 'removing' };
  if (snapshot.keys.some((other) => other.id === key.id)) return { snapshot, refused: 'already-so' };
  const before = snapshot.keys.filter((other) => other.selector === key.selector);
  const owner = ownerOfSelector(snapshot.domain, key.selector);
  if (before.some((other) => !mayFollow(other, key)) || (owner !== null && owner !== from))
    return { snapshot, refused: 'selector-taken' };
  if (!snapshot.streams.some((stream) => stream.name === key.stream)) return { snapshot, refused: 'unknown-stream' };
  const earlierTtl = Math.max(0, ...before.map((other) => other.longestTtl ?? 0));
  const added = earlierTtl > 0 ? { ...key, earlierTtl } : key;
  return { snapshot: { ...snapshot, keys: [...snapshot.keys, added] } };
}

/** A slot is used again after its key's end; somebody else's selector holds what its owner puts there. */
function mayFollow(before: KeyView, key: KeyView): boolean {
  if (before.state !== 'removed') return false;
  return key.slot === true || (before.ownership === 'external' && key.ownership === 'external');
}

/** The same pair under the same selector is the copy that was asked for: it was interrupted, or is repeated. */
function copyKey(snapshot: Snapshot, report: Extract<Report, { kind: 'key-copied' }>): Applied {
  const { key, from, kept, known, handedTo, at } = report;
  const there = snapshot.keys.find((other) => other.selector === key.selector && other.state !== 'removed');
  if (there?.publicKey === key.publicKey) return { snapshot, refused: 'already-so' };
  const made = newKey(
    {
      ...key,
      ownership: 'ours',
      imported: false,
      copiedFrom: from,
      ...(kept ? { kept } : {}),
      ...(handedTo === undefined ? {} : { handedTo }),
    },
    at,
  );
  return addKey(snapshot, known === undefined ? made : { ...made, ...known }, from.slice(0, from.indexOf('/')));
}

function applyToKey(snapshot: Snapshot, report: Extract<Report, { keyId: string }>): Applied {
  const key = findKey(snapshot, report.keyId);
  if (key === undefined) return { snapshot, refused: 'unknown-key' };
  switch (report.kind) {
    case 'record-written': {
      const written = { kind: report.record, ttl: report.ttl, at: report.at };
      const changed = changeKey(snapshot, key.id, { written, retry: null, ...longer(key, report.ttl) });
      return { snapshot: dropConditions(changed, { kind: 'key', id: key.id }, WRITE_REASONS) };
    }
    case 'record-not-written': {
      const retry = { at: report.at, failures: (key.retry?.failures ?? 0) + 1 };
      return { snapshot: addCondition(changeKey(snapshot, key.id, { retry }), notWritten(key, report)) };
    }
    case 'proved':
      return proved(snapshot, key, report.proof);
    case 'signature-seen':
      return signatureSeen(snapshot, key, report);
    case 'self-test-failed':
      return selfTestFailed(snapshot, key, report);
    case 'private-key-destroyed':
      if (key.privateKeyDestroyedAt !== null) return { snapshot, refused: 'already-so' };
      return { snapshot: changeKey(snapshot, key.id, { privateKeyDestroyedAt: report.at }) };
  }
}

/** Only keys of slots need to know it: what comes after them waits for it. */
function longer(key: KeyView, ttl: number | null): Pick<KeyView, 'longestTtl'> {
  return key.slot === true && ttl !== null ? { longestTtl: Math.max(key.longestTtl ?? 0, ttl) } : {};
}

function notWritten(key: KeyView, report: Extract<Report, { kind: 'record-not-written' }>): Condition {
  const [reason, severity] = (
    {
      waiting: ['record-waiting', 'info'],
      conflict: ['record-conflict', 'warning'],
      refused: ['record-refused', 'warning'],
      failed: ['write-failed', 'warning'],
    } as const
  )[report.reason];
  return { subject: { kind: 'key', id: key.id }, reason, severity, message: report.message, since: report.at };
}

/**
 * A proof of something else than the key's state asks for is late. Verdicts that speak against the record end the wait for the
 * negative cache; a server that cannot be asked only interrupts it.
 */
function proved(snapshot: Snapshot, key: KeyView, proof: NonNullable<KeyView['proof']>): Applied {
  const fits =
    key.state === 'removed' ? false : key.state === 'revoked' ? proof.expected !== 'key' : proof.expected === 'key';
  if (!fits) return { snapshot, refused: 'stale' };
  const sameQuestion = key.proof === null || key.proof.expected === proof.expected;
  if (sameQuestion && key.proof !== null && proof.at < key.proof.at) return { snapshot, refused: 'stale' };
  const ttl = longer(key, proof.ttl);
  if (proof.verdict === 'seen') {
    const provedSince = sameQuestion ? (key.provedSince ?? proof.at) : proof.at;
    return { snapshot: changeKey(snapshot, key.id, { proof, provedSince, ...ttl }) };
  }
  // In a domain that leaves, the wait of an imported key is for mail that it signed before.
  const onItsWay = isPipeline(key) && !(key.imported && (snapshot.domain.removingAt !== null || isReleased(key)));
  // One that signs, or is kept for later, may enter (again): what resolvers remember of its absence is waited for then.
  const waitsForCache = onItsWay || key.state === 'active' || (key.state === 'retiring' && key.kept === true);
  const speaksAgainst = proof.verdict !== 'unreachable';
  // A server that was silent has not said that the record of a key in use was away: a rollback may still need that key.
  const keepsStanding = !speaksAgainst && (key.state === 'active' || key.state === 'retiring');
  return {
    snapshot: changeKey(snapshot, key.id, {
      proof,
      ...ttl,
      provedSince: keepsStanding ? key.provedSince : null,
      ...(waitsForCache && speaksAgainst ? { waited: 0 } : {}),
    }),
  };
}

/** A retiring key that is seen to sign starts its overlap anew. */
function signatureSeen(
  snapshot: Snapshot,
  key: KeyView,
  { signerId, at }: Extract<Report, { kind: 'signature-seen' }>,
): Applied {
  if (!snapshot.signers.some((signer) => signer.id === signerId)) return { snapshot, refused: 'unknown-signer' };
  const before = key.signaturesSeen[signerId];
  if (key.state !== 'active' && key.state !== 'retiring') return { snapshot, refused: 'wrong-state' };
  if (before === at || (key.state === 'active' && before !== undefined && at < before))
    return { snapshot, refused: 'already-so' };
  const signaturesSeen = { ...key.signaturesSeen, [signerId]: at };
  const waited = key.state === 'retiring' ? 0 : key.waited;
  const changed = changeKey(snapshot, key.id, { signaturesSeen, waited });
  return { snapshot: settle(changed, signerId) };
}

/** After a success of a signer its failures are forgotten. */
function settle(snapshot: Snapshot, signerId: string): Snapshot {
  const signer = snapshot.signers.find((s) => s.id === signerId);
  const calmed = signer?.retry ? changeSigner(snapshot, signerId, { retry: null }) : snapshot;
  return dropConditions(calmed, { kind: 'signer', id: signerId }, [SELF_TEST_REASON]);
}

function selfTestFailed(
  snapshot: Snapshot,
  key: KeyView,
  { signerId, at, message }: Extract<Report, { kind: 'self-test-failed' }>,
): Applied {
  const signer = snapshot.signers.find((s) => s.id === signerId);
  if (signer === undefined) return { snapshot, refused: 'unknown-signer' };
  return {
    snapshot: addCondition(changeSigner(snapshot, signerId, { retry: failedAgain(signer, at) }), {
      subject: { kind: 'signer', id: signerId },
      reason: SELF_TEST_REASON,
      severity: 'warning',
      message: `The test message that ${signerId} should have signed with ${key.selector} failed: ${message}`,
      since: at,
    }),
  };
}

/**
 * The signer's own word on what it has loaded is taken even if it is less than before (it restarted with an old keyring): it
 * is then given the current one again, and nothing that needs its acknowledgement goes on until it has it.
 */
function applyToSigner(
  snapshot: Snapshot,
  report: Extract<Report, { kind: 'acknowledged' | 'not-acknowledged' }>,
): Applied {
  const { signerId, at } = report;
  const signer = snapshot.signers.find((s) => s.id === signerId);
  if (signer === undefined) return { snapshot, refused: 'unknown-signer' };
  if (report.kind === 'not-acknowledged') {
    return {
      snapshot: addCondition(changeSigner(snapshot, signerId, { retry: failedAgain(signer, at) }), {
        subject: { kind: 'signer', id: signerId },
        reason: DELIVERY_REASON,
        severity: 'warning',
        message: report.message,
        since: at,
      }),
    };
  }
  const { generation } = report;
  if (!Number.isSafeInteger(generation)) return { snapshot, refused: 'unknown-generation' };
  if (generation > snapshot.domain.generation) return { snapshot: overtake(snapshot, signerId, generation, at) };
  if (generation === signer.acknowledgedGeneration) {
    return signer.retry === null
      ? { snapshot, refused: 'already-so' }
      : { snapshot: acknowledge(snapshot, signerId, {}) };
  }
  return {
    snapshot: acknowledge(snapshot, signerId, { acknowledgedGeneration: generation, acknowledgedAt: at }),
  };
}

/**
 * A signer has a keyring that this store never made: the store was put back from a backup. No signer would take less than it
 * has, so the store goes on from there. What was acknowledged before says nothing about those keyrings: every key counts as
 * if it had entered, or left, just now.
 */
function overtake(snapshot: Snapshot, signerId: string, reported: number, at: number): Snapshot {
  const generation = reported + 1;
  const overtaken = {
    ...snapshot,
    domain: { ...snapshot.domain, generation },
    keys: snapshot.keys.map((key) => {
      if (key.state === 'active') return { ...key, enteredGeneration: generation, signaturesSeen: {} };
      if (key.state === 'retiring') return { ...key, leftGeneration: generation, waited: 0 };
      return key;
    }),
  };
  return acknowledge(overtaken, signerId, { acknowledgedGeneration: reported, acknowledgedAt: at });
}

function drift(snapshot: Snapshot, report: Extract<Report, { kind: 'drift-found' | 'drift-gone' }>): Applied {
  const signer = snapshot.signers.find((s) => s.id === report.signerId);
  if (signer === undefined) return { snapshot, refused: 'unknown-signer' };
  const known = signer.drift;
  if (report.kind === 'drift-gone')
    return known === undefined ? { snapshot, refused: 'already-so' } : { snapshot: undrifted(snapshot, signer, {}) };
  if (known?.message === report.message) return { snapshot, refused: 'already-so' };
  const { at, message } = report;
  return { snapshot: changeSigner(snapshot, signer.id, { drift: { at: known?.at ?? at, message }, retry: null }) };
}

/** The signer without its drift; what it acknowledged before counts again unless `change` says otherwise. */
export function undrifted(snapshot: Snapshot, signer: SignerView, change: Partial<SignerView>): Snapshot {
  const { drift: _, ...rest } = signer;
  return { ...snapshot, signers: snapshot.signers.map((each) => (each === signer ? { ...rest, ...change } : each)) };
}

function acknowledge(snapshot: Snapshot, signerId: string, change: Partial<SignerView>): Snapshot {
  const signers = snapshot.signers.map((signer) => {
    if (signer.id !== signerId) return signer;
    const { restoring: _, ...rest } = signer;
    return { ...rest, ...change, retry: null };
  });
  return dropConditions({ ...snapshot, signers }, { kind: 'signer', id: signerId }, [DELIVERY_REASON]);
}

function failedAgain(signer: SignerView, at: number): NonNullable<SignerView['retry']> {
  return { at, failures: (signer.retry?.failures ?? 0) + 1 };
}

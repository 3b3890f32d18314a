/** Immutable changes that keep the identity of everything they do not touch. */
import type { Condition, KeyView, SignerView, Snapshot, StreamView, Subject } from '../types.ts';

export function changeKey(snapshot: Snapshot, id: string, change: Partial<KeyView>): Snapshot {
  return { ...snapshot, keys: snapshot.keys.map((key) => (key.id === id ? { ...key, ...change } : key)) };
}

/** The key without some of what it may have. */
export function dropFromKey<F extends 'kept' | 'releasedAt' | 'wanted'>(
  key: KeyView,
  ...fields: readonly F[]
): KeyView {
  if (fields.every((field) => key[field] === undefined)) return key;
  return Object.fromEntries(Object.entries(key).filter(([name]) => !fields.includes(name as F))) as unknown as KeyView;
}

export function changeStream(snapshot: Snapshot, name: string, change: Partial<StreamView>): Snapshot {
  return {
    ...snapshot,
    streams: snapshot.streams.map((stream) => (stream.name === name ? { ...stream, ...change } : stream)),
  };
}

export function changeSigner(snapshot: Snapshot, id: string, change: Partial<SignerView>): Snapshot {
  return {
    ...snapshot,
    signers: snapshot.signers.map((signer) => (signer.id === id ? { ...signer, ...change } : signer)),
  };
}

export function sameSubject(a: Subject, b: Subject): boolean {
  return a.kind === b.kind && (a.kind === 'domain' || b.kind === 'domain' || a.id === b.id);
}

/** Puts a condition in place of the one with the same subject and reason, whose `since` it keeps. */
export function addCondition(snapshot: Snapshot, condition: Condition): Snapshot {
  const old = snapshot.conditions.find(
    (c) => c.reason === condition.reason && sameSubject(c.subject, condition.subject),
  );
  if (old === undefined) return { ...snapshot, conditions: [...snapshot.conditions, condition] };
  if (old.message === condition.message && old.severity === condition.severity) return snapshot;
  const kept = { ...condition, since: old.since };
  return { ...snapshot, conditions: snapshot.conditions.map((c) => (c === old ? kept : c)) };
}

/** Drops the conditions of a subject that bear one of these reasons. */
export function dropConditions(snapshot: Snapshot, subject: Subject, reasons: readonly string[]): Snapshot {
  const kept = snapshot.conditions.filter((c) => !(reasons.includes(c.reason) && sameSubject(c.subject, subject)));
  return kept.length === snapshot.conditions.length ? snapshot : { ...snapshot, conditions: kept };
}

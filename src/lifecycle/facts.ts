/** Questions about a snapshot that everything else is built of. Pure lookups: no policy decides here. */
import type { Policy } from './policy.ts';
import { mayEnterFrom } from './transitions.ts';
import type { DomainView, KeyAlgorithm, KeyView, RecordKind, SignerView, Snapshot, StreamView } from './types.ts';

/** The policy that rules a stream: its own, else the domain's. */
export function policyOf(stream: StreamView | undefined, domainPolicy: Policy): Policy {
  return stream?.policy ?? domainPolicy;
}

export function findKey(snapshot: Snapshot, id: string): KeyView | undefined {
  return snapshot.keys.find((key) => key.id === id);
}

/** The key that has a selector now, or had it last: those of a slot come one after another. */
export function keyOfSelector(snapshot: Snapshot, selector: string): KeyView | undefined {
  return snapshot.keys.findLast((key) => key.selector === selector);
}

export function findStream(snapshot: Snapshot, name: string): StreamView | undefined {
  return snapshot.streams.find((stream) => stream.name === name);
}

/** Not to be used again, whatever its record says. */
export function isSpoiled(key: KeyView): boolean {
  return key.compromisedAt !== null || key.rejectedAt !== null;
}

/** The last proof saw the public key on every authoritative server. */
export function isSeen(key: KeyView, expected: RecordKind = 'key'): boolean {
  return key.proof?.verdict === 'seen' && key.proof.expected === expected;
}

/** Seen, and the proof is no older than the policy lets one rely on. A proof from the future (a clock that jumped back) is none. */
export function isFreshlySeen(key: KeyView, policy: Policy, now: number): boolean {
  return isSeen(key) && key.proof !== null && key.proof.at <= now && now - key.proof.at <= policy.proofFresh;
}

/** The signers that count: those which an operator has not set aside. */
export function countedSigners(snapshot: Snapshot): readonly SignerView[] {
  return snapshot.signers.filter((signer) => signer.setAsideAt === null);
}

export function signersOf(snapshot: Snapshot, stream: string): readonly SignerView[] {
  return snapshot.signers.filter((signer) => signer.setAsideAt === null && signer.streams.includes(stream));
}

/** The signer can sign with keys of this algorithm. */
export function canSignWith({ abilities }: SignerView, algorithm: KeyAlgorithm): boolean {
  return abilities === undefined || abilities.algorithms.includes(algorithm);
}

/** The signers that count, sign the key's stream and can sign with a key of its algorithm. */
export function signersOfKey(snapshot: Snapshot, key: KeyView): readonly SignerView[] {
  return signersOf(snapshot, key.stream).filter((signer) => canSignWith(signer, key.algorithm));
}

/** A signer that takes only so many keys passes this active one over. */
function isPassedOver(snapshot: Snapshot, key: KeyView): boolean {
  return signersOfKey(snapshot, key).some(
    (signer) =>
      (signer.abilities?.atMost ?? null) !== null &&
      !chosenBy(snapshot, signer, key.stream).some((chosen) => chosen.id === key.id),
  );
}

/**
 * Standby keys enter; so do retiring ones, when a rotation is rolled back or they are asked for; and an active one enters again, to be
 * the latest, where a signer that takes only so many passes it over.
 */
export function mayEnter(snapshot: Snapshot, key: KeyView): boolean {
  return mayEnterFrom(key.state) || (key.state === 'active' && isPassedOver(snapshot, key));
}

/** Whether any signer of the stream, set aside or not, can sign with keys of this algorithm; true where the stream has no signers at all. */
export function isSignable({ signers }: Snapshot, stream: string, algorithm: KeyAlgorithm): boolean {
  const its = signers.filter((signer) => signer.streams.includes(stream));
  return its.length === 0 || its.some((signer) => canSignWith(signer, algorithm));
}

/** Where the records of the domain's keys stand: a shadow's at its main domain. */
export function recordDomain({ name, shadowOf }: DomainView): string {
  return shadowOf ?? name;
}

/** A key on its way that the next rotation may take: made for that, and kept for nothing else. */
export function isStock(key: KeyView): boolean {
  return isPipeline(key) && !key.imported && key.kept === undefined && key.wanted === undefined && !isSpoiled(key);
}

/** Let go by its keeper before it ever signed: it goes. */
export function isReleased(key: KeyView): boolean {
  return key.kept === false && isPipeline(key);
}

/** Somebody changed by hand what it signs with: its acknowledgements say nothing. */
export function hasDrifted(signer: SignerView): boolean {
  return signer.drift !== undefined;
}

/** Every signer of the key (there is at least one) has loaded a keyring with this active key in it. */
export function isAcknowledged(snapshot: Snapshot, key: KeyView): boolean {
  const entered = key.enteredGeneration;
  if (entered === null) return false;
  const signers = signersOfKey(snapshot, key);
  return (
    signers.length > 0 && signers.every((signer) => signer.acknowledgedGeneration >= entered && !hasDrifted(signer))
  );
}

/**
 * The active keys of a stream that the signer signs with, given a keyring of what is active now without `leave`: those that it can
 * sign with, and of these the ones that entered last where it takes no more than so many. Signers choose by the same order.
 */
export function chosenBy(
  snapshot: Snapshot,
  signer: SignerView,
  stream: string,
  leave: readonly string[] = [],
): readonly KeyView[] {
  if (!signer.streams.includes(stream)) return [];
  const able = snapshot.keys.filter(
    (key) =>
      key.state === 'active' &&
      key.stream === stream &&
      canSignWith(signer, key.algorithm) &&
      (leave.length === 0 || !leave.includes(key.id)),
  );
  const atMost = signer.abilities?.atMost ?? null;
  if (atMost === null || able.length <= atMost) return able;
  return able.toSorted((a, b) => (b.enteredGeneration ?? 0) - (a.enteredGeneration ?? 0)).slice(0, atMost);
}

/** The signers that count and sign with this active key, once the keys in `leave` have left. */
export function choosersOf(snapshot: Snapshot, key: KeyView, leave: readonly string[] = []): readonly SignerView[] {
  return signersOfKey(snapshot, key).filter(
    (signer) =>
      (signer.abilities?.atMost ?? null) === null ||
      chosenBy(snapshot, signer, key.stream, leave).some((chosen) => chosen.id === key.id),
  );
}

/**
 * Every signer that signs with the key (there is at least one), once the keys in `leave` have left, has been seen to sign with it since
 * it entered.
 */
export function hasSigned(snapshot: Snapshot, key: KeyView, leave: readonly string[] = []): boolean {
  const signers = choosersOf(snapshot, key, leave);
  return signers.length > 0 && signers.every((signer) => key.signaturesSeen[signer.id] !== undefined);
}

/**
 * Every signer of the domain, whatever streams it signs, has loaded a keyring without the key. A key that never was in a
 * keyring is absent everywhere.
 */
export function isAbsentEverywhere(snapshot: Snapshot, key: KeyView): boolean {
  if (key.enteredGeneration === null) return true;
  const left = key.leftGeneration;
  if (left === null) return false;
  return snapshot.signers.every(
    (signer) => signer.setAsideAt !== null || (signer.acknowledgedGeneration >= left && !hasDrifted(signer)),
  );
}

/**
 * An imported key whose record has been there all along: it was found as it stood, and nobody had to write it. One that had to be
 * published first is new to resolvers, whatever it signed before.
 */
export function stoodBeforeUs(key: KeyView): boolean {
  return key.imported && key.written === null && key.retry === null;
}

/** Key made, not yet used: on its way to becoming a successor. */
export function isPipeline(key: KeyView): boolean {
  return key.state === 'created' || key.state === 'published' || key.state === 'standby';
}

/** A stable number in [-1, 1) from a key's id (FNV-1a, 32 bits). */
export function spread(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  // FNV's low bits move first: fold the high ones in, so that ids that differ in one letter lie far apart.
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  hash ^= hash >>> 13;
  return (hash >>> 0) / 0x80000000 - 1;
}

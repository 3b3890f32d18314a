/** Carries out one step that touches the world. What the world answers, failures too, comes back as outcomes; nothing is thrown for it. */

import type { Expected } from '../dns/lookup/judge.ts';
import { summarize } from '../dns/lookup/proof.ts';
import type { Clock } from '../lifecycle/clock.ts';
import { recordDomain } from '../lifecycle/facts.ts';
import type { KeyView, Outcome, RecordKind, Step } from '../lifecycle/types.ts';
import type { NewProof } from '../store/proofs.ts';
import type { NewSecret, Store, StoredDomain } from '../store/store.ts';
import { plain } from './events.ts';
import { handOver } from './hand-over.ts';
import { errorText } from './log.ts';
import { type MadeOffer, madeAtSigner } from './made-at-signer.ts';
import { recordName, type World } from './world.ts';

/** Steps that only change the store are the look's own business. */
export type Effect = Extract<
  Step,
  { kind: 'create-key' | 'write-record' | 'prove' | 'deliver' | 'self-test' | 'destroy-private-key' }
>;

/** What came of steps, to be committed with the state that it changes. */
export interface Results {
  readonly outcomes: readonly Outcome[];
  readonly proofs: readonly NewProof[];
  readonly secrets: readonly NewSecret[];
  readonly destroy: readonly string[];
}

export const noResults: Results = { outcomes: [], proofs: [], secrets: [], destroy: [] };

export function joinResults(all: readonly Results[]): Results {
  return {
    outcomes: all.flatMap((r) => r.outcomes),
    proofs: all.flatMap((r) => r.proofs),
    secrets: all.flatMap((r) => r.secrets),
    destroy: all.flatMap((r) => r.destroy),
  };
}

export interface Performer {
  readonly store: Store;
  readonly world: World;
  readonly clock: Clock;
}

/** True for effects that this process can carry out; a signer of another process is that process's business. */
export function isOurs(effect: Effect, world: World): boolean {
  return (effect.kind !== 'deliver' && effect.kind !== 'self-test') || world.signers.has(effect.signerId);
}

export async function perform(
  effect: Effect,
  domain: StoredDomain,
  performer: Performer,
  signal: AbortSignal,
): Promise<Results> {
  const outcomes = (...list: Outcome[]): Results => ({ ...noResults, outcomes: list });
  switch (effect.kind) {
    case 'create-key':
      return createKey(effect, domain, performer, signal);
    case 'write-record':
      return outcomes(await writeRecord(effect, domain, performer, signal));
    case 'prove':
      return prove(effect, domain, performer, signal);
    case 'deliver':
      return outcomes(await deliver(effect, domain, performer));
    case 'self-test':
      return outcomes(...(await selfTest(effect, domain, performer)));
    case 'destroy-private-key': {
      const outcome: Outcome = { kind: 'private-key-destroyed', at: performer.clock.now(), keyId: effect.keyId };
      return { ...noResults, outcomes: [outcome], destroy: [effect.keyId] };
    }
  }
}

async function createKey(
  step: Extract<Effect, { kind: 'create-key' }>,
  { snapshot }: StoredDomain,
  { world, clock }: Performer,
  signal: AbortSignal,
): Promise<Results> {
  const { kind: _, ...named } = step;
  const standing = step.slot === true ? null : await forgotten(named.selector, snapshot, world, signal);
  if (standing !== null) {
    const key = { ...named, id: world.newKeyId(), publicKey: standing, ownership: 'external' as const };
    return { ...noResults, outcomes: [{ kind: 'key-imported', at: clock.now(), key }] };
  }
  let made: MadeOffer | null;
  try {
    made = await madeAtSigner(named, snapshot, world.signers);
  } catch (error) {
    const { stream } = named;
    const message = `The next key of stream ${stream} could not be made, and is tried again: ${errorText(error)}`;
    return { ...noResults, outcomes: [{ kind: 'key-not-created', at: clock.now(), stream, message }] };
  }
  const { publicKey, secret } = made ?? (await world.keyPair(named.algorithm, named.bits));
  const id = world.newKeyId();
  return {
    ...noResults,
    outcomes: [{ kind: 'key-created', at: clock.now(), key: { id, ...named, publicKey } }],
    secrets: secret === null ? [] : [secret(id)],
  };
}

/**
 * The public key of a record at the selector which the store has forgotten; null for none. The selector is then not used: resolvers may
 * remember that record, and signatures may be on their way that need it.
 */
async function forgotten(
  selector: string,
  { domain }: StoredDomain['snapshot'],
  world: World,
  signal: AbortSignal,
): Promise<string | null> {
  const record = await world.standsAt?.(recordName(selector, recordDomain(domain)), signal);
  if (record === undefined || record === null) return null;
  return /(?:^|;)\s*p=([^;]*)/.exec(record)?.[1]?.replace(/\s/g, '') ?? '';
}

async function writeRecord(
  step: Extract<Effect, { kind: 'write-record' }>,
  domain: StoredDomain,
  { store, world, clock }: Performer,
  signal: AbortSignal,
): Promise<Outcome> {
  const key = keyOf(domain, step.keyId);
  const publisher = world.publisherOf(recordDomain(domain.snapshot.domain));
  const value = world.recordText(key, step.record);
  const ttl = Math.max(step.ttl, publisher.capabilities.minimumTtl);
  const failed = (reason: 'waiting' | 'conflict' | 'refused' | 'failed', message: string): Outcome => ({
    kind: 'record-not-written',
    at: clock.now(),
    keyId: key.id,
    reason,
    message,
  });
  try {
    const result = await publisher.apply(
      {
        name: recordName(key.selector, recordDomain(domain.snapshot.domain)),
        desired: value === null ? null : { value, ttl },
        ours: await ourValues(key, domain, world, store),
      },
      signal,
    );
    switch (result.kind) {
      case 'done':
        return {
          kind: 'record-written',
          at: clock.now(),
          keyId: key.id,
          record: step.record,
          ttl: step.ttl,
          value,
          publisher: publisher.name,
          why: step.why,
        };
      case 'waiting':
        return failed('waiting', waitingFor(result.instructions));
      default:
        return failed(result.kind, result.message);
    }
  } catch (error) {
    return failed('failed', `Writing the record of ${key.selector} by ${publisher.name} failed: ${errorText(error)}`);
  }
}

function waitingFor({ action, name, zoneFile }: { action: 'set' | 'delete'; name: string; zoneFile: string }): string {
  return action === 'set'
    ? `Waiting for somebody to set this record by hand; it goes on by itself once DNS shows it: ${zoneFile}`
    : `Waiting for somebody to delete the TXT record at ${name}; it goes on by itself once it is gone from DNS.`;
}

/**
 * Every text that we may have written at the key's name: its own, those of removed keys of the same slot, and for a key taken over
 * the one that stood there with the same key in it. A removed key's late write finds its successor's text, which is not its own.
 */
async function ourValues(key: KeyView, { snapshot }: StoredDomain, world: World, store: Store): Promise<string[]> {
  const before = snapshot.keys.filter((other) => other.selector === key.selector && other.state === 'removed');
  const ours = [key, ...(key.state === 'removed' ? [] : before)]
    .flatMap((each) => [world.recordText(each, 'key'), world.recordText(each, 'revoked')])
    .filter((text) => text !== null);
  if (!isTakenOver(key)) return ours;
  const seen = (await store.proofs(key.id)).find((proof) => proof.expected === 'key' && proof.verdict === 'seen');
  const answers: unknown = seen === undefined ? [] : (seen.detail as { answers?: unknown }).answers;
  const values = Array.isArray(answers) ? answers.flatMap((answer: { values?: unknown }) => answer.values ?? []) : [];
  return [...new Set([...ours, ...values.filter((value) => typeof value === 'string')])];
}

async function prove(
  step: Extract<Effect, { kind: 'prove' }>,
  domain: StoredDomain,
  { world }: Performer,
  signal: AbortSignal,
): Promise<Results> {
  const key = keyOf(domain, step.keyId);
  const value = world.recordText(key, step.expected);
  const proof = await world.prove(
    recordName(key.selector, recordDomain(domain.snapshot.domain)),
    expectedRecord(key, step.expected, value),
    signal,
  );
  const { at, expected, verdict } = proof;
  return {
    ...noResults,
    outcomes: [{ kind: 'proved', keyId: key.id, proof: summarize(proof) }],
    proofs: [{ keyId: key.id, at, expected, verdict, detail: plain(proof) }],
  };
}

/** It came with a record that somebody may have written before us: at its own domain, or at the shadow from which it was copied. */
function isTakenOver({ imported, copiedFrom }: KeyView): boolean {
  return imported || copiedFrom !== undefined;
}

/** A record that stood before us, or is somebody else's, counts in whatever form it is written; one of ours is as we wrote it. */
function expectedRecord(key: KeyView, kind: RecordKind, value: string | null): Expected {
  if (value === null) return { kind: 'absent' };
  if (kind === 'revoked') return { kind, value };
  return { kind: 'key', value, anyForm: key.ownership === 'external' || (isTakenOver(key) && key.written === null) };
}

/** At least the generation asked for is handed over, for the decision was committed before. */
async function deliver(
  { signerId }: Extract<Effect, { kind: 'deliver' }>,
  { snapshot }: StoredDomain,
  { store, world, clock }: Performer,
): Promise<Outcome> {
  const signer = world.signers.get(signerId);
  if (signer !== undefined) return handOver(signer, snapshot, { store, clock });
  const message = `The signer ${signerId} is not reached from this process.`;
  return { kind: 'not-acknowledged', at: clock.now(), signerId, message };
}

async function selfTest(
  step: Extract<Effect, { kind: 'self-test' }>,
  domain: StoredDomain,
  { world, clock }: Performer,
): Promise<Outcome[]> {
  const { signerId, keyId } = step;
  const key = keyOf(domain, keyId);
  const signer = world.signers.get(signerId);
  if (signer === undefined) return [];
  let message: string;
  try {
    const test = await signer.selfTest(domain.snapshot.domain.name, key.stream, key.selector);
    if (test.kind === 'signed') return [{ kind: 'signature-seen', at: clock.now(), signerId, keyId }];
    message = test.message;
  } catch (error) {
    message = errorText(error);
  }
  return [{ kind: 'self-test-failed', at: clock.now(), signerId, keyId, message }];
}

function keyOf(domain: StoredDomain, keyId: string): KeyView {
  const key = domain.snapshot.keys.find((candidate) => candidate.id === keyId);
  if (key === undefined)
    throw new Error(`the plan of ${domain.snapshot.domain.name} names the key ${keyId}, which it does not have`);
  return key;
}

/**
 * Accepting a store that was put back from an old backup. What happened since is not in it: keys that it takes for active may have been
 * withdrawn, and even be in other hands. DNS knows: every key is asked for, and one whose record does not stand there any more is given
 * up. Where that leaves a stream without a key its mail is put off, and new keys are made as fast as caches allow.
 */

import type { Expected } from '../dns/lookup/judge.ts';
import { type Proof, summarize } from '../dns/lookup/proof.ts';
import { recordDomain } from '../lifecycle/facts.ts';
import type { KeyState, KeyView, Outcome, Snapshot } from '../lifecycle/types.ts';
import { plain } from './events.ts';
import { fold } from './fold.ts';
import { createLimit } from './limit.ts';
import type { Operator } from './operations.ts';
import { recordText } from './records.ts';
import { ACCEPTED, type StoreAge } from './witness.ts';
import { recordName } from './world.ts';

export interface Restore {
  readonly operator: Operator;
  readonly prove: (name: string, expected: Expected, signal: AbortSignal) => Promise<Proof>;
  readonly age: StoreAge;
  /** Keys about which DNS says nothing (no server answers) are given up too, instead of standing in the way. */
  readonly giveUpSilent: boolean;
  readonly progress?: (domains: number) => void;
}

export interface RestoreReport {
  readonly domains: number;
  readonly keys: number;
  /** Keys whose records do not stand in DNS any more: never handed to a signer again. */
  readonly givenUp: readonly { readonly domain: string; readonly selector: string; readonly found: string }[];
  /** Domains whose DNS could not be asked. While there are any the store is not accepted. */
  readonly silent: readonly string[];
  /** Streams (`domain/stream`) that are left without a key: their mail is put off until new ones are ready. */
  readonly bare: readonly string[];
  readonly accepted: boolean;
}

const inUse: readonly KeyState[] = ['created', 'published', 'standby', 'active', 'retiring'];
/** Domains asked about at once. */
const together = 32;
const patience = 30_000;
/**
 * Generations grow by one entry of the journal at least, so that no signer can be further ahead than entries are missing; and a little,
 * for what nobody noted any more.
 */
const margin = 1000;

/** Goes through every domain; may be repeated, and goes on where it was interrupted. Nothing is accepted while `silent` is not empty. */
export async function acceptRestore(restore: Restore): Promise<RestoreReport> {
  const { operator, age, progress } = restore;
  const { store, clock, actor, dryRun = false } = operator;
  const report = { domains: 0, keys: 0, givenUp: [], silent: [], bare: [] } satisfies Mutable<RestoreReport>;
  const raise = (age.kind === 'older' ? age.missing : 0) + margin;
  const limit = createLimit(together);
  let after: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof store.listDomains>> = await store.listDomains({}, { limit: 500, after });
    await Promise.all(
      page.items.map(({ name }) =>
        limit(async () => {
          await acceptDomain(name, raise, restore, report);
          report.domains++;
          progress?.(report.domains);
        }),
      ),
    );
    after = page.next;
  } while (after !== null);
  const accepted = report.silent.length === 0 && !dryRun;
  if (accepted) {
    const details = plain({
      domains: report.domains,
      givenUp: report.givenUp.length,
      ...(age.kind === 'older'
        ? { noted: age.mark, entries: age.entries, missing: age.missing, unmet: age.unmet }
        : {}),
    });
    await store.journal.append([
      { actor: actor.name, source: actor.source, domain: null, kind: ACCEPTED, details, at: clock.now() },
    ]);
  }
  return { ...report, accepted };
}

type Mutable<T> = { -readonly [K in keyof Omit<T, 'accepted'>]: T[K] extends readonly (infer E)[] ? E[] : T[K] };

async function acceptDomain(
  name: string,
  raise: number,
  { operator, prove, giveUpSilent }: Restore,
  report: Mutable<RestoreReport>,
): Promise<void> {
  const { store, clock, actor, dryRun = false } = operator;
  for (;;) {
    const stored = await store.snapshot(name);
    if (stored === null) return;
    const { snapshot } = stored;
    const asked = snapshot.keys.filter((key) => key.ownership === 'ours' && inUse.includes(key.state));
    const found = await Promise.all(asked.map((key) => lookUp(key, snapshot, prove)));
    if (!giveUpSilent && found.some(({ proof }) => isSilent(proof))) {
      report.silent.push(name);
      return;
    }
    const now = clock.now();
    const gone = found.filter(({ proof }) => proof.verdict !== 'seen').map(({ key }) => key);
    const folded = fold(
      snapshot,
      [
        ...found.map(({ key, proof }): Outcome => ({ kind: 'proved', keyId: key.id, proof: summarize(proof) })),
        ...gone.map(({ id }): Outcome => ({ kind: 'compromised', at: now, keyId: id })),
      ],
      actor,
    );
    const after = raised(folded.snapshot, raise, new Set(gone.map(({ id }) => id)), now);
    const { generation } = after.domain;
    const event = { actor: actor.name, source: actor.source, domain: name, at: now };
    const leave = gone.filter(({ state }) => state === 'active').map(({ selector }) => selector);
    const change =
      leave.length > 0
        ? { ...event, kind: 'active-changed', details: { enter: [], leave, generation } }
        : { ...event, kind: 'generation-raised', details: { generation } };
    const result = dryRun
      ? null
      : await store.commit(
          { name, version: stored.version },
          {
            before: snapshot,
            after,
            events: [...folded.events, change],
            nextLookAt: now,
            proofs: found.map(({ key, proof }) => {
              const { at, expected, verdict } = proof;
              return { keyId: key.id, at, expected, verdict, detail: plain(proof) };
            }),
          },
        );
    if (result?.kind === 'stale') continue;
    report.keys += asked.length;
    for (const { key, proof } of found)
      if (gone.includes(key)) report.givenUp.push({ domain: name, selector: key.selector, found: proof.verdict });
    for (const stream of snapshot.streams)
      if (hasActive(snapshot, stream.name) && !hasActive(after, stream.name))
        report.bare.push(`${name}/${stream.name}`);
    return;
  }
}

async function lookUp(
  key: KeyView,
  { domain }: Snapshot,
  prove: Restore['prove'],
): Promise<{ readonly key: KeyView; readonly proof: Proof }> {
  const value = recordText(key, 'key') ?? '';
  const name = recordName(key.selector, recordDomain(domain));
  // A key that was taken over has its record in the form in which somebody else wrote it.
  return { key, proof: await prove(name, { kind: 'key', value, anyForm: true }, AbortSignal.timeout(patience)) };
}

/** Nobody has said what stands there. */
function isSilent({ verdict }: Proof): boolean {
  return verdict === 'unreachable' || verdict === 'bogus';
}

/**
 * The domain with a generation above every one that a signer may have, as if all its keys had entered, or left, just now: what signers
 * acknowledged to the old store says nothing of what they have by now. Keys that are given up leave, even a stream's last: no rule
 * lets that one go, but one that nobody can verify is none.
 */
function raised(snapshot: Snapshot, by: number, gone: ReadonlySet<string>, at: number): Snapshot {
  const generation = snapshot.domain.generation + by;
  return {
    ...snapshot,
    domain: { ...snapshot.domain, generation },
    keys: snapshot.keys.map((key) => {
      if (key.state === 'active' && gone.has(key.id))
        return { ...key, state: 'retiring', retiredAt: at, leftGeneration: generation, waited: 0 };
      if (key.state === 'active') return { ...key, enteredGeneration: generation, signaturesSeen: {} };
      if (key.state === 'retiring') return { ...key, leftGeneration: generation, waited: 0 };
      return key;
    }),
    signers: snapshot.signers.map((signer) => ({
      ...signer,
      acknowledgedGeneration: 0,
      acknowledgedAt: null,
      retry: null,
    })),
  };
}

function hasActive({ keys }: Snapshot, stream: string): boolean {
  return keys.some((key) => key.state === 'active' && key.stream === stream);
}

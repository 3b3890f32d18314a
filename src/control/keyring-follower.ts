/**
 * Follows what other processes decide, by reading on in the journal: a signer gets each new keyring, acknowledges it and signs a test message
 * with each new key, whoever looks at the domain. Where this process looks at the domain itself, little is left to do here; where it
 * runs the milter alone, this is all that keeps the milter up to date.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../lifecycle/clock.ts';
import { hasDrifted } from '../lifecycle/facts.ts';
import type { Snapshot } from '../lifecycle/types.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import { type Binding, isForSigner, signerOutcomes, streamsOf } from './bindings.ts';
import { fold } from './fold.ts';
import { handOver } from './hand-over.ts';
import { errorText, type Log } from './log.ts';
import { operate } from './operations.ts';

const pageSize = 1000;
/** Domains gone through at a stretch at the start: mail is signed between two stretches. */
const stretch = 100;
/** Events after which a signer may have something to do. */
const telling = new Set(['domain-added', 'active-changed', 'generation-raised', 'drift-restored', 'stream-added']);
/** The longest pause after a domain's signer failed again and again, milliseconds. */
const longestPause = 60_000;

export interface FollowerOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /** What the signer is to sign. */
  readonly binding: Binding;
  /** How long a look of this or another process is given to do it first, milliseconds; 0 where the signer is reached from here alone. */
  readonly patience?: number;
}

/** One turn: what has changed since the last one. The first turn goes through every domain, for keyrings were loaded before it and may have changed. */
export function followKeyrings(
  signer: Signer,
  { store, clock, log, binding, patience = 0 }: FollowerOptions,
): () => Promise<void> {
  const operator = { store, clock, actor: { name: 'keyturn', source: 'milter' } } as const;
  /** Domains that are to be gone through, when, and how often that failed in a row. */
  const open = new Map<string, { readonly at: number; readonly failures: number }>();
  let read: number | null = null;
  return async () => {
    if (read === null) {
      const { items } = await store.journal.list({ order: 'newest' }, { limit: 1 });
      await settleAll();
      read = items[0]?.seq ?? 0;
      return;
    }
    for (;;) {
      const { items } = await store.journal.list({ order: 'oldest' }, { limit: pageSize, after: String(read) });
      const named = (wanted: (kind: string) => boolean) =>
        new Set(items.flatMap(({ kind, domain }) => (domain !== null && wanted(kind) ? [domain] : [])));
      const at = clock.now() + patience;
      for (const domain of named((kind) => telling.has(kind)))
        if (!open.has(domain)) open.set(domain, { at, failures: 0 });
      // At once: nobody else does it first for a domain that is gone.
      for (const domain of named((kind) => kind === 'domain-removed'))
        open.set(domain, { at: clock.now(), failures: 0 });
      read = items.at(-1)?.seq ?? read;
      if (items.length < pageSize) break;
    }
    const now = clock.now();
    for (const [domain, { at }] of [...open]) if (at <= now || at > now + longestPause) await tryCatchUp(domain);
  };

  /**
   * Domains that do not know this signer yet (it is new, or they were added by another process), whose keyring changed between the
   * loading of keyrings and now, or that a crash left unacknowledged.
   */
  async function settleAll(): Promise<void> {
    let after: string | null = null;
    do {
      const page: Awaited<ReturnType<Store['listDomains']>> = await store.listDomains(
        { kind: 'mail' },
        { limit: stretch, after },
      );
      const domains = await store.snapshots(page.items.map(({ name }) => name));
      for (const [name, { snapshot }] of domains) if (!isSettled(snapshot)) await tryCatchUp(name);
      after = page.next;
      await setImmediate();
    } while (after !== null);
  }

  /** One domain's trouble (a sealed key that does not open) is not the others': it is tried again later, ever more seldom. */
  async function tryCatchUp(domain: string): Promise<void> {
    const failures = open.get(domain)?.failures ?? 0;
    open.delete(domain);
    let trouble: string | null;
    try {
      trouble = await catchUp(domain);
    } catch (error) {
      trouble = errorText(error);
    }
    if (trouble === null) return;
    // The first time it may have been a moment's trouble: again at the next turn.
    const pause = failures === 0 ? 0 : Math.min(longestPause, 500 * 2 ** Math.min(failures, 10));
    open.set(domain, { at: clock.now() + pause, failures: failures + 1 });
    if (failures === 0) log.error('keyring-not-followed', { domain, signer: signer.id, error: trouble });
  }

  /**
   * A domain that is gone is forgotten. The keyring is taken even where the domain does not count on this signer yet: it must not sign by an old one until it does.
   * What went wrong, or null.
   */
  async function catchUp(domain: string): Promise<string | null> {
    const stored = await store.snapshot(domain);
    if (stored === null) await signer.forget(domain);
    if (stored === null || isSettled(stored.snapshot)) return null;
    const joined = signerOutcomes(stored.snapshot, [binding], clock.now());
    const { snapshot } = fold(stored.snapshot, joined, operator.actor);
    const handed = await handOver(signer, snapshot, { store, clock });
    if (joined.length > 0) await operate(operator, domain, (now, at) => signerOutcomes(now.snapshot, [binding], at));
    if (handed.kind === 'acknowledged' && handed.generation === 0) return null;
    await operate(operator, domain, () => [handed]);
    if (handed.kind === 'not-acknowledged') return handed.message;
    if (handed.kind !== 'acknowledged') return null;
    let trouble: string | null = null;
    for (const { id, stream, selector } of untested(snapshot)) {
      const test = await signer.selfTest(domain, stream, selector);
      const { id: signerId } = signer;
      if (test.kind === 'failed') trouble = test.message;
      await operate(operator, domain, (_domain, at) => [
        test.kind === 'signed'
          ? { kind: 'signature-seen', at, signerId, keyId: id }
          : { kind: 'self-test-failed', at, signerId, keyId: id, message: test.message },
      ]);
    }
    return trouble;
  }

  /**
   * Nothing to do with it; or the signer is known, has the domain's keyring, and has been seen to sign with each of its keys. A domain that
   * leaves takes no new signer, and what somebody changed by hand waits for a person.
   */
  function isSettled(snapshot: Snapshot): boolean {
    const known = snapshot.signers.find(({ id }) => id === signer.id);
    if (known === undefined) return snapshot.domain.removingAt !== null || streamsOf(binding, snapshot).length === 0;
    if (hasDrifted(known)) return true;
    return known.acknowledgedGeneration >= snapshot.domain.generation && untested(snapshot).length === 0;
  }

  function untested(snapshot: Snapshot): Snapshot['keys'] {
    const known = snapshot.signers.find(({ id }) => id === signer.id);
    return snapshot.keys.filter(
      ({ state, stream, algorithm, signaturesSeen }) =>
        state === 'active' &&
        (known === undefined || isForSigner(known, stream, algorithm)) &&
        signaturesSeen[signer.id] === undefined,
    );
  }
}

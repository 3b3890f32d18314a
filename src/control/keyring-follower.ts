/**
 * Follows what other processes decide, by reading on in the journal: a signer gets each new keyring, acknowledges it and signs a test message
 * with each new key, whoever looks at the domain. Where this process looks at the domain itself, little is left to do here; where it
 * runs the milter alone, this is all that keeps the milter up to date.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../lifecycle/clock.ts';
import type { Outcome, Snapshot } from '../lifecycle/types.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import { toKeyring } from './keyring.ts';
import { errorText, type Log } from './log.ts';
import { mark, operate } from './operations.ts';

const pageSize = 1000;
/** Domains gone through at a stretch at the start: mail is signed between two stretches. */
const stretch = 100;
/** Events after which a signer may have something to do. */
const telling = new Set(['domain-added', 'active-changed', 'generation-raised']);

/** One turn: what has changed since the last one. The first turn goes through every domain, for keyrings were loaded before it and may have changed. */
export function followKeyrings(
  signer: Signer,
  { store, clock, log }: { readonly store: Store; readonly clock: Clock; readonly log: Log },
): () => Promise<void> {
  const operator = { store, clock, actor: { name: 'keyturn', source: 'milter' } } as const;
  /** Domains whose signer could not do what it should: tried again at the next turn. */
  const behind = new Set<string>();
  let read: number | null = null;
  return async () => {
    if (read === null) {
      const { items } = await store.journal.list({ order: 'newest' }, { limit: 1 });
      await settleAll();
      read = items[0]?.seq ?? 0;
      return;
    }
    for (const domain of [...behind]) await tryCatchUp(domain);
    for (;;) {
      const { items } = await store.journal.list({ order: 'oldest' }, { limit: pageSize, after: String(read) });
      const named = (wanted: (kind: string) => boolean) =>
        new Set(items.flatMap(({ kind, domain }) => (domain !== null && wanted(kind) ? [domain] : [])));
      for (const domain of named((kind) => telling.has(kind))) await tryCatchUp(domain);
      for (const domain of named((kind) => kind === 'domain-removed')) {
        if ((await store.snapshot(domain)) === null) await signer.forget(domain);
      }
      read = items.at(-1)?.seq ?? read;
      if (items.length < pageSize) return;
    }
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
      for (const [name, { snapshot }] of domains) if (!isSettled(snapshot, signer.id)) await tryCatchUp(name);
      after = page.next;
      await setImmediate();
    } while (after !== null);
  }

  /** One domain's trouble (a sealed key that does not open) is not the others': it is tried again at the next turn. */
  async function tryCatchUp(domain: string): Promise<void> {
    const isKnown = behind.delete(domain);
    try {
      await catchUp(domain);
    } catch (error) {
      behind.add(domain);
      if (!isKnown) log.error('keyring-not-followed', { domain, signer: signer.id, error: errorText(error) });
    }
  }

  /** The keyring is taken even where the domain does not count on this signer yet: it must not sign by an old one until it does. */
  async function catchUp(domain: string): Promise<void> {
    const stored = await store.snapshot(domain);
    if (stored === null || stored.snapshot.domain.kind !== 'mail' || isSettled(stored.snapshot, signer.id)) return;
    const keyring = await store.keyring(domain);
    if (keyring === null) return;
    const delivery = await signer.deliver(toKeyring(keyring));
    if (delivery.kind !== 'acknowledged') {
      behind.add(domain);
      log.warn('keyring-not-followed', { domain, signer: signer.id, message: delivery.message });
      return;
    }
    const { snapshot } = stored;
    if (!snapshot.signers.some(({ id }) => id === signer.id)) {
      const streams = snapshot.streams.map(({ name }) => name);
      await mark(operator, domain, { kind: 'signer-added', signerId: signer.id, streams });
    }
    const { generation } = delivery;
    if (generation === 0) return;
    const acknowledged = (at: number): Outcome => ({ kind: 'acknowledged', at, signerId: signer.id, generation });
    await operate(operator, domain, (_domain, at) => [acknowledged(at)]);
    for (const { id, stream, selector } of untested(snapshot, signer.id)) {
      const test = await signer.selfTest(domain, stream, selector);
      const { id: signerId } = signer;
      if (test.kind === 'failed') behind.add(domain);
      await operate(operator, domain, (_domain, at) => [
        test.kind === 'signed'
          ? { kind: 'signature-seen', at, signerId, keyId: id }
          : { kind: 'self-test-failed', at, signerId, keyId: id, message: test.message },
      ]);
    }
  }
}

/** The signer is known, has the domain's keyring, and has been seen to sign with each of its keys. A domain that leaves takes no new signer. */
function isSettled(snapshot: Snapshot, signerId: string): boolean {
  const known = snapshot.signers.find(({ id }) => id === signerId);
  if (known === undefined) return snapshot.domain.removingAt !== null;
  return known.acknowledgedGeneration >= snapshot.domain.generation && untested(snapshot, signerId).length === 0;
}

function untested(snapshot: Snapshot, signerId: string): Snapshot['keys'] {
  return snapshot.keys.filter(
    ({ state, signaturesSeen }) => state === 'active' && signaturesSeen[signerId] === undefined,
  );
}

/**
 * Follows changes of keyrings that other processes decided, by reading on in the journal: a signer gets the current keyring and
 * acknowledges it, whoever looks at the domain. Where this process looks at the domain itself, there is nothing left to do here.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../lifecycle/clock.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import { toKeyring } from './keyring.ts';
import type { Log } from './log.ts';
import { mark, operate } from './operations.ts';

const pageSize = 1000;
/** Domains gone through at a stretch at the start: mail is signed between two stretches. */
const stretch = 100;

/** One turn: what has changed since the last one. The first turn only finds the end of the journal, for every keyring was loaded before it. */
export function followKeyrings(
  signer: Signer,
  { store, clock, log }: { readonly store: Store; readonly clock: Clock; readonly log: Log },
): () => Promise<void> {
  let read: number | null = null;
  return async () => {
    if (read === null) {
      const { items } = await store.journal.list({ order: 'newest' }, { limit: 1 });
      read = items[0]?.seq ?? 0;
      await settleAll();
      return;
    }
    for (;;) {
      const { items } = await store.journal.list({ order: 'oldest' }, { limit: pageSize, after: String(read) });
      const changed = new Set(
        items.flatMap(({ kind, domain }) => (kind === 'active-changed' && domain !== null ? [domain] : [])),
      );
      const gone = items.flatMap(({ kind, domain }) => (kind === 'domain-removed' && domain !== null ? [domain] : []));
      for (const domain of changed) await catchUp(domain);
      for (const domain of gone) if ((await store.snapshot(domain)) === null) await signer.forget(domain);
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
      for (const [name, { snapshot }] of domains) {
        const known = snapshot.signers.find(({ id }) => id === signer.id);
        const settled = known !== undefined && known.acknowledgedGeneration === snapshot.domain.generation;
        if (!settled && snapshot.domain.removingAt === null) await catchUp(name);
      }
      after = page.next;
      await setImmediate();
    } while (after !== null);
  }

  /** The keyring is taken even where the domain does not count on this signer yet: it must not sign by an old one until it does. */
  async function catchUp(domain: string): Promise<void> {
    const stored = await store.snapshot(domain);
    const keyring = await store.keyring(domain);
    if (stored === null || keyring === null) return;
    const { snapshot } = stored;
    const known = snapshot.signers.find(({ id }) => id === signer.id);
    if (known !== undefined && known.acknowledgedGeneration >= snapshot.domain.generation) return;
    const delivery = await signer.deliver(toKeyring(keyring));
    if (delivery.kind !== 'acknowledged') {
      log.warn('keyring-not-followed', { domain, signer: signer.id, message: delivery.message });
      return;
    }
    const operator = { store, clock, actor: { name: 'keyturn', source: 'milter' } } as const;
    if (known === undefined) {
      const streams = snapshot.streams.map(({ name }) => name);
      await mark(operator, domain, { kind: 'signer-added', signerId: signer.id, streams });
    }
    const { generation } = delivery;
    if (generation === 0) return;
    await operate(operator, domain, (_domain, at) => [{ kind: 'acknowledged', at, signerId: signer.id, generation }]);
  }
}

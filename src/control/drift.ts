/** Compares, from time to time, what stands at each signer with what it was given: nobody tells us when a person changes it by hand. */
import type { Clock } from '../lifecycle/clock.ts';
import { hasDrifted } from '../lifecycle/facts.ts';
import type { Outcome, Snapshot } from '../lifecycle/types.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import type { Actor } from './events.ts';
import { toSignerKeyring } from './keyring.ts';
import { errorText, type Log } from './log.ts';
import { operate } from './operations.ts';

export interface DriftOptions {
  readonly signers: ReadonlyMap<string, Signer>;
  /** Signers whose drift is put right without asking. */
  readonly restoring: ReadonlySet<string>;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
}

const actor: Actor = { name: 'keyturn', source: 'serve' };
/** Domains inspected side by side. */
const stretch = 50;

/** One turn over all domains and signers. */
export function createDriftWatch(options: DriftOptions): (signal: AbortSignal) => Promise<void> {
  const { signers, store, log } = options;
  const watched = [...signers.values()].filter(({ inspect }) => inspect !== undefined);
  return async (signal) => {
    let after: string | null = null;
    do {
      const page: Awaited<ReturnType<Store['listDomains']>> = await store.listDomains(
        { kind: 'mail' },
        { limit: stretch, after },
      );
      const domains = await store.snapshots(page.items.map(({ name }) => name));
      const inspections = [...domains.values()].flatMap(({ snapshot }) =>
        watched.map((signer) => inspectOne(signer, snapshot, options)),
      );
      for (const done of await Promise.allSettled(inspections)) {
        if (done.status === 'rejected') log.error('signer-not-inspected', { error: errorText(done.reason) });
      }
      after = page.next;
    } while (after !== null && !signal.aborted);
  };
}

/** Inspects one signer's view of one domain, and writes down what is not as it was. */
export async function inspectOne(
  signer: Signer,
  snapshot: Snapshot,
  { restoring, store, clock, log }: Omit<DriftOptions, 'signers'>,
): Promise<void> {
  const { name, generation } = snapshot.domain;
  const known = snapshot.signers.find(({ id }) => id === signer.id);
  // What has not been handed over yet is not missing; what is on its way is looked at next time.
  if (known === undefined || signer.inspect === undefined) return;
  if (!hasDrifted(known) && (generation === 0 || known.acknowledgedGeneration < generation)) return;
  const stored = await store.keyring(name);
  if (stored === null || stored.generation !== generation) return;
  const inspection = await signer.inspect(toSignerKeyring(stored, snapshot, signer.id));
  const signerId = signer.id;
  const outcomes = (at: number): Outcome[] => {
    switch (inspection.kind) {
      case 'as-delivered':
        return hasDrifted(known) ? [{ kind: 'drift-gone', at, signerId }] : [];
      case 'lost':
        return [
          ...(hasDrifted(known) ? [{ kind: 'drift-gone', at, signerId } as const] : []),
          // It has nothing loaded, by its own word: it is given its keyring again.
          { kind: 'acknowledged', at, signerId, generation: 0 },
        ];
      case 'changed':
        return [
          { kind: 'drift-found', at, signerId, message: inspection.message },
          ...(restoring.has(signerId) ? [{ kind: 'drift-restored', at, signerId } as const] : []),
        ];
      case 'unknown':
        return [];
    }
  };
  if (inspection.kind === 'unknown')
    log.debug('signer-not-inspected', { domain: name, signer: signerId, message: inspection.message });
  if (outcomes(0).length === 0) return;
  if (inspection.kind !== 'as-delivered' && known.drift?.message !== inspection.message) {
    const { kind, message } = inspection as { kind: string; message: string };
    log.warn(`signer-${kind}`, { domain: name, signer: signerId, message });
    await store.journal.append([
      { actor: actor.name, source: actor.source, domain: name, kind: `signer-${kind}`, details: { signerId, message } },
    ]);
  }
  await operate({ store, clock, actor }, name, (now, at) =>
    // Somebody may have changed the domain meanwhile: what was compared is then no longer what is wanted.
    now.snapshot.domain.generation === generation ? outcomes(at) : [],
  );
}

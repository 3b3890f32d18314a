/** Hands a domain's keyring to a signer, as the store holds it now, and says what became of it as an outcome. */
import type { Clock } from '../lifecycle/clock.ts';
import type { Outcome, Snapshot } from '../lifecycle/types.ts';
import type { OtherKey } from '../signers/keyring.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import { toSignerKeyring } from './keyring.ts';
import { errorText } from './log.ts';

/** No signer is ahead of a store by more, however old the backup that the store was put back from. */
export const furthestAhead = 1_000_000;

/** Every key of ours that a signer may have been given; what left between two readings counts as retiring. */
function ourKeys({ keys }: Snapshot): OtherKey[] {
  return keys.flatMap(({ selector, publicKey, state, ownership }) =>
    ownership === 'ours' ? [{ selector, publicKey, state: state === 'active' ? 'retiring' : state }] : [],
  );
}

/** `snapshot` must have been read before: what is handed over is at least as new as it. Never throws for what the signer does. */
export async function handOver(
  signer: Signer,
  snapshot: Snapshot,
  { store, clock }: { readonly store: Store; readonly clock: Clock },
): Promise<Outcome> {
  const { name, removingAt, generation } = snapshot.domain;
  const signerId = signer.id;
  const failed = (message: string): Outcome => ({ kind: 'not-acknowledged', at: clock.now(), signerId, message });
  try {
    if (removingAt !== null && !snapshot.keys.some((key) => key.state === 'active')) {
      await signer.forget(name, ourKeys(snapshot));
      return { kind: 'acknowledged', at: clock.now(), signerId, generation };
    }
    const stored = await store.keyring(name);
    if (stored === null) return failed(`${name} is gone from the store.`);
    const delivery = await signer.deliver(toSignerKeyring(stored, snapshot, signerId));
    switch (delivery.kind) {
      case 'acknowledged':
        if (delivery.generation > stored.generation + furthestAhead)
          return failed(
            `${signerId} says that it has generation ${delivery.generation} of ${name}, which no store can have made (it was given ${stored.generation}): see what it is that it answers with, or what somebody wrote there.`,
          );
        return { kind: 'acknowledged', at: clock.now(), signerId, generation: delivery.generation };
      case 'drifted':
        return { kind: 'drift-found', at: clock.now(), signerId, message: delivery.message };
      default:
        return failed(delivery.message);
    }
  } catch (error) {
    return failed(`Handing the keyring of ${name} to ${signerId} failed: ${errorText(error)}`);
  }
}

/** Carries the signatures that our signers saw on real mail into the ledger, from which looks take them. */
import type { Clock } from '../lifecycle/clock.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import type { SignatureLedger } from './signature-ledger.ts';

/** How often a domain is looked at only because its mail is being signed, milliseconds. */
const signatureWake = 10 * 60_000;

export interface SignatureCollector {
  /** Takes what the signers have seen since the last call. */
  now(): void;
  /** The same, and wakes domains whose signatures have not been stored for long. */
  tick(): Promise<void>;
}

export function collectSignatures(
  signers: ReadonlyMap<string, Signer>,
  ledger: SignatureLedger,
  store: Store,
  clock: Clock,
): SignatureCollector {
  const woken = new Map<string, number>();
  const now = () => {
    for (const signer of signers.values()) {
      for (const { domain, selector, at } of signer.takeSignaturesSeen?.() ?? []) {
        ledger.note(domain, { signerId: signer.id, selector, at });
      }
    }
  };
  return {
    now,
    async tick() {
      now();
      const at = clock.now();
      for (const domain of ledger.domains()) {
        const last = woken.get(domain);
        if (last !== undefined && at - last < signatureWake && at >= last) continue;
        woken.set(domain, at);
        if (last !== undefined) await store.wake(domain, at);
      }
    },
  };
}

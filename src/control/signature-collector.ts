/** Carries the signatures that our signers saw on real mail into the ledger, and from there into the store. */
import type { Clock } from '../lifecycle/clock.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import { signatureOutcomes } from './look.ts';
import { operate } from './operations.ts';
import type { SignatureLedger } from './signature-ledger.ts';

export interface SignatureCollector {
  /** Takes what the signers have seen since the last call into the ledger. */
  now(): void;
  /** The same, and sees that no domain's signatures stay out of the store for long. */
  tick(): Promise<void>;
}

export interface CollectorOptions {
  readonly signers: ReadonlyMap<string, Signer>;
  readonly ledger: SignatureLedger;
  readonly store: Store;
  readonly clock: Clock;
  /** This process looks at domains: a look takes what the ledger holds. Where it does not, signatures are stored from here. */
  readonly looks: boolean;
}

/** How often a domain is written only because its mail is being signed, milliseconds. */
const storeEvery = 10 * 60_000;

export function collectSignatures({ signers, ledger, store, clock, looks }: CollectorOptions): SignatureCollector {
  const stored = new Map<string, number>();
  const now = () => {
    for (const signer of signers.values()) {
      for (const { domain, selector, at } of signer.takeSignaturesSeen?.() ?? []) {
        ledger.note(domain, { signerId: signer.id, selector, at });
      }
    }
  };
  const write = async (domain: string) => {
    const seen = ledger.of(domain);
    const operator = { store, clock, actor: { name: 'keyturn', source: 'milter' } } as const;
    await operate(operator, domain, ({ snapshot }) => signatureOutcomes(snapshot, seen));
    ledger.settle(domain, seen);
  };
  return {
    now,
    async tick() {
      now();
      const at = clock.now();
      for (const domain of ledger.domains()) {
        const last = stored.get(domain);
        if (last !== undefined && at - last < storeEvery && at >= last) continue;
        stored.set(domain, at);
        if (!looks) await write(domain);
        else if (last !== undefined) await store.wake(domain, at);
      }
    },
  };
}

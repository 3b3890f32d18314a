/** Our own name server serves what the store holds: to publish is to write there. */
import { isSubdomain, labelCount } from '../wire/name.ts';
import { beyondCapabilities, publisherCapabilities } from './capabilities.ts';
import type { Publisher, RecordContent } from './publisher.ts';

/** The part of the store that holds the built-in server's records. */
export interface RecordStore {
  /** The apexes of all zones there. */
  apexes(): Promise<Iterable<string>>;
  /** Compare-and-set in one transaction, the zone's serial growing with each change. */
  set(change: {
    readonly apex: string;
    readonly name: string;
    readonly desired: RecordContent;
    readonly ours: readonly string[];
  }): Promise<
    | { readonly kind: 'done' }
    | { readonly kind: 'conflict'; readonly found: readonly string[] }
    | { readonly kind: 'no-such-zone' }
  >;
}

/** Writes into the zone of the store that is nearest above the name. */
export function createBuiltinPublisher(store: RecordStore, name = 'builtin'): Publisher {
  const capabilities = publisherCapabilities.builtin;
  const doing = (record: string): string => `Writing ${record} into the built-in name server's zones`;
  return {
    name,
    capabilities,
    async apply(change) {
      const beyond = beyondCapabilities(capabilities, change.desired);
      if (beyond !== null) return { kind: 'refused', message: `${doing(change.name)}: ${beyond}.` };
      try {
        const apex = nearest(change.name, await store.apexes());
        const result = apex === null ? null : await store.set({ ...change, apex });
        if (result === null || result.kind === 'no-such-zone') {
          const advice = 'add the zone to the configuration (dns.zones), or give the domain another publisher';
          return { kind: 'refused', message: `${doing(change.name)}: no zone there contains it; ${advice}.` };
        }
        if (result.kind === 'done') return { kind: 'done' };
        const found = result.found.map((value) => `"${value}"`).join(', ');
        const message = `${doing(change.name)}: ${found} stands there, which is not ours; it was left alone.`;
        return { kind: 'conflict', found: result.found, message };
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        return { kind: 'failed', message: `${doing(change.name)}: the store answered: ${text}` };
      }
    },
  };
}

function nearest(name: string, apexes: Iterable<string>): string | null {
  let best: string | null = null;
  for (const apex of apexes) {
    if (isSubdomain(name, apex) && (best === null || labelCount(apex) > labelCount(best))) best = apex;
  }
  return best;
}

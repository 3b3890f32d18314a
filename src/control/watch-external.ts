/** Keys that somebody else signs with (an e-mail service's selectors): watched in DNS and shown, and nothing else. */
import { randomUUID } from 'node:crypto';
import { keyOfSelector } from '../lifecycle/facts.ts';
import type { KeyAlgorithm, Outcome, Snapshot } from '../lifecycle/types.ts';
import { type OperationResult, type Operator, operate } from './operations.ts';

export interface ExternalKey {
  readonly selector: string;
  /** Added where it is not there, as one that somebody else signs. */
  readonly stream: string;
  /** Contents of the record's `p=` tag, without white space. */
  readonly publicKey: string;
  readonly algorithm: KeyAlgorithm;
  /** Modulus length; 256 for Ed25519. */
  readonly bits: number;
}

export type WatchResult =
  /** `replaced`: its owner has put another key under the selector since; the one before stays in the history. */
  | (Extract<OperationResult, { kind: 'done' }> & { readonly what: 'watched' | 'known' | 'replaced' })
  | Exclude<OperationResult, { kind: 'done' }>;

/** Watches a key of somebody else. Idempotent; refused (`selector-taken`) where a key of ours has the selector. */
export async function watchExternal(operator: Operator, domain: string, key: ExternalKey): Promise<WatchResult> {
  const id = randomUUID();
  let what: 'watched' | 'known' | 'replaced' = 'watched';
  const result = await operate(operator, domain, ({ snapshot }, at) => {
    const before = externalOf(snapshot, key.selector);
    what = before === undefined ? 'watched' : before.publicKey === key.publicKey ? 'known' : 'replaced';
    if (what === 'known') return [];
    const { stream } = key;
    const outcomes: Outcome[] = [];
    if (snapshot.streams.every(({ name }) => name !== stream))
      outcomes.push({ kind: 'stream-added', at, stream, policy: null, external: true });
    if (before !== undefined) outcomes.push({ kind: 'key-unwatched', at, keyId: before.id });
    outcomes.push({ kind: 'key-imported', at, key: { id, ...key, ownership: 'external' } });
    return outcomes;
  });
  return result.kind === 'done' ? { ...result, what } : result;
}

/** Watches the selector no longer; its history stays. */
export function unwatchExternal(operator: Operator, domain: string, selector: string): Promise<OperationResult> {
  return operate(operator, domain, ({ snapshot }, at) => [
    { kind: 'key-unwatched', at, keyId: externalOf(snapshot, selector)?.id ?? '' },
  ]);
}

function externalOf(snapshot: Snapshot, selector: string) {
  const key = keyOfSelector(snapshot, selector);
  return key?.ownership === 'external' && key.state !== 'removed' ? key : undefined;
}

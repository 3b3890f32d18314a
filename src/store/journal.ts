/** The journal: what happened, by whom, in a chain of hashes in which nothing can be altered, dropped or moved unnoticed. */
import type { Json } from './json.ts';
import type { Page, PageRequest } from './store.ts';

export interface NewEvent {
  /** Who: an operator's user name, or `keyturn` for the reconciler. */
  readonly actor: string;
  /** By which way: `cli`, `api`, `reconcile`, `milter` … */
  readonly source: string;
  /** Null for what concerns no single domain. */
  readonly domain: string | null;
  /** Stable kebab-case code: `key-created`, `record-written` … */
  readonly kind: string;
  /** Plain data, never key material. */
  readonly details: Json;
  /** Epoch milliseconds; the store's clock where left out. */
  readonly at?: number;
}

export interface JournalEvent extends Required<NewEvent> {
  /** From 1, without gaps. */
  readonly seq: number;
  /** SHA-256 over the entry and the hash before it, in hexadecimal. */
  readonly hash: string;
}

export type JournalVerdict =
  | { readonly kind: 'intact'; readonly entries: number; readonly head: string }
  | {
      readonly kind: 'broken';
      /** The first entry that is not as it was written. */
      readonly seq: number;
      readonly what: 'altered' | 'dropped' | 'appended' | 'head-altered';
      readonly message: string;
    };

export interface JournalFilter {
  readonly domain?: string;
  /** `newest` (first) by default. */
  readonly order?: 'newest' | 'oldest';
}

export interface JournalStore {
  append(events: readonly NewEvent[]): Promise<void>;
  list(filter: JournalFilter, page?: PageRequest): Promise<Page<JournalEvent>>;
  /** Reads the whole chain, streaming, and reports the first entry that does not fit. `progress` is told the entries read so far. */
  verify(progress?: (entries: number) => void): Promise<JournalVerdict>;
}

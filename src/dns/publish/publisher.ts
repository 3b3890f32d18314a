/** A way to write DNS. One file a publisher; the reconciler knows only this interface. */

/** What is to stand at a name: one TXT record with this joined value, or nothing. */
export type RecordContent = { readonly value: string; readonly ttl: number } | null;

/** One compare-and-set at a selector's name. Repeating it after it took effect answers `done`. */
export interface RecordChange {
  /** Fully qualified, lower case, no trailing dot: `s1._domainkey.example.com`. */
  readonly name: string;
  readonly desired: RecordContent;
  /** Values that are known to be ours there (joined text); anything else that is found is a conflict and is left alone. */
  readonly ours: readonly string[];
}

export type PublishResult =
  /** Written, and read back from the server that was written to. */
  | { readonly kind: 'done' }
  /** A person must set it; goes on by itself once proof appears. */
  | { readonly kind: 'waiting'; readonly instructions: RecordInstructions }
  /** Somebody else's data stands there. */
  | { readonly kind: 'conflict'; readonly found: readonly string[]; readonly message: string }
  /** The server said no (authorization, policy, not its zone): a person must act. */
  | { readonly kind: 'refused'; readonly message: string }
  /** Nobody knows whether it took effect: ask again later. */
  | { readonly kind: 'failed'; readonly message: string };

/** A record in every form in which DNS front ends ask for it. */
export interface RecordInstructions {
  readonly action: 'set' | 'delete';
  readonly name: string;
  readonly ttl: number;
  /** The whole value as one string. */
  readonly value: string;
  /** The value in quoted strings of at most 255 bytes. */
  readonly strings: readonly string[];
  /** A line (or lines) for a zone file. */
  readonly zoneFile: string;
}

/** What a publisher can and cannot do; the planner's and the reader's table. */
export interface PublisherCapabilities {
  readonly automatic: boolean;
  readonly atomicCompareAndSet: boolean;
  /** Seconds; the smallest TTL that the provider accepts. */
  readonly minimumTtl: number;
  readonly maximumValueBytes: number;
}

export interface Publisher {
  readonly name: string;
  readonly capabilities: PublisherCapabilities;
  /** Never throws for what servers do; throws only for a programming error. */
  apply(change: RecordChange, signal?: AbortSignal): Promise<PublishResult>;
  close?(): Promise<void>;
}

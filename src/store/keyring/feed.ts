/**
 * How keyrings come to a signer that has no store: what is told, and what is told back, whatever carries it (Redis here, HTTPS for agents).
 * A follower loads everything once and then follows the changes; what is missing in a feed says nothing, a domain leaves only by a
 * {@link FeedRemoval}.
 */

/** One active key. */
export interface FeedKey {
  readonly selector: string;
  readonly algorithm: 'rsa-sha256' | 'ed25519-sha256';
  /** The generation of the domain with which it became active. */
  readonly entered: number;
  /** DER. Wiped by nobody but its holder. */
  readonly pkcs8: Uint8Array;
}

/** A key of the domain that does not sign: as `OtherKey` of the signers' keyrings. */
export interface FeedOtherKey {
  readonly selector: string;
  readonly publicKey: string;
  readonly state: 'created' | 'published' | 'standby' | 'retiring' | 'revoked' | 'removed';
}

/** Which of two records of one domain is newer: a domain that left and came back begins a new life with generation 0. */
export interface FeedVersion {
  readonly domain: string;
  /** When the domain came into care, epoch milliseconds; for a removal of a domain that is gone, when it went. */
  readonly born: number;
  readonly generation: number;
  /** The record as it came, sealed: what a follower keeps on disk. Left out where the feed does not seal. */
  readonly sealed?: Uint8Array;
}

export interface FeedKeyring extends FeedVersion {
  readonly kind: 'keyring';
  readonly mustSign: boolean;
  /** Every stream of the domain (or every one that is the follower's), also those without a key. */
  readonly streams: Readonly<Record<string, readonly FeedKey[]>>;
  /** Only where the feed is one signer's own. */
  readonly others?: readonly FeedOtherKey[];
  readonly overwrite?: boolean;
}

/** The domain is the signer's no more: its mail passes. */
export interface FeedRemoval extends FeedVersion {
  readonly kind: 'removed';
}

/** What stands there for the domain does not open. A follower keeps what it has; one that has nothing puts the domain's mail off. */
export interface FeedDamage {
  readonly kind: 'damaged';
  readonly domain: string;
  readonly error: FeedError;
}

export type FeedRecord = FeedKeyring | FeedRemoval;

/** A test message of one key. `entered` is the key's: a selector may be used again by a later one. */
export type FeedTest = { readonly at: number; readonly entered: number } & (
  | { readonly kind: 'signed' }
  | { readonly kind: 'failed'; readonly message: string }
);

/**
 * What a follower says of one domain: everything that it knows at the time, so that a later report replaces an earlier one whole. Times are
 * epoch milliseconds of the clock of whoever holds the report: the feed translates them, for clocks differ.
 */
export interface FeedReport {
  readonly domain: string;
  readonly born: number;
  /** Loaded: mail that arrives from now on is signed by it. 0 where nothing is. */
  readonly acknowledged: number;
  /** Why the newest record could not be loaded; null where it was. */
  readonly trouble: string | null;
  /** Test messages, the last by selector. */
  readonly tests: Readonly<Record<string, FeedTest>>;
  /** When a signature was last seen on real mail, by selector; epoch milliseconds. */
  readonly seen: Readonly<Record<string, number>>;
  /** What somebody changed by hand at the signer; null: looked, and nothing is changed; left out: not looked at. */
  readonly drift?: { readonly kind: 'lost' | 'changed'; readonly message: string } | null;
}

/** Where a follower stands in the feed; says nothing to anybody but the feed that gave it. */
export type FeedPosition = string;

export interface FeedChanges {
  readonly records: readonly (FeedRecord | FeedDamage)[];
  /** Up to here everything has been told. */
  readonly position: FeedPosition;
}

export interface KeyringFeed {
  /**
   * Tells every record, some at a time, and where to follow from. Domains that the follower has and that are not among them stay.
   * @throws FeedError where it is not reached, holds nothing (yet), or cannot be opened; what was told before stands.
   */
  load(
    onRecords: (records: readonly (FeedRecord | FeedDamage)[]) => Promise<void> | void,
    signal: AbortSignal,
  ): Promise<FeedPosition>;
  /**
   * The changes behind a position, as soon as there are some; an empty list after a while (`waitMs`) without. `position: null`: too much has
   * changed since, or the feed was made anew: load again.
   * @throws FeedError
   */
  next(
    position: FeedPosition,
    signal: AbortSignal,
    waitMs?: number,
  ): Promise<FeedChanges | { readonly position: null }>;
  /** @throws FeedError where it was not taken: the follower tells it again. */
  report(reports: readonly FeedReport[]): Promise<void>;
  /** Domains of which the control plane wants test messages (again). */
  asked(): Promise<readonly string[]>;
  close(): Promise<void>;
}

export type FeedErrorCode =
  /** It does not answer; it is tried again. */
  | 'away'
  /** It answers and holds no (complete) set of keyrings: a control plane has to fill it. */
  | 'empty'
  /** The key at hand is not the one under which the keyrings are sealed. */
  | 'wrong-key'
  /** A record does not open, or is another domain's. */
  | 'forged'
  /** Another follower goes by this name. */
  | 'name-taken'
  /** It answers with an error: rights, memory, a read-only replica. */
  | 'refused';

export class FeedError extends Error {
  override readonly name = 'FeedError';
  readonly code: FeedErrorCode;

  constructor(code: FeedErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** True where `a` must not take the place of `b`. */
export function isOlder(
  a: Pick<FeedVersion, 'born' | 'generation'>,
  b: Pick<FeedVersion, 'born' | 'generation'>,
): boolean {
  return a.born < b.born || (a.born === b.born && a.generation < b.generation);
}

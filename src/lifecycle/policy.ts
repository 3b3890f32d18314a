/** Policy: how the keys of a stream are made, how long they live, and how carefully they change. */
import type { KeyAlgorithm } from './types.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** One kind of key that a stream signs with. `count` of two or more is redundancy: several active keys of one algorithm. */
export interface KeySpec {
  readonly algorithm: KeyAlgorithm;
  /** Modulus length for RSA (2048, 3072 or 4096); 256 for Ed25519. */
  readonly bits: number;
  readonly count: number;
}

/** No key is activated, retired, revoked or removed inside a window; emergencies pass. */
export type FreezeWindow =
  | { readonly kind: 'dates'; readonly from: number; readonly to: number; readonly why?: string }
  /** Every year, months 1–12 and days 1–31 in UTC, both ends included; it may run over New Year. */
  | {
      readonly kind: 'yearly';
      readonly from: { readonly month: number; readonly day: number };
      readonly to: { readonly month: number; readonly day: number };
      readonly why?: string;
    }
  /** Every week, days 0 (Sunday) – 6 and minutes of the day in UTC; it may run over the week's end. */
  | {
      readonly kind: 'weekly';
      readonly from: { readonly weekday: number; readonly minute: number };
      readonly to: { readonly weekday: number; readonly minute: number };
      readonly why?: string;
    };

/** Durations in milliseconds, TTLs in seconds. */
export interface Policy {
  readonly keys: readonly KeySpec[];
  /** `{date}` (YYYYMMDD), `{algorithm}` (`rsa`, `ed`), `{stream}`, `{n}` (a number that makes it unique). */
  readonly selectorTemplate: string;
  /**
   * Slots: the only selectors there are, set up once in somebody else's DNS and rotated behind it. Each is used again, once the key
   * before has been removed. Empty or left out: selectors from the template, never used twice.
   */
  readonly selectors?: readonly string[];
  readonly rotateEvery: number;
  /** Spread of the due date, as a share (0–0.5) of `rotateEvery`, fixed per key by a hash of its id. */
  readonly jitter: number;
  /** A key waits at least this long between its first full proof and its activation; never less than 2 × negative TTL. */
  readonly lead: number;
  /** Standby keys kept per key kind. */
  readonly standby: number;
  /** From the last signature of a key to its revocation. */
  readonly overlap: number;
  /** How long an empty `p=` stands before the record is removed. */
  readonly tombstone: number;
  readonly ttl: number;
  /** TTL while a change of the record is ahead. */
  readonly ttlAhead: number;
  readonly freeze: readonly FreezeWindow[];
  readonly approval: 'none' | 'required';
  /** How old a proof may be when it is relied upon, and how often standing records are proved again. */
  readonly proofFresh: number;
  readonly watchEvery: number;
}

/** The defaults of the field: 3 to 6 months, 2048 bits, RSA beside Ed25519. */
export const defaultPolicy: Policy = {
  keys: [
    { algorithm: 'rsa', bits: 2048, count: 1 },
    { algorithm: 'ed25519', bits: 256, count: 1 },
  ],
  selectorTemplate: 'kt{date}{algorithm}{n}',
  rotateEvery: 120 * DAY,
  jitter: 0.1,
  lead: 24 * HOUR,
  standby: 1,
  overlap: 14 * DAY,
  tombstone: 30 * DAY,
  ttl: 3600,
  ttlAhead: 300,
  freeze: [],
  approval: 'none',
  proofFresh: 10 * MINUTE,
  watchEvery: 6 * HOUR,
};

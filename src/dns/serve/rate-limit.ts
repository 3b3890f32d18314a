/**
 * Response rate limiting: a server that answers forged questions over UDP floods whoever's address was forged. Equal
 * answers to one network are limited; every so many of those held back is sent truncated, so that a real client, which
 * can come back over TCP, is never shut out.
 */
import { ipv4Bytes, ipv6Bytes } from '../wire/address.ts';

export interface RateLimitOptions {
  /** Equal answers a second to one network (/24 or /56). */
  readonly responsesPerSecond?: number;
  /** Seconds of that rate that may be spent at once. */
  readonly burst?: number;
  /** Every n-th answer held back goes out truncated; 0 for none, 1 for all. */
  readonly slip?: number;
  /** The most networks and answers that are remembered; the oldest are forgotten. */
  readonly tableSize?: number;
}

export type Limit = 'send' | 'truncate' | 'drop';

export interface RateLimiter {
  /**
   * @param kind what makes answers equal: the name for positive answers, the zone for negative ones, the code for errors
   * @param now monotonic milliseconds
   */
  check(address: string, kind: string, now: number): Limit;
}

interface Bucket {
  tokens: number;
  at: number;
  held: number;
}

export function createRateLimiter(options: RateLimitOptions = {}): RateLimiter {
  const { responsesPerSecond = 50, burst = 5, slip = 2, tableSize = 100_000 } = options;
  const most = responsesPerSecond * burst;
  // Two generations: when the young one is full the old one is dropped whole, which costs nothing per entry.
  let young = new Map<string, Bucket>();
  let old = new Map<string, Bucket>();

  const find = (key: string, now: number): Bucket => {
    const known = young.get(key);
    if (known !== undefined) return known;
    const bucket = old.get(key) ?? { tokens: most, at: now, held: 0 };
    if (young.size >= tableSize / 2) {
      old = young;
      young = new Map();
    }
    young.set(key, bucket);
    return bucket;
  };

  return {
    check(address, kind, now) {
      const bucket = find(`${network(address)} ${kind}`, now);
      bucket.tokens = Math.min(most, bucket.tokens + (Math.max(0, now - bucket.at) / 1000) * responsesPerSecond);
      bucket.at = now;
      if (bucket.tokens >= 1) {
        bucket.tokens -= 1;
        return 'send';
      }
      bucket.held += 1;
      return slip > 0 && bucket.held % slip === 0 ? 'truncate' : 'drop';
    },
  };
}

/** The network of an address: /24 for IPv4 (and IPv4 mapped into IPv6), /56 for IPv6. */
export function network(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  const v4 = mapped ?? (address.includes(':') ? undefined : address);
  if (v4 !== undefined) return ipv4Bytes(v4).subarray(0, 3).join('.');
  return Buffer.from(ipv6Bytes(address.replace(/%.*$/, '')).subarray(0, 7)).toString('hex');
}

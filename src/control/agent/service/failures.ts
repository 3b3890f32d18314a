/** Counts failed attempts to be let in, by network, so that guessing costs time and fills no log. */
import { isIPv6 } from 'node:net';
import type { Clock } from '../../../lifecycle/clock.ts';

const MOST = 10;
const PER_MILLISECONDS = 60_000;
const MOST_NETWORKS = 10_000;

export interface FailureCount {
  /** Notes one failure; true where there have been too many from there within the last minute. */
  failed(address: string): boolean;
}

export function countFailures(clock: Clock): FailureCount {
  const since = new Map<string, { start: number; failures: number }>();
  return {
    failed(address) {
      const network = networkOf(address);
      const now = clock.now();
      const known = since.get(network);
      const isCurrent = known !== undefined && now >= known.start && now - known.start < PER_MILLISECONDS;
      const count = isCurrent ? known : { start: now, failures: 0 };
      count.failures += 1;
      // Put at the end again: the first are those that have been quiet for longest.
      since.delete(network);
      since.set(network, count);
      for (const oldest of since.keys()) {
        if (since.size <= MOST_NETWORKS) break;
        since.delete(oldest);
      }
      return count.failures > MOST;
    },
  };
}

/** An IPv4 address, or the /64 of an IPv6 one. */
function networkOf(address: string): string {
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
  if (!isIPv6(plain)) return plain;
  const [head = '', tail = ''] = plain.split('::');
  const first = head.split(':').filter(Boolean);
  const last = tail.split(':').filter(Boolean);
  const missing = plain.includes('::') ? Array<string>(Math.max(0, 8 - first.length - last.length)).fill('0') : [];
  return [...first, ...missing, ...last].slice(0, 4).join(':');
}

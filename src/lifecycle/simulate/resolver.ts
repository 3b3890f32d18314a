/** A receiver's resolver: it asks any of the servers and remembers answers and their absence (RFC 2308) for their time. */
import type { Random } from './random.ts';
import type { Servers, Shown } from './servers.ts';

export interface Resolver {
  /** What the receiver finds at a selector at this (true) time. */
  find(selector: string, now: number): Shown;
}

/** `negativeTtl` in seconds. */
export function newResolver(servers: Servers, negativeTtl: number, random: Random): Resolver {
  const cache = new Map<string, { shown: Shown; until: number }>();
  return {
    find(selector, now) {
      const known = cache.get(selector);
      if (known !== undefined && now < known.until) return known.shown;
      const shown = servers.read(random.whole(0, servers.count - 1), selector, now);
      cache.set(selector, { shown, until: now + 1000 * (shown.kind === 'absent' ? negativeTtl : shown.ttl) });
      return shown;
    },
  };
}

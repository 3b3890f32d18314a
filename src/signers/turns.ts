/** One thing at a time for each domain; and a domain for which something failed is left in peace for a while. */
import type { Clock } from '../lifecycle/clock.ts';

const firstPause = 5000;
const longestPause = 300_000;

export interface Turns {
  /** Runs `work` after everything that was asked for this domain before. */
  of<T>(domain: string, work: () => Promise<T>): Promise<T>;
  /** The same, but fails at once with the last failure while its pause lasts: five seconds, twice as long each time, five minutes at most. */
  sparing<T>(domain: string, work: () => Promise<T>): Promise<T>;
}

export function createTurns(clock: Clock): Turns {
  const last = new Map<string, Promise<unknown>>();
  const failed = new Map<string, { readonly error: unknown; readonly until: number; readonly times: number }>();
  const turns: Turns = {
    of(domain, work) {
      const before = last.get(domain) ?? Promise.resolve();
      const mine = before.then(work, work);
      last.set(domain, mine);
      const done = () => {
        if (last.get(domain) === mine) last.delete(domain);
      };
      mine.then(done, done);
      return mine;
    },
    sparing(domain, work) {
      return turns.of(domain, async () => {
        const known = failed.get(domain);
        const now = clock.now();
        if (known !== undefined && now < known.until && now > known.until - longestPause * 2) throw known.error;
        try {
          const result = await work();
          failed.delete(domain);
          return result;
        } catch (error) {
          const times = (known?.times ?? 0) + 1;
          const pause = Math.min(longestPause, firstPause * 2 ** Math.min(times - 1, 10));
          failed.set(domain, { error, until: now + pause, times });
          throw error;
        }
      });
    },
  };
  return turns;
}

/** The loop: claims domains that are due, looks at several side by side, and sleeps until the next one is due or somebody nudges it. */
import { errorText } from './log.ts';
import { type LookContext, look } from './look.ts';

export interface Reconciler {
  /** Look for work now. */
  nudge(): void;
  /** Claims nothing more and waits for the looks that are under way. */
  stop(): Promise<void>;
  /** Since the start. */
  readonly counts: { readonly looks: number; readonly failures: number };
}

export interface ReconcilerOptions {
  /** Names this process among the claimants. */
  readonly owner: string;
  readonly concurrency: number;
  /** The longest sleep, milliseconds: other processes' changes are noticed within it. */
  readonly interval: number;
  /** Asked before each claim; while it says no, nothing is claimed. */
  readonly mayWork?: () => boolean;
}

export function startReconciler(
  context: LookContext,
  { owner, concurrency, interval, mayWork = () => true }: ReconcilerOptions,
): Reconciler {
  const { store, clock, log, leaseMs } = context;
  const running = new Set<Promise<void>>();
  const counts = { looks: 0, failures: 0 };
  let stopping = false;
  let nudged = false;
  let wake: () => void = () => {};

  const nudge = () => {
    nudged = true;
    wake();
  };

  /** Until nudged, or the time is up. A nudge that came while nobody slept counts for the next sleep. */
  const sleep = async (milliseconds: number) => {
    if (!nudged) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, milliseconds);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    nudged = false;
  };

  const begin = (claim: Parameters<typeof look>[0]) => {
    counts.looks++;
    const done = look(claim, context)
      .catch((error: unknown) => {
        // The lease runs out by itself and the domain is looked at again: one domain's trouble is never the loop's.
        counts.failures++;
        log.error('look-failed', { domain: claim.name, error: errorText(error) });
      })
      .finally(() => {
        running.delete(done);
        nudge();
      });
    running.add(done);
  };

  const loop = async () => {
    while (!stopping) {
      let wait = interval;
      try {
        const free = mayWork() ? concurrency - running.size : 0;
        const now = clock.now();
        const claims = free > 0 ? await store.claimDue({ now, limit: free, owner, leaseMs }) : [];
        claims.forEach(begin);
        const next = free > 0 && running.size < concurrency ? await store.nextDueAt() : null;
        // What was due already and could not be claimed is leased: its holder gives it back, or the lease ends.
        if (next !== null && next > now) wait = Math.max(5, Math.min(interval, next - clock.now()));
      } catch (error) {
        log.error('cannot-claim', { error: errorText(error) });
      }
      if (!stopping) await sleep(wait);
    }
    await Promise.all(running);
  };
  const done = loop();

  return {
    nudge,
    counts,
    async stop() {
      stopping = true;
      nudge();
      await done;
    },
  };
}

/** Domains that something is to be done for: many side by side, each by one at a time, and again later where it failed. */
import { errorText } from '../../log.ts';

/** Signers that write tables gather what comes together. */
const sideBySide = 64;
const shortestPause = 250;
const longestPause = 60_000;

export interface WorkQueue {
  /** It is worked on as soon as there is room; where it is being worked on, once more after that. */
  due(domain: string): void;
  /** It is, or is to be, worked on now. */
  has(domain: string): boolean;
  /** Nothing is done before. */
  start(): void;
  /** Resolves when what is under way has ended. */
  stop(): Promise<void>;
}

/** `work` says what is wrong, or null where nothing is left to do; `failed` hears of the first failure in a row. */
export function createWorkQueue(
  work: (domain: string) => Promise<string | null>,
  failed: (domain: string, trouble: string) => void,
): WorkQueue {
  const ready = new Set<string>();
  const failures = new Map<string, number>();
  const waiting = new Map<string, NodeJS.Timeout>();
  const busy = new Set<string>();
  let state: 'waiting' | 'started' | 'stopped' = 'waiting';
  let idle: (() => void) | null = null;

  function due(domain: string): void {
    clearTimeout(waiting.get(domain));
    waiting.delete(domain);
    ready.add(domain);
    run();
  }

  function later(domain: string): void {
    const before = failures.get(domain) ?? 0;
    failures.set(domain, before + 1);
    if (ready.has(domain)) return;
    const pause = Math.min(longestPause, shortestPause * 2 ** Math.min(before, 10));
    waiting.set(
      domain,
      setTimeout(() => due(domain), pause),
    );
  }

  function run(): void {
    if (state !== 'started') return;
    for (const domain of ready) {
      if (busy.size >= sideBySide) return;
      if (busy.has(domain)) continue;
      ready.delete(domain);
      busy.add(domain);
      work(domain)
        .catch((error: unknown) => errorText(error))
        .then((trouble) => ended(domain, trouble));
    }
  }

  function ended(domain: string, trouble: string | null): void {
    busy.delete(domain);
    if (trouble === null) failures.delete(domain);
    else if (state === 'started') {
      if (!failures.has(domain)) failed(domain, trouble);
      later(domain);
    }
    if (busy.size === 0) idle?.();
    run();
  }

  return {
    due,
    has: (domain) => busy.has(domain) || ready.has(domain),
    start() {
      if (state === 'waiting') state = 'started';
      run();
    },
    async stop() {
      state = 'stopped';
      for (const timer of waiting.values()) clearTimeout(timer);
      if (busy.size === 0) return;
      await new Promise<void>((resolve) => {
        idle = resolve;
      });
    },
  };
}

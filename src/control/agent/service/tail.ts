/** Waits for the journal to grow: one question a turn, however many agents wait for its answer. */
import type { Store } from '../../../store/store.ts';

export interface JournalTail {
  /** Resolves when there is an entry after this one, or when `signal` ends the waiting. @throws what the store throws */
  grown(after: number, signal: AbortSignal): Promise<void>;
}

export function tailJournal(store: Store, interval: number): JournalTail {
  let turn: Promise<number> | null = null;
  const next = () => {
    turn ??= new Promise<void>((resolve) => setTimeout(resolve, interval)).then(async () => {
      turn = null;
      const { items } = await store.journal.list({ order: 'newest' }, { limit: 1 });
      return items[0]?.seq ?? 0;
    });
    return turn;
  };
  return {
    async grown(after, signal) {
      const ended = new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      while (!signal.aborted) {
        const head = await Promise.race([next(), ended]);
        if (typeof head === 'number' && head > after) return;
      }
    },
  };
}

/** Work that arrives together is done together: one writing of a table for many domains. One batch at a time. */

export interface Gatherer<T> {
  /** Done as part of a batch; rejects where the batch does. */
  add(item: T): Promise<void>;
  /** No more is taken; resolves when what was taken is done. */
  close(): Promise<void>;
}

/**
 * @param work gets the items in their order of arrival
 * @param options.quiet a batch begins when nothing has arrived for so long, milliseconds
 * @param options.most items of one batch
 */
export function gather<T>(
  work: (items: readonly T[]) => Promise<void>,
  { quiet, most }: { readonly quiet: number; readonly most: number },
): Gatherer<T> {
  let waiting: { readonly item: T; readonly done: PromiseWithResolvers<void> }[] = [];
  let running: Promise<void> | null = null;
  let closed = false;

  async function run(): Promise<void> {
    while (waiting.length > 0) {
      for (let known = 0, turns = 0; waiting.length !== known && waiting.length < most && turns < 10; turns++) {
        known = waiting.length;
        await new Promise((resolve) => setTimeout(resolve, quiet));
      }
      const batch = waiting.slice(0, most);
      waiting = waiting.slice(most);
      try {
        await work(batch.map(({ item }) => item));
        for (const { done } of batch) done.resolve();
      } catch (error) {
        for (const { done } of batch) done.reject(error);
      }
    }
    running = null;
  }

  return {
    add(item) {
      if (closed) return Promise.reject(new Error('it is being closed'));
      const done = Promise.withResolvers<void>();
      waiting.push({ item, done });
      running ??= run();
      return done.promise;
    },
    async close() {
      closed = true;
      await running;
    },
  };
}

/** Runs at most `count` of the given tasks at a time, in the order in which they were handed in. */
export function createLimit(count: number): <T>(task: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: Array<() => void> = [];
  return async (task) => {
    if (running >= count) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await task();
    } finally {
      const next = waiting.shift();
      // The place is handed over, not given up: nobody slips in between.
      if (next === undefined) running--;
      else next();
    }
  };
}

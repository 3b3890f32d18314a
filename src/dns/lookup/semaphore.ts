/** Lets so many run at once; the others wait in line. */
export interface Semaphore {
  run<T>(work: () => Promise<T>): Promise<T>;
}

export function createSemaphore(permits: number): Semaphore {
  let free = permits;
  const line: (() => void)[] = [];
  return {
    async run(work) {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => line.push(resolve));
      try {
        return await work();
      } finally {
        // Handed on rather than freed, so that nobody can push in.
        const next = line.shift();
        if (next === undefined) free += 1;
        else next();
      }
    },
  };
}

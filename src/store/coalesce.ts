/** Questions of the same kind that come in at the same time are asked of the database as one. */

/**
 * `load` answers for many names at once; names without an answer are left out. What is asked while one question is
 * under way goes into the next, so every answer is read after it was asked for.
 */
export function createCoalescer<T>(
  load: (names: readonly string[]) => Promise<ReadonlyMap<string, T>>,
): (name: string) => Promise<T | null> {
  let waiting: Array<{ name: string; resolve: (answer: T | null) => void; reject: (error: unknown) => void }> = [];
  let asking = false;

  async function ask(): Promise<void> {
    asking = true;
    // Whoever asks in this turn of the event loop is in the first question.
    await Promise.resolve();
    while (waiting.length > 0) {
      const asked = waiting;
      waiting = [];
      try {
        const answers = await load([...new Set(asked.map(({ name }) => name))]);
        for (const { name, resolve } of asked) resolve(answers.get(name) ?? null);
      } catch (error) {
        if (asked.length === 1) for (const { reject } of asked) reject(error);
        // One domain that cannot be read must not fail the others: each is asked for by itself.
        else
          for (const { name, resolve, reject } of asked)
            load([name]).then((answers) => resolve(answers.get(name) ?? null), reject);
      }
    }
    asking = false;
  }

  return (name) =>
    new Promise<T | null>((resolve, reject) => {
      waiting.push({ name, resolve, reject });
      if (!asking) void ask();
    });
}

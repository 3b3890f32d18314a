/**
 * Runs a task after `first` milliseconds (now where left out) and then again each time `milliseconds` have gone by since it ended. What it throws is handed to `failed`, and the next
 * turn comes all the same. The answer stops it, and resolves when a turn that is under way has ended.
 */
export function startRepeating(
  milliseconds: number,
  task: (signal: AbortSignal) => Promise<unknown>,
  failed: (error: unknown) => void,
  first = 0,
): () => Promise<void> {
  const stopping = new AbortController();
  let turn: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  const run = () => {
    turn = task(stopping.signal)
      .then(() => undefined, failed)
      .then(() => {
        if (!stopping.signal.aborted) timer = setTimeout(run, milliseconds);
      });
  };
  if (first === 0) run();
  else timer = setTimeout(run, first);
  return async () => {
    stopping.abort();
    clearTimeout(timer);
    await turn;
  };
}

/** The milter alone, signing by a keyring file: no store, no control plane. */
import { followKeyringFile } from '../follow-keyring-file.ts';
import { createKeyringBook, type KeyringBook } from '../keyring-book.ts';
import { silentLog } from './log.ts';
import { type MilterOptions, type MilterServer, startMilter } from './server.ts';

export interface StandaloneOptions extends Omit<MilterOptions, 'keyrings'> {
  /** Path of the keyring file. */
  readonly keyring: string;
}

export interface StandaloneMilter extends AsyncDisposable {
  readonly server: MilterServer;
  readonly book: KeyringBook;
  /** Of the file that is loaded. */
  generation(): number;
  /** Reads the file again now, as SIGHUP asks of daemons; true where something new was loaded. */
  reload(): Promise<boolean>;
  stop(grace?: number): Promise<void>;
}

/** @throws Error for a keyring file that cannot be used, or a socket that cannot be listened on. */
export async function startStandaloneMilter(options: StandaloneOptions): Promise<StandaloneMilter> {
  const { keyring, ...milter } = options;
  const log = options.log ?? silentLog;
  const book = createKeyringBook();
  const file = await followKeyringFile({ path: keyring, book, log });
  let server: MilterServer;
  try {
    server = await startMilter({ ...milter, keyrings: book });
  } catch (error) {
    file.stop();
    throw error;
  }
  for (const endpoint of server.endpoints) log('info', `Milter listens on ${endpoint}`);
  const stop = async (grace?: number): Promise<void> => {
    file.stop();
    await server.stop(grace);
  };
  return {
    server,
    book,
    generation: () => file.generation,
    reload: () => file.reload(),
    stop,
    [Symbol.asyncDispose]: () => stop(0),
  };
}

/** Runs until `stop` is aborted; messages on their way are finished. SIGHUP reads the keyring file again. */
export async function runMilter(options: StandaloneOptions & { readonly stop: AbortSignal }): Promise<void> {
  const milter = await startStandaloneMilter(options);
  const reload = (): void => void milter.reload();
  process.on('SIGHUP', reload);
  try {
    if (!options.stop.aborted) {
      await new Promise((resolve) => options.stop.addEventListener('abort', resolve, { once: true }));
    }
  } finally {
    process.off('SIGHUP', reload);
    await milter.stop();
  }
}

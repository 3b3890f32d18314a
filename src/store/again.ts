/** Reads that are asked again when the connection to the database was lost under them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPassing } from './errors.ts';
import type { Db, Trx } from './tables.ts';

/** How long a read waits for a database that has gone to come back, in milliseconds. */
const PATIENCE = 10_000;

/** Several questions to one state of the database. Asked again from the beginning where the connection is lost meanwhile. */
export function readTogether<T>(db: Db, work: (trx: Trx) => Promise<T>): Promise<T> {
  return again(PATIENCE, () => db.transaction().setAccessMode('read only').execute(work));
}

/** Tries until it succeeds, fails for good, or `patience` milliseconds are over; with pauses that grow, and differ between processes. */
export async function again<T>(patience: number, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!isPassing(error) || performance.now() - started > patience) throw error;
      await sleep(pause(attempt));
    }
  }
}

/** Milliseconds before the next attempt: about 20, 40, 80 … at most 1000, each between half and the whole of it. */
export function pause(attempt: number): number {
  return Math.min(1000, 10 * 2 ** attempt) * (0.5 + Math.random() / 2);
}

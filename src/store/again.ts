/** Reads that are asked again when the connection to the database was lost under them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPassing } from './errors.ts';
import type { Db, Trx } from './tables.ts';

/** How long reads of each open database wait for it to come back, in milliseconds: one fact that every read would otherwise be handed. */
const patience = new WeakMap<Db, number>();

export function setPatience(db: Db, milliseconds: number): void {
  patience.set(db, milliseconds);
}

/** Several questions to one state of the database. Asked again from the beginning where the connection is lost meanwhile. */
export function readTogether<T>(db: Db, work: (trx: Trx) => Promise<T>): Promise<T> {
  return again(patience.get(db) ?? 0, () => db.transaction().setAccessMode('read only').execute(work));
}

/** Tries until it succeeds, fails for good, or `milliseconds` are over; with pauses that grow, and differ between processes. */
export async function again<T>(milliseconds: number, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!isPassing(error) || performance.now() - started > milliseconds) throw error;
      await sleep(pause(attempt));
    }
  }
}

/** Milliseconds before the next attempt: about 20, 40, 80 … at most 1000, each between half and the whole of it. */
export function pause(attempt: number): number {
  return Math.min(1000, 10 * 2 ** attempt) * (0.5 + Math.random() / 2);
}

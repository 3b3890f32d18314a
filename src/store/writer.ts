/**
 * One writer. Changes that come in while others are being written share their transaction and its one wait for the
 * disk; each has a savepoint of its own, so that what fails takes nothing with it. Events and counters are kept until
 * the end of the transaction and written once.
 */
import { sql } from 'kysely';
import type { Clock } from '../lifecycle/clock.ts';
import { appendToChain, type NewEvent, type PreparedEvent, prepareEvent } from './journal.ts';
import type { Db, Trx } from './tables.ts';
import { applyTally, createTally, type Tally } from './tally.ts';

export interface Batch {
  readonly trx: Trx;
  readonly events: NewEvent[];
  readonly tally: Tally;
}

export interface Writer {
  /** Runs `work` in a transaction; resolves once it is on disk. What `work` throws undoes its own changes only. */
  write<T>(work: (batch: Batch) => Promise<T>): Promise<T>;
  /** Resolves when everything handed in so far is written. */
  drain(): Promise<void>;
}

/** Work after which a transaction is closed even if more is waiting, so that what came first is on disk soon. */
const BATCH_MILLISECONDS = 40;
/** Work after which others get their turn in between: the same event loop serves mail. */
const TURN_MILLISECONDS = 4;
/** Between two transactions, so that other processes find the write lock free. */
const PAUSE_MILLISECONDS = 2;

interface Job {
  run(trx: Trx, events: PreparedEvent[], tally: Tally): Promise<Settle>;
  reject(error: unknown): void;
}
type Settle = () => void;

export function createWriter(db: Db, journalKey: Uint8Array, clock: Clock): Writer {
  const queue: Job[] = [];
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    // Whoever hands in work in this turn of the event loop shares the first transaction.
    await Promise.resolve();
    while (queue.length > 0) {
      const settles: Settle[] = [];
      const taken: Job[] = [];
      try {
        await db.transaction().execute(async (trx) => {
          const events: PreparedEvent[] = [];
          const tally = createTally();
          const started = performance.now();
          let turn = started;
          for (let time = started; time - started < BATCH_MILLISECONDS; time = performance.now()) {
            const job = queue.shift();
            if (!job) break;
            taken.push(job);
            settles.push(await job.run(trx, events, tally));
            if (performance.now() - turn > TURN_MILLISECONDS) {
              await new Promise((resolve) => setImmediate(resolve));
              turn = performance.now();
            }
          }
          await applyTally(trx, tally);
          await appendToChain(trx, journalKey, events);
        });
        for (const settle of settles) settle();
      } catch (error) {
        // Nothing of this transaction is there: a full disk, a lost lock, a head that does not fit.
        if (taken.length === 0) {
          for (const job of queue.splice(0)) job.reject(error);
        }
        for (const job of taken) job.reject(error);
      }
      if (queue.length > 0) await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
    }
  }

  function start(): void {
    running ??= run().finally(() => {
      running = undefined;
      if (queue.length > 0) start();
    });
  }

  return {
    write<T>(work: (batch: Batch) => Promise<T>): Promise<T> {
      return new Promise<T>((resolve, reject) => {
        queue.push({
          reject,
          async run(trx, events, tally) {
            const own: Batch = { trx, events: [], tally: createTally() };
            await sql`savepoint change`.execute(trx);
            try {
              const result = await work(own);
              const prepared = own.events.map((event) => prepareEvent(event, clock.now()));
              await sql`release savepoint change`.execute(trx);
              events.push(...prepared);
              for (const [name, difference] of own.tally) tally.set(name, (tally.get(name) ?? 0) + difference);
              return () => resolve(result);
            } catch (error) {
              await undo(trx, error);
              return () => reject(error);
            }
          },
        });
        start();
      });
    },
    async drain() {
      while (running) await running;
    },
  };
}

/** Where even that fails the database has given up the whole transaction, and `error` says why. */
async function undo(trx: Trx, error: unknown): Promise<void> {
  try {
    await sql`rollback to savepoint change`.execute(trx);
    await sql`release savepoint change`.execute(trx);
  } catch {
    throw error;
  }
}

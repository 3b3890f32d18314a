/**
 * One writer. Changes that come in while others are being written share their transaction and its one wait for the
 * disk; each has a savepoint of its own, so that what fails takes nothing with it. Events and counters are kept until
 * the end of the transaction and written once.
 *
 * Where the database turns a transaction back (a deadlock) or is gone for a moment, the whole of it is run again: what is
 * handed in must do nothing that cannot be done twice.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Clock } from '../lifecycle/clock.ts';
import { again, pause } from './again.ts';
import type { StoreDialect } from './dialect.ts';
import { hasCode, isPassing } from './errors.ts';
import { appendToChain, type NewEvent, type PreparedEvent, prepareEvent } from './journal.ts';
import type { Db, Trx } from './tables.ts';
import { applyTally, createTally, type Tally } from './tally.ts';

export interface Batch {
  readonly trx: Trx;
  readonly events: NewEvent[];
  readonly tally: Tally;
  /** For what a change rests upon: nobody else can change the rows that were read until this transaction ends. */
  locked<Q extends { forUpdate(): Q }>(query: Q): Q;
}

export interface Writer {
  /** Runs `work` in a transaction; resolves once it is on disk. What `work` throws undoes its own changes only. */
  write<T>(work: (batch: Batch) => Promise<T>): Promise<T>;
  /** Resolves when everything handed in so far is written. */
  drain(): Promise<void>;
}

export interface WriterParts {
  readonly db: Db;
  readonly dialect: StoreDialect;
  readonly journalKey: Uint8Array;
  readonly clock: Clock;
}

/** Work after which a transaction is closed even if more is waiting, so that what came first is on disk soon. */
const BATCH_MILLISECONDS = 40;
/** Work after which others get their turn in between: the same event loop serves mail. */
const TURN_MILLISECONDS = 4;
/** Between two transactions, so that other processes find the write lock free. */
const PAUSE_MILLISECONDS = 2;
/** How often a transaction that others stand in the way of is run again, in smaller portions from the third time on. */
const MOST_CONFLICTS = 20;
const CONFLICTS_WHOLE = 3;
/** How often one change is run again that met a row which somebody else has just added. */
const MOST_OVERTAKEN = 3;

interface Job {
  run(trx: Trx, events: PreparedEvent[], tally: Tally): Promise<Settle>;
  reject(error: unknown): void;
}
type Settle = () => void;

export function createWriter({ db, dialect, journalKey, clock }: WriterParts): Writer {
  const queue: Job[] = [];
  let running: Promise<void> | undefined;
  const locked: Batch['locked'] = (query) => (dialect.oneWriter ? query : query.forUpdate());
  const marks = createMarks(db, dialect, clock);

  async function run(): Promise<void> {
    // Whoever hands in work in this turn of the event loop shares the first transaction.
    await Promise.resolve();
    while (queue.length > 0) {
      await writeBatch();
      if (queue.length > 0 && dialect.oneWriter) await sleep(PAUSE_MILLISECONDS);
    }
  }

  /** Takes changes from the queue and writes them, and sees to it that each is settled. */
  async function writeBatch(): Promise<void> {
    let taken: Job[] = [];
    let conflicts = 0;
    const started = performance.now();
    for (let attempt = 1; ; attempt += 1) {
      const first = attempt === 1;
      const mark = marks.next();
      const settles: Settle[] = [];
      try {
        await db.transaction().execute(async (trx) => {
          await runJobs(trx, first ? takingFrom(queue, taken) : eachOf(taken), settles);
          await marks.set(trx, mark);
        });
        for (const settle of settles) settle();
        return;
      } catch (error) {
        const told = error;
        if (hasCode(told, 'uncertain')) {
          try {
            if (await marks.landed(mark)) {
              for (const settle of settles) settle();
              return;
            }
            // It is not there, and its transaction is over: it can be run again.
          } catch {
            for (const job of taken) job.reject(told);
            return;
          }
        }
        if (hasCode(told, 'conflict')) conflicts += 1;
        const waited = performance.now() - started;
        if (isPassing(told) && conflicts < MOST_CONFLICTS && (conflicts > 0 || waited < dialect.patience)) {
          if (conflicts >= CONFLICTS_WHOLE && taken.length > 1)
            queue.unshift(...taken.splice(Math.ceil(taken.length / 2)));
          await sleep(pause(Math.min(attempt, 5)));
          continue;
        }
        // Nothing of this transaction is there: a full disk, a lost lock, a head that does not fit.
        if (taken.length === 0) taken = queue.splice(0);
        for (const job of taken) job.reject(told);
        return;
      }
    }
  }

  async function runJobs(trx: Trx, next: () => Job | undefined, settles: Settle[]): Promise<void> {
    const events: PreparedEvent[] = [];
    const tally = createTally();
    let turn = performance.now();
    for (let job = next(); job; job = next()) {
      settles.push(await job.run(trx, events, tally));
      if (performance.now() - turn > TURN_MILLISECONDS) {
        await new Promise((resolve) => setImmediate(resolve));
        turn = performance.now();
      }
    }
    // The head comes before the counters: whoever holds it finds nobody else on the way to them.
    await appendToChain(trx, locked, journalKey, events);
    await applyTally(trx, tally);
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
            for (let attempt = 1; ; attempt += 1) {
              const own: Batch = { trx, events: [], tally: createTally(), locked };
              // Elsewhere than in SQLite the next one of the same name takes its place: one question less for each change.
              await sql`savepoint one_change`.execute(trx);
              try {
                const result = await work(own);
                const prepared = own.events.map((event) => prepareEvent(event, clock.now()));
                if (dialect.oneWriter) await sql`release savepoint one_change`.execute(trx);
                events.push(...prepared);
                for (const [name, difference] of own.tally) tally.set(name, (tally.get(name) ?? 0) + difference);
                return () => resolve(result);
              } catch (error) {
                // The whole transaction is over with it.
                if (isPassing(error)) throw error;
                await undo(trx, error);
                if (hasCode(error, 'taken') && attempt < MOST_OVERTAKEN) continue;
                return () => reject(error);
              }
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

/** Jobs of the queue until their time is up, noted in `taken`. */
function takingFrom(queue: Job[], taken: Job[]): () => Job | undefined {
  const until = performance.now() + BATCH_MILLISECONDS;
  return () => {
    const job = performance.now() < until ? queue.shift() : undefined;
    if (job) taken.push(job);
    return job;
  };
}

function eachOf(jobs: readonly Job[]): () => Job | undefined {
  let next = 0;
  return () => jobs[next++];
}

/** Where even that fails the database has given up the whole transaction, and `error` says why. */
async function undo(trx: Trx, error: unknown): Promise<void> {
  try {
    await sql`rollback to savepoint one_change`.execute(trx);
    await sql`release savepoint one_change`.execute(trx);
  } catch {
    throw error;
  }
}

/** What each transaction leaves behind, so that one whose answer was lost can be asked for. */
interface Marks {
  next(): number;
  set(trx: Trx, mark: number): Promise<void>;
  /** Whether the transaction with this mark, the last of this process, was committed. Waits until it is over. */
  landed(mark: number): Promise<boolean>;
}

const FORGOTTEN_AFTER = 7 * 24 * 60 * 60 * 1000;

function createMarks(db: Db, dialect: StoreDialect, clock: Clock): Marks {
  let last = 0;
  const next = () => ++last;
  // A commit to a file is answered by the call that makes it.
  if (dialect.oneWriter) return { next, set: async () => {}, landed: async () => false };
  const id = randomBytes(16).toString('hex');
  return {
    next,
    async set(trx, mark) {
      const at = clock.now();
      const { numUpdatedRows } = await trx
        .updateTable('writers')
        .set({ mark, at })
        .where('id', '=', id)
        .executeTakeFirst();
      if (numUpdatedRows > 0n) return;
      await trx.insertInto('writers').values({ id, mark, at }).execute();
      await trx
        .deleteFrom('writers')
        .where('at', '<', at - FORGOTTEN_AFTER)
        .execute();
    },
    landed: (mark) =>
      again(dialect.patience, () =>
        db.transaction().execute(async (trx) => {
          const row = await trx
            .selectFrom('writers')
            .select('mark')
            .where('id', '=', id)
            .forUpdate()
            .executeTakeFirst();
          return row?.mark === mark;
        }),
      ),
  };
}

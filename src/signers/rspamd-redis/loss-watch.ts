/** Notices within a second that Redis lost everything (flushed, restarted without its data, another server), and has it put back. */
import { randomBytes } from 'node:crypto';
import type { SignerDependencies } from '../kind.ts';
import type { RedisConnection } from './connection.ts';

/** A field of our own hash that stands there, with the same value, as long as the rest does. No domain has this name. */
export const epochField = '*';

export interface LossWatch {
  start(): void;
  stop(): Promise<void>;
}

/** `restore` puts everything back and says how many domains; it is called again at the next turn where it throws. */
export function createLossWatch({
  redis,
  marks,
  every,
  log,
  restore,
}: {
  readonly redis: RedisConnection;
  readonly marks: string;
  /** Milliseconds. */
  readonly every: number;
  readonly log: SignerDependencies['log'];
  readonly restore: () => Promise<number>;
}): LossWatch {
  let stopped = false;
  let epoch: string | null = null;
  let timer: NodeJS.Timeout | null = null;
  let turn: Promise<void> = Promise.resolve();

  async function look(): Promise<void> {
    try {
      let there = await redis.call('HGET', marks, epochField);
      // Another instance may have been quicker: its value is another one then, and what it knows may be older.
      if (epoch !== null && there !== epoch) {
        const began = performance.now();
        const server = redis.name;
        log('error', 'redis-lost-everything', {
          server,
          advice: 'the keys are being put back; see why it lost its data',
        });
        const domains = await restore();
        log('warn', 'redis-restored', { server, domains, milliseconds: Math.round(performance.now() - began) });
      }
      if (typeof there !== 'string') {
        await redis.call('HSETNX', marks, epochField, randomBytes(12).toString('base64url'));
        there = await redis.call('HGET', marks, epochField);
      }
      if (typeof there === 'string') epoch = there;
    } catch {
      // It cannot be reached, or takes no writes: deliveries and inspections say so.
    }
  }

  function next(): void {
    if (stopped) return;
    timer = setTimeout(() => {
      turn = look().then(next);
    }, every);
    timer.unref();
  }
  return {
    start() {
      turn = look().then(next);
    },
    async stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
      await turn;
    },
  };
}

/** Calls `put` for each, some at a time; how many were acknowledged. @throws what the last failed one threw, after all were tried. */
export async function restoreAll<T>(
  items: Iterable<T>,
  put: (item: T) => Promise<{ readonly kind: string }>,
  atOnce = 50,
): Promise<number> {
  const rest = [...items];
  let restored = 0;
  let failure: unknown = null;
  const work = async () => {
    for (let item = rest.pop(); item !== undefined; item = rest.pop()) {
      try {
        if ((await put(item)).kind === 'acknowledged') restored += 1;
      } catch (error) {
        failure = error;
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  if (failure !== null) throw failure;
  return restored;
}

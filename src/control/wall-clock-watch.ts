/**
 * Notices when the wall clock jumps, by measuring it against the monotonic clock. The waits of the lifecycle are credited from
 * look to look and capped, so a jump shortens nothing; but an operator must hear of it, for certificates, logs and signatures' `t=` suffer too.
 */
import type { Clock } from '../lifecycle/clock.ts';

export interface ClockJump {
  /** Milliseconds by which the wall clock ran ahead of (positive) or fell behind (negative) the monotonic clock. */
  readonly by: number;
  readonly at: number;
}

/** Answers, at each call, the jump since the last call, or null where there was none of at least `tolerance` milliseconds. */
export function createWallClockWatch(clock: Clock, monotonic: () => number, tolerance: number): () => ClockJump | null {
  let wall = clock.now();
  let steady = monotonic();
  return () => {
    const [wallNow, steadyNow] = [clock.now(), monotonic()];
    const by = wallNow - wall - (steadyNow - steady);
    [wall, steady] = [wallNow, steadyNow];
    return Math.abs(by) >= tolerance ? { by, at: wallNow } : null;
  };
}

/** Time is given, never taken: everything that needs the time of day is handed a clock. */
export interface Clock {
  /** Wall-clock time, epoch milliseconds (UTC). It may jump. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

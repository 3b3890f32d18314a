/** What time it is at the control plane: agents' clocks are off more often than servers', and a signature that was made in the future is refused. */
import type { Clock } from '../../../lifecycle/clock.ts';

/** A clock that is off by less is left alone, milliseconds. */
const tolerance = 60_000;

export interface ControlTime {
  /** This machine's clock, or the control plane's where the two are far apart. */
  readonly clock: Clock;
  /** An answer's time, between two moments of a clock that never jumps. */
  heard(theirs: number, asked: number, heard: number): void;
  /** Milliseconds by which this machine's clock is ahead of the control plane's; null before the first answer. */
  ahead(): number | null;
  readonly isOff: boolean;
}

export function createControlTime(own: Clock, elapsed: () => number): ControlTime {
  /** Their clock minus the steady one: no jump of ours goes into it. */
  let offset: number | null = null;
  const theirs = () => (offset === null ? own.now() : elapsed() + offset);
  const ahead = () => (offset === null ? null : Math.round(own.now() - theirs()));
  const isOff = () => Math.abs(ahead() ?? 0) > tolerance;
  return {
    clock: { now: () => (isOff() ? Math.round(theirs()) : own.now()) },
    heard(time, asked, heard) {
      // An answer that took long says little of when it was made: the long poll's time is that of its end.
      offset = heard - asked < 2000 ? time - (asked + heard) / 2 : time - heard;
    },
    ahead,
    get isOff() {
      return isOff();
    },
  };
}

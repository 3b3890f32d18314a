/** How the line to the control plane is: what is said of it, once, and how long to wait before the next attempt. */
import type { Clock } from '../../../lifecycle/clock.ts';
import { roughDuration } from '../../../settings/durations.ts';
import { errorText, type Log } from '../../log.ts';
import type { ControlTime } from './control-time.ts';
import { type Link, LinkError } from './link.ts';
import type { AgentStatus } from './status.ts';

const shortestPause = 500;
const longestPause = 30_000;

export interface ConnectionOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly link: Pick<Link, 'url'>;
  readonly time: ControlTime;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number;
}

export type Connection = ReturnType<typeof createConnection>;

export function createConnection({ clock, log, link, time, elapsed }: ConnectionOptions) {
  let name: string | null = null;
  let isUp = false;
  let trouble: string | null = null;
  let since = clock.now();
  let heardAt: number | null = null;
  let failures = 0;
  let takenSince: number | null = null;
  let lostAt = elapsed();
  let clockWasOff = false;
  const heard = () => {
    heardAt = clock.now();
    if (time.isOff === clockWasOff) return;
    clockWasOff = time.isOff;
    if (clockWasOff)
      log.warn('clock-off', {
        milliseconds: time.ahead(),
        advice:
          "this machine's clock and the control plane's are far apart: see to the time service; signatures carry the control plane's time meanwhile",
      });
    else log.info('clock-right');
  };
  return {
    get name() {
      return name;
    },
    get isUp() {
      return isUp;
    },
    heard,
    greeted(hello: { readonly name: string }) {
      name = hello.name;
      takenSince = null;
      heard();
    },
    up() {
      failures = 0;
      if (isUp) return heard();
      isUp = true;
      since = clock.now();
      log.info('control-reached', {
        agent: name,
        url: link.url,
        ...(trouble === null ? {} : { after: roughDuration(elapsed() - lostAt) }),
      });
      trouble = null;
      heard();
    },
    /** The pause before the next attempt; null where it is to end. */
    lost(error: unknown): number | null {
      const text = errorText(error);
      const its = error instanceof LinkError ? error.problem : null;
      // A process that lost its name, or its place in the journal, begins anew: that is no trouble yet.
      if (its === 'not-greeted' || its === 'position-unknown') {
        log.info('control-begins-anew', { why: text });
        return failures++ === 0 ? 0 : shortestPause;
      }
      if (isUp) lostAt = elapsed();
      isUp = false;
      if (its === 'name-taken') {
        takenSince ??= elapsed();
        const lease = (error instanceof LinkError ? error.retryAfter : null) ?? longestPause;
        if (elapsed() - takenSince > 2 * lease) return null;
      }
      if (trouble !== text) {
        since = clock.now();
        const advice = 'what is here goes on being signed; it is tried again';
        if (error instanceof LinkError)
          log[error.kind === 'away' ? 'warn' : 'error']('control-not-reached', { why: text, advice });
        else log.error('control-not-followed', { error: text, advice });
      }
      trouble = text;
      const pause = Math.min(longestPause, shortestPause * 2 ** Math.min(failures, 10));
      failures += 1;
      return its === 'name-taken' ? Math.min(pause, 5000) : pause;
    },
    facts: (): Pick<AgentStatus, 'connection' | 'since' | 'heardAt' | 'trouble'> => ({
      connection: isUp ? 'up' : 'down',
      since,
      heardAt,
      trouble,
    }),
  };
}

/** Durations on the command line, such as `--for 90d`. */
import { usage } from './exit.ts';

/** A hundred years: nobody plans further, and calendars end somewhere. */
const longest = 36_525 * 86_400_000;

/**
 * Milliseconds, more than none.
 * @throws CommandFailure (usage) that says how durations are written
 */
export async function durationOption(option: string, text: string): Promise<number> {
  const { parseDuration } = await import('../settings/durations.ts');
  const duration = parseDuration(text);
  const units = 'ms, s, m (minutes), h, d, w';
  if (duration === null)
    throw usage(`${option} "${text}": expected numbers, each with its unit (${units}), such as 90d or 1h30m`);
  if (duration <= 0) throw usage(`${option} "${text}": expected more than nothing, such as 90d`);
  if (duration > longest) throw usage(`${option} "${text}": that is more than a hundred years (36525d)`);
  return duration;
}

/** Makes a failing history shorter: leaves out what it does not need in order to fail (delta debugging, Zeller 1999). */
import type { History, Incident } from './history.ts';
import { type RunOptions, run } from './run.ts';

/** A history with as few incidents as this finds, that still breaks. `mostRuns` bounds the search. */
export function shrink(history: History, options: RunOptions = {}, mostRuns = 400): History {
  let runs = 0;
  const fails = (incidents: readonly Incident[]): boolean => {
    runs++;
    return run({ ...history, incidents }, options).broke !== null;
  };
  let kept: readonly Incident[] = upToFailure(history, options);
  if (!fails(kept)) kept = history.incidents;
  let pieces = 2;
  while (kept.length > 0 && runs < mostRuns) {
    const size = Math.ceil(kept.length / pieces);
    let cut = false;
    for (let from = 0; from < kept.length && runs < mostRuns; from += size) {
      const rest = [...kept.slice(0, from), ...kept.slice(from + size)];
      if (!fails(rest)) continue;
      kept = rest;
      cut = true;
      break;
    }
    if (cut) pieces = Math.max(2, pieces - 1);
    else if (size === 1) break;
    else pieces = Math.min(kept.length, pieces * 2);
  }
  return { ...history, incidents: kept };
}

/** What comes after the failure cannot have caused it. */
function upToFailure(history: History, options: RunOptions): readonly Incident[] {
  const { broke } = run(history, options);
  return broke === null ? history.incidents : history.incidents.filter((incident) => incident.at <= broke.at);
}

/** Freeze windows: times in which nothing enters, leaves, is revoked or removed. All of them are reckoned in UTC. */
import type { FreezeWindow, Policy } from './policy.ts';

const MINUTE = 60_000;
const DAY = 86_400_000;
const WEEK = 7 * DAY;
/** 1 January 1970 was a Thursday; the week begins on Sunday. */
const SUNDAY_BEFORE_EPOCH = -4 * DAY;

export interface Frozen {
  readonly until: number;
  readonly why: string | null;
}

/** The window that `now` lies in (the one that ends last, where several do), or null. */
export function frozenAt(policy: Policy, now: number): Frozen | null {
  let frozen: Frozen | null = null;
  for (const window of policy.freeze) {
    const until = endOf(window, now);
    if (until !== null && (frozen === null || until > frozen.until)) frozen = { until, why: window.why ?? null };
  }
  return frozen;
}

function endOf(window: FreezeWindow, now: number): number | null {
  switch (window.kind) {
    case 'dates':
      return now >= window.from && now < window.to ? window.to : null;
    case 'yearly':
      return endOfYearly(window, now);
    case 'weekly': {
      const inWeek = (now - SUNDAY_BEFORE_EPOCH) % WEEK;
      const from = window.from.weekday * DAY + window.from.minute * MINUTE;
      const to = window.to.weekday * DAY + window.to.minute * MINUTE;
      const length = (to - from + WEEK) % WEEK;
      const inside = (inWeek - from + WEEK) % WEEK;
      return inside < length ? now + length - inside : null;
    }
  }
}

/** Both days are included: the window ends with the midnight after its last day. */
function endOfYearly(window: Extract<FreezeWindow, { kind: 'yearly' }>, now: number): number | null {
  const year = new Date(now).getUTCFullYear();
  for (const first of [year - 1, year]) {
    const from = Date.UTC(first, window.from.month - 1, window.from.day);
    const sameYear = Date.UTC(first, window.to.month - 1, window.to.day + 1);
    const to = sameYear > from ? sameYear : Date.UTC(first + 1, window.to.month - 1, window.to.day + 1);
    if (now >= from && now < to) return to;
  }
  return null;
}

/**
 * How long things must wait, and how waiting is counted. A wait is credited from look to look, and one look credits at most
 * a small share of it: a clock that jumps forward shortens a wait by no more than that share, one that jumps back only
 * lengthens it. Every margin scales with the policy, so that the same code runs a rotation of seconds and one of months.
 * All values are milliseconds.
 */
import { stoodBeforeUs } from './facts.ts';
import type { Policy } from './policy.ts';
import type { KeyView } from './types.ts';

const DAY = 86_400_000;
/** No margin is smaller: below it, timers and networks are noise. */
const SMALLEST = 50;
/** Jumps of less than this cannot be told from a late timer. */
const NOISE = 500;

/** A domain is looked at this often even if nothing is due; a look that is planned further ahead than 25 h is a clock's mistake. */
export const LONGEST_SLEEP = DAY;

/** How often a running wait is looked at. */
export function waitStep(wait: number): number {
  return Math.max(SMALLEST, Math.min(wait / 20, LONGEST_SLEEP));
}

/** The most that one look may credit to a wait: a sixteenth, so a little more than one step. */
export function creditCap(wait: number): number {
  return Math.max(NOISE, Math.min(wait / 16, 1.5 * LONGEST_SLEEP));
}

/**
 * The time for which a resolver may remember that the record was not there (RFC 2308 section 5), as last seen, or what a removed key
 * of the same slot had there. Both are over as long after the record was first seen everywhere: its predecessor was gone by then.
 */
export function negativeWait(key: KeyView): number {
  return Math.max(key.proof?.negativeTtl ?? 0, key.earlierTtl ?? 0) * 1000;
}

/** What a key waits before its first use when it is needed now: the negative cache, and a quarter for clocks and looks. */
export function urgentWait(key: KeyView): number {
  return stoodBeforeUs(key) ? 0 : Math.max(negativeWait(key) * 1.25, SMALLEST);
}

/** What a key waits before a planned use: the policy's lead, at least twice the negative cache. */
export function plannedWait(key: KeyView, policy: Policy): number {
  return stoodBeforeUs(key) ? 0 : Math.max(policy.lead, negativeWait(key) * 2, SMALLEST);
}

/**
 * The part of the wait that runs now. The negative cache's comes first and is looked at in its own steps: so a stream without
 * keys gets its first ones soon, and no jump of the clock is a large share of the part that receivers depend on.
 */
export function presentWait(key: KeyView, policy: Policy): number {
  const urgent = urgentWait(key);
  return key.waited < urgent ? urgent : plannedWait(key, policy);
}

/** The pause before the first repetition of something that failed, and between effects whose outcome is awaited. */
export function quick(policy: Policy): number {
  return clamp(Math.min(policy.lead, policy.overlap, policy.proofFresh) / 20, SMALLEST, 5_000);
}

/** The longest pause between repetitions. */
export function slow(policy: Policy): number {
  return clamp(Math.min(policy.watchEvery, policy.lead), quick(policy), 3_600_000);
}

/** When something that failed `failures` times in a row, last at `at`, is tried again: doubling pauses. */
export function retryAt(at: number, failures: number, policy: Policy): number {
  return at + Math.min(slow(policy), quick(policy) * 2 ** Math.min(failures, 20));
}

/** A pause that grows with the time something has lasted already: back-off without a counter. */
export function growing(since: number, now: number, policy: Policy): number {
  return clamp((now - since) / 4, quick(policy), slow(policy));
}

export function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(value, high));
}

/** Serial numbers of zones: 32 bits, compared on a circle (RFC 1982). */

const MODULUS = 2 ** 32;
const HALF = 2 ** 31;
/** How far a serial leaps at a start when the clock is of no help: more changes than can be lost between two saves. */
const LEAP = 1024;

/** `serial + steps`, RFC 1982 section 3.1. Zero is skipped: some secondaries take it for "none". */
export function addSerial(serial: number, steps = 1): number {
  const sum = (serial + steps) % MODULUS;
  return sum === 0 ? 1 : sum;
}

/** Whether `a` is newer than `b`, RFC 1982 section 3.2. Serials exactly half a circle apart are ordered neither way. */
export function isNewer(a: number, b: number): boolean {
  const distance = (a - b + MODULUS) % MODULUS;
  return distance !== 0 && distance < HALF;
}

/**
 * A serial to start with that is newer than every one that was ever served, although the last few may have been served
 * and not yet saved when the program died: the time in seconds, or a leap ahead of the saved one where that is newer.
 *
 * @param saved the last serial that was saved, or null for a new zone
 * @param now epoch milliseconds
 */
export function startSerial(saved: number | null, now: number): number {
  const seconds = Math.floor(now / 1000) % MODULUS || 1;
  if (saved === null) return seconds;
  const leapt = addSerial(saved, LEAP);
  return isNewer(seconds, leapt) ? seconds : leapt;
}

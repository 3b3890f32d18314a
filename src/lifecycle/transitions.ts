/** The states' graph. Entering and leaving the active set go by `active-changed`, all else by `moved`. */
import type { KeyState, KeyView } from './types.ts';

/**
 * Moves of a single key. A move to `revoked` is the decision, made in the store before any record is touched: from then on
 * the key never enters again, so a late or repeated write of its record can harm nobody.
 */
const MOVES: Readonly<Record<KeyState, readonly KeyState[]>> = {
  created: ['published', 'revoked'],
  published: ['standby', 'revoked'],
  standby: ['revoked'],
  active: [],
  retiring: ['revoked'],
  revoked: ['removed'],
  removed: [],
};

export function mayMove(from: KeyState, to: KeyState): boolean {
  return MOVES[from].includes(to);
}

/** Standby keys enter; so do retiring ones, when a rotation is rolled back. */
export function mayEnterFrom(state: KeyState): boolean {
  return state === 'standby' || state === 'retiring';
}

/** It was in a keyring once (ours, or somebody's before it was imported), so there may be mail that it signed. */
export function hasBeenActive(key: KeyView): boolean {
  return key.enteredGeneration !== null || key.imported;
}

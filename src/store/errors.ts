/** What a store cannot go on without a person for: said with a code for programs and advice for people. */

export type StoreErrorCode =
  /** No space left, or a quota reached. */
  | 'disk-full'
  | 'read-only'
  /** Another process holds a lock for longer than we wait. */
  | 'locked'
  | 'corrupt'
  | 'cannot-open'
  /** The database server does not answer, or the connection to it was lost. */
  | 'unreachable'
  /** The connection was lost while a change was being committed, and nobody could be asked whether it was. */
  | 'uncertain'
  /** The database turned back one of two changes that stood in each other's way, again and again. */
  | 'conflict'
  /** A row that a change adds is there already, or one that it rests upon is not. */
  | 'taken'
  | 'access-denied'
  | 'too-many-connections'
  | 'tls'
  /** A copy into this store was begun and not finished. */
  | 'unfinished-copy'
  /** Made by a newer Keyturn. */
  | 'newer-schema'
  /** The key-encryption key is not the one that sealed this store. */
  | 'wrong-kek'
  /** The key-encryption key cannot be read, is malformed, or is readable by others. */
  | 'bad-kek'
  /** A sealed value does not open in this place: moved or altered. */
  | 'unsealed'
  /** A caller's mistake: a value that cannot be stored. */
  | 'invalid'
  | 'failed';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  /** What to do next, in a sentence. */
  readonly advice: string;

  constructor(code: StoreErrorCode, message: string, advice: string, cause?: unknown) {
    super(`${message} ${advice}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.advice = advice;
  }
}

const passing: ReadonlySet<StoreErrorCode> = new Set(['conflict', 'unreachable', 'uncertain', 'too-many-connections']);

/** True where the same work may well succeed in a moment: nothing of it is there, or (`uncertain`) that can be asked. */
export function isPassing(error: unknown): error is StoreError {
  return error instanceof StoreError && passing.has(error.code);
}

export function hasCode(error: unknown, code: StoreErrorCode): error is StoreError {
  return error instanceof StoreError && error.code === code;
}

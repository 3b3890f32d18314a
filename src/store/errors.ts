/** What a store cannot go on without a person for: said with a code for programs and advice for people. */

export type StoreErrorCode =
  /** No space left, or a quota reached. */
  | 'disk-full'
  | 'read-only'
  /** Another process holds the write lock for longer than we wait. */
  | 'locked'
  | 'corrupt'
  | 'cannot-open'
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

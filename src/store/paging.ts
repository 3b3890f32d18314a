/** Pages by key, never by offset: the thousandth page costs what the first one costs. */
import { StoreError } from './errors.ts';
import type { PageRequest } from './store.ts';

export function pageLimit(page: PageRequest | undefined): number {
  const limit = page?.limit ?? 100;
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
    throw new StoreError('invalid', `A page holds 1 to 1000 rows, not ${limit}.`, 'Ask for several pages.');
  }
  return limit;
}

/** A cursor of several columns. */
export function writeCursor(parts: ReadonlyArray<string | number>): string {
  return Buffer.from(JSON.stringify(parts), 'utf8').toString('base64url');
}

export function readCursor(text: string, parts: number): ReadonlyArray<string | number> {
  try {
    const read: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    if (
      Array.isArray(read) &&
      read.length === parts &&
      read.every((p) => typeof p === 'string' || typeof p === 'number')
    )
      return read;
  } catch {
    // Told below, as any other malformed cursor.
  }
  throw new StoreError('invalid', 'The cursor is not one that a page gave.', 'Begin again without it.');
}

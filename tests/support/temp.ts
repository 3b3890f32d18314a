/** Folders that last as long as a test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TempDir extends Disposable {
  readonly path: string;
  /** Path of something inside the folder. */
  join(...parts: string[]): string;
  remove(): void;
}

/** Makes an empty folder of mode 0700; `using dir = tempDir('bind')` removes it at the end of the block. */
export function tempDir(label = 'test'): TempDir {
  const path = mkdtempSync(join(tmpdir(), `keyturn-${label}-`));
  const remove = (): void => rmSync(path, { recursive: true, force: true, maxRetries: 3 });
  return { path, join: (...parts) => join(path, ...parts), remove, [Symbol.dispose]: remove };
}

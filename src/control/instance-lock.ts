/**
 * One running program per signer name and data folder: two milters under one name would acknowledge for each other, and a key
 * could leave one of them while the other still signs with it.
 */
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';

export interface InstanceLock extends Disposable {
  release(): void;
}

/** Null where another process holds the name. The lock is the operating system's: it ends with the process, however that ends. */
export function lockInstance(dataFolder: string, instance: string): InstanceLock | null {
  const file = join(dataFolder, `instance-${instance}.lock`);
  const database = new Database(file, { timeout: 0 });
  try {
    chmodSync(file, 0o600);
    database.pragma('journal_mode = MEMORY');
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('SQLITE_BUSY')) return null;
    throw error;
  }
  const release = () => {
    if (database.open) database.close();
  };
  return { release, [Symbol.dispose]: release };
}

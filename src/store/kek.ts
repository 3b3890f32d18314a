/** Where the key-encryption key comes from: the environment, or a file of mode 0600 that is made on first use. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { StoreError } from './errors.ts';
import { type Kek, type Keks, kekFrom } from './sealing.ts';

export interface KekSource {
  /** Used where the environment names no key; made on first use. */
  readonly file: string;
  /** False where the store is there already: its key cannot be made anew, only brought back. True by default. */
  readonly mayMake?: boolean;
  /** `KEYTURN_KEK`: base64 of 32 bytes. `KEYTURN_KEK_OLD`: earlier ones, separated by commas. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

const MAKE_ONE = 'Make one with: openssl rand -base64 32';

/**
 * Reads the keys, or makes the file with one key. In the file each line is the base64 of 32 bytes: the first line is
 * the key that seals, those below it only open; lines beginning with `#` are comments.
 * Throws `StoreError` `bad-kek`.
 */
export function loadKeks(source: KekSource): Keks {
  const current = source.environment?.KEYTURN_KEK?.trim();
  if (current) {
    const old = (source.environment?.KEYTURN_KEK_OLD ?? '').split(',').filter((text) => text.trim() !== '');
    return {
      current: decode(current, 'KEYTURN_KEK'),
      old: old.map((text) => decode(text.trim(), 'KEYTURN_KEK_OLD')),
    };
  }
  const text = readSafely(source.file) ?? (source.mayMake === false ? refuse(source.file) : makeFile(source.file));
  const keys = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => decode(line, source.file));
  const [first, ...old] = keys;
  if (!first)
    throw new StoreError(
      'bad-kek',
      `The key file ${source.file} holds no key.`,
      'Bring back the file from your backup; without it, the private keys in the store cannot be opened.',
    );
  return { current: first, old };
}

function refuse(file: string): never {
  throw new StoreError(
    'bad-kek',
    `There is no key file ${file}, but the store that it opens is there.`,
    'Bring the file back from your backup, copy it from a machine that shares this database, or set KEYTURN_KEK; without the key, the private keys in the store cannot be opened.',
  );
}

/** A key that lives as long as the process, for stores in memory. */
export function temporaryKeks(): Keks {
  return { current: kekFrom(randomBytes(32)), old: [] };
}

function decode(text: string, where: string): Kek {
  const key = Buffer.from(text, 'base64');
  // Buffer skips what is not base64; a key must be written exactly, with or without padding.
  if (key.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, '') || key.length !== 32) {
    throw new StoreError(
      'bad-kek',
      `${where} does not hold a key-encryption key: 32 bytes in base64 are wanted.`,
      MAKE_ONE,
    );
  }
  return kekFrom(key);
}

function readSafely(file: string): string | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw new StoreError(
      'bad-kek',
      `The key file ${file} cannot be read (${errorCode(error)}).`,
      'It must belong to the user that runs Keyturn, with mode 0600.',
      error,
    );
  }
  try {
    const { mode } = fstatSync(descriptor);
    if ((mode & 0o077) !== 0) {
      const shown = (mode & 0o777).toString(8).padStart(4, '0');
      throw new StoreError(
        'bad-kek',
        `The key file ${file} can be read by others (mode ${shown}).`,
        `Run: chmod 600 ${file} — and think of who may have read it already.`,
      );
    }
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** Written beside and linked into place: of two first starts one wins, and nobody ever reads half a key. */
function makeFile(file: string): string {
  const directory = dirname(file);
  const beside = join(directory, `.kek-${randomBytes(8).toString('hex')}`);
  const text = `# Keyturn's key-encryption key. Without it the private keys in the store cannot be opened: keep a copy apart from the backups.\n${randomBytes(32).toString('base64')}\n`;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const descriptor = openSync(beside, 'wx', 0o600);
    try {
      fchmodSync(descriptor, 0o600);
      writeSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    try {
      linkSync(beside, file);
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
    } finally {
      unlinkSync(beside);
    }
    const folder = openSync(directory, 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch (error) {
    throw new StoreError(
      'bad-kek',
      `The key file ${file} cannot be made (${errorCode(error)}).`,
      'Check that the folder can be written, or set KEYTURN_KEK.',
      error,
    );
  }
  const made = readSafely(file);
  if (made === undefined)
    throw new StoreError('bad-kek', `The key file ${file} vanished while it was made.`, 'Find out what removes it.');
  return made;
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

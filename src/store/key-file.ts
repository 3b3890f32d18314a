/** Files of keys: lines of base64, mode 0600, made on first use so that of two first starts one wins. */
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
import { basename, dirname, join } from 'node:path';
import { StoreError } from './errors.ts';
import { type Kek, kekFrom } from './sealing.ts';

/** What a kind of key file is called, and what a person does about it. */
export interface KeyFileWords {
  /** The file as a sentence names it, at its beginning. */
  readonly named: (file: string) => string;
  /** What one line holds, such as `a key-encryption key`. */
  readonly holds: string;
  /** The first line of a file that is made. */
  readonly comment: string;
  /** What to do where it cannot be made. */
  readonly unmakeable: string;
}

/** The base64 of 32 bytes, written exactly, with or without padding. @throws StoreError `bad-kek`, naming `where` and never the text. */
export function decodeKey(text: string, where: string, { holds }: KeyFileWords): Kek {
  const key = Buffer.from(text, 'base64');
  // Buffer skips what is not base64.
  if (key.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, '') || key.length !== 32) {
    throw new StoreError(
      'bad-kek',
      `${where} does not hold ${holds}: 32 bytes in base64 are wanted.`,
      'Make one with: openssl rand -base64 32',
    );
  }
  return kekFrom(key);
}

/** The keys of a file's text, one a line; `#` begins a comment. */
export function keysIn(text: string, file: string, words: KeyFileWords): readonly Kek[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => decodeKey(line, file, words));
}

/** Undefined where there is none. @throws StoreError `bad-kek` where it cannot be read, or others can read it. */
export function readKeyFile(file: string, { named }: KeyFileWords): string | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new StoreError(
      'bad-kek',
      `${named(file)} cannot be read (${codeOf(error)}).`,
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
        `${named(file)} can be read by others (mode ${shown}).`,
        `Run: chmod 600 ${file} — and think of who may have read it already.`,
      );
    }
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** Written beside and linked into place: of two first starts one wins, and nobody ever reads half a key. What stands there then. */
export function makeKeyFile(file: string, words: KeyFileWords): string {
  const directory = dirname(file);
  const beside = join(directory, `.${basename(file)}-${randomBytes(8).toString('hex')}`);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    write(beside, `# ${words.comment}\n${randomBytes(32).toString('base64')}\n`);
    try {
      linkSync(beside, file);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
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
    throw new StoreError('bad-kek', `${words.named(file)} cannot be made (${codeOf(error)}).`, words.unmakeable, error);
  }
  const made = readKeyFile(file, words);
  if (made !== undefined) return made;
  throw new StoreError('bad-kek', `${words.named(file)} vanished while it was made.`, 'Find out what removes it.');
}

function write(file: string, text: string): void {
  const descriptor = openSync(file, 'wx', 0o600);
  try {
    fchmodSync(descriptor, 0o600);
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

/**
 * The key under which keyrings are sealed on their way to other machines. It is none of the store's: a mail server that holds it can open the
 * active keys, which it needs, and nothing of the store.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
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
import { StoreError } from '../errors.ts';
import { type Kek, type Keks, kekFrom } from '../sealing.ts';

export interface KeyringKeySource {
  readonly file: string;
  /** Control planes make it on first use; followers are given a copy. */
  readonly mayMake: boolean;
  /** `KEYTURN_KEYRINGS_KEY` goes before the file. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

const variable = 'KEYTURN_KEYRINGS_KEY';
const advice = 'Make one with: openssl rand -base64 32';

/**
 * Reads the key. Each line of the file is the base64 of 32 bytes: the first seals, those below only open; `#` begins a comment.
 * @throws StoreError `bad-kek`, naming the file and never what stands in it.
 */
export function loadKeyringKeys({ file, mayMake, environment }: KeyringKeySource): Keks {
  const given = environment?.[variable]?.trim();
  if (given) {
    const [current, ...old] = given.split(',').map((text) => decode(text.trim(), variable));
    if (current !== undefined) return { current, old };
  }
  const text = readSafely(file) ?? (mayMake ? makeFile(file) : refuse(file));
  const lines = text.split('\n').map((line) => line.trim());
  const [current, ...old] = lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => decode(line, file));
  if (current === undefined) {
    throw new StoreError(
      'bad-kek',
      `The file of the keyrings' key, ${file}, holds no key.`,
      'Copy it again from the control plane.',
    );
  }
  return { current, old };
}

function refuse(file: string): never {
  throw new StoreError(
    'bad-kek',
    `The key that opens the keyrings is not here: there is no ${file}.`,
    `Copy keyrings.key from the data folder of the control plane to it (mode 0600), or set ${variable}.`,
  );
}

function decode(text: string, where: string): Kek {
  const key = Buffer.from(text, 'base64');
  if (key.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, '') || key.length !== 32) {
    throw new StoreError('bad-kek', `${where} does not hold a key of keyrings: 32 bytes in base64 are wanted.`, advice);
  }
  return kekFrom(key);
}

function readSafely(file: string): string | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new StoreError(
      'bad-kek',
      `The file of the keyrings' key, ${file}, cannot be read (${codeOf(error)}).`,
      'It must belong to the user that runs Keyturn, with mode 0600.',
      error,
    );
  }
  try {
    const { mode } = fstatSync(descriptor);
    if ((mode & 0o077) !== 0) {
      throw new StoreError(
        'bad-kek',
        `The file of the keyrings' key, ${file}, can be read by others (mode ${(mode & 0o777).toString(8).padStart(4, '0')}).`,
        `Run: chmod 600 ${file} — and think of who may have read it already.`,
      );
    }
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** Written beside and linked into place: of two first starts one wins, and nobody reads half a key. */
function makeFile(file: string): string {
  const beside = join(dirname(file), `.keyrings-${randomBytes(8).toString('hex')}`);
  const text = `# The key under which Keyturn seals keyrings for mail servers on other machines: each of them needs a copy.\n${randomBytes(32).toString('base64')}\n`;
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const descriptor = openSync(beside, 'wx', 0o600);
    try {
      writeSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    try {
      linkSync(beside, file);
      return text;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      return readSafely(file) ?? refuse(file);
    } finally {
      unlinkSync(beside);
    }
  } catch (error) {
    if (error instanceof StoreError) throw error;
    throw new StoreError(
      'bad-kek',
      `The file of the keyrings' key, ${file}, cannot be made (${codeOf(error)}).`,
      'Name a file in a folder that this user may write: `keyrings.keyFile`.',
      error,
    );
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

/** Where the key-encryption key comes from: the environment, or a file of mode 0600 that is made on first use. */
import { randomBytes } from 'node:crypto';
import { StoreError } from './errors.ts';
import { decodeKey, type KeyFileWords, keysIn, makeKeyFile, readKeyFile } from './key-file.ts';
import { type Keks, kekFrom } from './sealing.ts';

export interface KekSource {
  /** Used where the environment names no key; made on first use. */
  readonly file: string;
  /** False where the store is there already: its key cannot be made anew, only brought back. True by default. */
  readonly mayMake?: boolean;
  /** `KEYTURN_KEK`: base64 of 32 bytes. `KEYTURN_KEK_OLD`: earlier ones, separated by commas. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

const words: KeyFileWords = {
  named: (file) => `The key file ${file}`,
  holds: 'a key-encryption key',
  comment:
    "Keyturn's key-encryption key. Without it the private keys in the store cannot be opened: keep a copy apart from the backups.",
  unmakeable: 'Check that the folder can be written, or set KEYTURN_KEK.',
};

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
      current: decodeKey(current, 'KEYTURN_KEK', words),
      old: old.map((text) => decodeKey(text.trim(), 'KEYTURN_KEK_OLD', words)),
    };
  }
  const { file, mayMake } = source;
  const text = readKeyFile(file, words) ?? (mayMake === false ? refuse(file) : makeKeyFile(file, words));
  const [first, ...old] = keysIn(text, file, words);
  if (!first)
    throw new StoreError(
      'bad-kek',
      `The key file ${file} holds no key.`,
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

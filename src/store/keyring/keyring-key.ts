/**
 * The key under which keyrings are sealed on their way to other machines. It is none of the store's: a mail server that holds it can open the
 * active keys, which it needs, and nothing of the store.
 */
import { StoreError } from '../errors.ts';
import { decodeKey, type KeyFileWords, keysIn, makeKeyFile, readKeyFile } from '../key-file.ts';
import type { Keks } from '../sealing.ts';

export interface KeyringKeySource {
  readonly file: string;
  /** Control planes make it on first use; followers are given a copy. */
  readonly mayMake: boolean;
  /** `KEYTURN_KEYRINGS_KEY` goes before the file. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

const variable = 'KEYTURN_KEYRINGS_KEY';
const words: KeyFileWords = {
  named: (file) => `The file of the keyrings' key, ${file},`,
  holds: 'a key of keyrings',
  comment: 'The key under which Keyturn seals keyrings for mail servers on other machines: each of them needs a copy.',
  unmakeable: 'Name a file in a folder that this user may write: `keyrings.keyFile`.',
};

/**
 * Reads the key. Each line of the file is the base64 of 32 bytes: the first seals, those below only open; `#` begins a comment.
 * @throws StoreError `bad-kek`, naming the file and never what stands in it.
 */
export function loadKeyringKeys({ file, mayMake, environment }: KeyringKeySource): Keks {
  const given = environment?.[variable]?.trim();
  if (given) {
    const [current, ...old] = given.split(',').map((text) => decodeKey(text.trim(), variable, words));
    if (current !== undefined) return { current, old };
  }
  const text = readKeyFile(file, words) ?? (mayMake ? makeKeyFile(file, words) : refuse(file));
  const [current, ...old] = keysIn(text, file, words);
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

/** Key files: written once under a name of their own, checked by what they hold, removed when nothing needs them. */
import { dirname } from 'node:path';
import { draftOf, makeFolder, readWhole, removeFile, systemTrouble, writeWhole } from './atomic.ts';
import type { SigningKey } from './domain-plan.ts';
import { encodeKey, fingerprintOfContent, type PlacedKey } from './keys.ts';
import type { Layout } from './layout.ts';

export type KeyFileState =
  | { readonly kind: 'right' }
  | { readonly kind: 'missing' }
  /** Something else lies there: another key, whose fingerprint is `found`, or no key. */
  | { readonly kind: 'other'; readonly found: string | null; readonly message: string }
  | { readonly kind: 'unreadable'; readonly message: string };

/** What lies at a key's path. Where it is not what we would write, whatever form the key has there counts. */
export async function checkKeyFile(
  { file, fingerprint, selector, domain }: PlacedKey,
  written?: Buffer,
): Promise<KeyFileState> {
  let content: Buffer | null;
  try {
    content = await readWhole(file);
  } catch (error) {
    return { kind: 'unreadable', message: `${file} cannot be read: ${systemTrouble(error)}.` };
  }
  if (content === null) return { kind: 'missing' };
  if (written !== undefined && content.equals(written)) {
    content.fill(0);
    return { kind: 'right' };
  }
  const found = fingerprintOfContent(content);
  content.fill(0);
  if (found === fingerprint) return { kind: 'right' };
  const what = found === null ? 'something that is no key' : 'another key';
  return { kind: 'other', found, message: `${file} holds ${what} than the one of ${selector}._domainkey.${domain}.` };
}

export type WriteResult =
  | { readonly kind: 'written' }
  | { readonly kind: 'failed' | 'drifted'; readonly message: string };

/** Writes what is not there yet. A file with something else in it is left alone, unless that may be replaced. */
export async function writeKeyFile(
  key: SigningKey,
  { keyFile }: Layout,
  mayReplace: (found: string | null) => boolean,
): Promise<WriteResult> {
  let content: Buffer | null = null;
  try {
    content = encodeKey(key.source.privateKey, keyFile.format);
    const there = await checkKeyFile(key, content);
    if (there.kind === 'right') return { kind: 'written' };
    if (there.kind === 'unreadable') return { kind: 'failed', message: there.message };
    if (there.kind === 'other' && !mayReplace(there.found)) return { kind: 'drifted', message: there.message };
    const { mode } = keyFile.attributes;
    // Who may read the key may walk down to it.
    const walk = mode | ((mode & 0o444) >> 2);
    await makeFolder(dirname(key.file), { ...keyFile.attributes, mode: walk });
    await writeWhole(key.file, content, keyFile.attributes);
    return { kind: 'written' };
  } catch (error) {
    return { kind: 'failed', message: `The key file ${key.file} cannot be written: ${systemTrouble(error)}.` };
  } finally {
    content?.fill(0);
  }
}

/** The same for a key whose private half is at hand: equal octets are not looked into, which would cost a signature. */
export async function checkSigningKeyFile(key: SigningKey, { keyFile }: Layout): Promise<KeyFileState> {
  const content = encodeKey(key.source.privateKey, keyFile.format);
  try {
    return await checkKeyFile(key, content);
  } finally {
    content.fill(0);
  }
}

/** Removes a key file, and what a crash may have left of its writing. */
export async function removeKeyFile({ file }: Pick<PlacedKey, 'file'>): Promise<void> {
  await removeFile(draftOf(file));
  await removeFile(file);
}

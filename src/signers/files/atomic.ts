/** Files that are there whole or not at all, whatever crashes: a new file beside the old, synced, renamed over it, the folder synced. */
import { lstat, mkdir, open, readFile, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface FileAttributes {
  /** Permission bits. */
  readonly mode: number;
  /** Numbers of owner and group; null leaves what the system gives. */
  readonly uid: number | null;
  readonly gid: number | null;
}

/** Where a file is written before it takes its name: always the same place, so that what a crash leaves there is found again. */
export function draftOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.keyturn-new`);
}

/** @throws the system's error; what stood at `path` then stands there still. */
export async function writeWhole(
  path: string,
  content: string | Uint8Array,
  attributes: FileAttributes,
): Promise<void> {
  const draft = draftOf(path);
  await removeFile(draft);
  // Nobody else's link is followed, and nobody can open it before its mode is what it should be.
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(content);
    if (attributes.uid !== null || attributes.gid !== null)
      await file.chown(attributes.uid ?? -1, attributes.gid ?? -1);
    await file.chmod(attributes.mode);
    await file.sync();
  } catch (error) {
    await file.close();
    await removeFile(draft).catch(() => undefined);
    throw error;
  }
  await file.close();
  try {
    await rename(draft, path);
  } catch (error) {
    await removeFile(draft).catch(() => undefined);
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Makes a folder and those above it that are missing, each with these attributes. */
export async function makeFolder(path: string, { mode, uid, gid }: FileAttributes): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) {
    const folder = await open(made, 'r');
    try {
      if (uid !== null || gid !== null) await folder.chown(uid ?? -1, gid ?? -1);
      await folder.chmod(mode);
    } finally {
      await folder.close();
    }
    await syncFolder(dirname(made));
  }
}

/** What stands there; null for nothing. @throws the system's error for everything else. */
export async function readWhole(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** A word that changes whenever the file does, as far as the system tells; null where there is none. */
export async function stampOf(path: string): Promise<string | null> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await lstat(path);
    return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** True where there was one. */
export async function removeFile(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function isMissing(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** What the system said, and what to look at. Holds the path, never a content. */
export function systemTrouble(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const said = error instanceof Error ? error.message : String(error);
  const advice: Readonly<Record<string, string>> = {
    EROFS: 'the file system is read-only: mount it writable again',
    EACCES: "Keyturn's user may not: give it the folder, or see docs on least rights of this signer",
    EPERM: "Keyturn's user may not: it needs to be root, or in the group, to set this owner and mode",
    ENOSPC: 'the disk is full: make room',
    EDQUOT: 'the quota is used up: make room',
  };
  const more = typeof code === 'string' ? advice[code] : undefined;
  return more === undefined ? said : `${said} (${more})`;
}

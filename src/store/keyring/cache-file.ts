/**
 * Files of a keyring cache: a head, then entries one behind the other. A file may end in the middle of an entry where the machine went down; what
 * is whole before that counts.
 *
 *     "KTKC" ‖ version (1 octet, 1) ‖ id (16)      then entries:  length (4) ‖ type (1) ‖ length of name (2) ‖ name ‖ payload
 */
import type { FileHandle } from 'node:fs/promises';

const MAGIC = Buffer.from('KTKC\x01', 'latin1');
const ID_BYTES = 16;
export const FILE_HEAD_BYTES = MAGIC.length + ID_BYTES;
const chunkBytes = 4 << 20;
/** No entry is longer: what says so is no entry. */
const longestEntry = 16 << 20;

export type EntryType = 'record' | 'state';

export interface CacheEntry {
  readonly type: EntryType;
  /** The domain; empty for a state. */
  readonly name: string;
  /** A view of what was read: copy it to keep it. */
  readonly payload: Buffer;
  /** Where it begins, and ends, in the file. */
  readonly from: number;
  readonly to: number;
}

export function fileHead(id: Buffer): Buffer {
  return Buffer.concat([MAGIC, id]);
}

/** The file's id; null where it is no file of ours. */
export async function readFileId(file: FileHandle): Promise<Buffer | null> {
  const head = Buffer.alloc(FILE_HEAD_BYTES);
  const { bytesRead } = await file.read(head, 0, FILE_HEAD_BYTES, 0);
  return bytesRead === FILE_HEAD_BYTES && head.subarray(0, MAGIC.length).equals(MAGIC)
    ? head.subarray(MAGIC.length)
    : null;
}

export function encodeEntry(type: EntryType, name: string, payload: Uint8Array): Buffer {
  const named = Buffer.from(name);
  const entry = Buffer.alloc(7 + named.length + payload.length);
  entry.writeUInt32BE(entry.length - 4, 0);
  entry[4] = type === 'record' ? 1 : 2;
  entry.writeUInt16BE(named.length, 5);
  named.copy(entry, 7);
  entry.set(payload, 7 + named.length);
  return entry;
}

/** Every whole entry, some at a time. */
export async function* readEntries(file: FileHandle): AsyncGenerator<readonly CacheEntry[]> {
  let position = FILE_HEAD_BYTES;
  let rest = Buffer.alloc(0);
  for (;;) {
    const chunk = Buffer.allocUnsafe(chunkBytes);
    const { bytesRead } = await file.read(chunk, 0, chunkBytes, position + rest.length);
    const data = rest.length === 0 ? chunk.subarray(0, bytesRead) : Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    const entries: CacheEntry[] = [];
    let at = 0;
    while (data.length - at >= 7) {
      const length = data.readUInt32BE(at);
      const named = data.readUInt16BE(at + 5);
      if (length > longestEntry || length < named + 3) return yield entries;
      const to = at + 4 + length;
      if (to > data.length) break;
      entries.push({
        type: data[at + 4] === 1 ? 'record' : 'state',
        name: data.toString('utf8', at + 7, at + 7 + named),
        payload: data.subarray(at + 7 + named, to),
        from: position + at,
        to: position + to,
      });
      at = to;
    }
    if (entries.length > 0) yield entries;
    if (bytesRead === 0) return;
    position += at;
    rest = data.subarray(at);
  }
}

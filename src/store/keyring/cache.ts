/**
 * Keyrings on a follower's disk, as sealed as they came: from them it starts where neither Redis nor a control plane is there.
 *
 * `keyrings.cache` holds every record once; `keyrings.log`, which belongs to it by its id, what has come since, at its end. One change costs one
 * small write. When the log has grown, both become a new cache, written beside and renamed into place.
 *
 * What a follower acknowledges must be on disk before: once a new key is acknowledged the old one is withdrawn, and a start from an older
 * state would sign with it. So {@link KeyringCache.append} has the disk confirm each write; many changes share one.
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type CacheEntry, encodeEntry, FILE_HEAD_BYTES, fileHead, readEntries, readFileId } from './cache-file.ts';
import { type FeedDamage, FeedError, type FeedPosition, type FeedRecord } from './feed.ts';
import type { Registration } from './follower.ts';
import { contentOf, type RecordSealer } from './sealed-record.ts';

export interface CacheState {
  /** Where to follow from; null where everything is to be loaded anew. */
  readonly position: FeedPosition | null;
  /** As what the control plane knows this follower; null where it does not yet. */
  readonly admitted: Registration | null;
}

export interface CacheWriter {
  add(records: readonly FeedRecord[]): Promise<void>;
  /** In place of what was there, and confirmed by the disk. */
  finish(state: CacheState): Promise<void>;
  abandon(): Promise<void>;
}

export interface KeyringCache {
  /** Tells what is there, later records of a domain after earlier ones. Null where there is no whole cache. @throws FeedError `wrong-key` */
  read(onRecords: (records: readonly (FeedRecord | FeedDamage)[]) => void): Promise<CacheState | null>;
  /** Begins a cache anew. */
  begin(): Promise<CacheWriter>;
  /** Adds what changed; confirmed by the disk when it resolves. Only after `read` found a cache or one was finished. */
  append(records: readonly FeedRecord[], state: CacheState): Promise<void>;
  /** Takes it away: a start must not go by it any more. */
  discard(): Promise<void>;
  close(): Promise<void>;
}

const purpose = 'cache';
/** The log may grow to a half of the cache, and to so many octets in any case. */
const smallLog = 4 << 20;

/** @param folder made with mode 0700 where it is not there */
export function createKeyringCache(folder: string, sealer: RecordSealer): KeyringCache {
  const main = join(folder, 'keyrings.cache');
  const log = join(folder, 'keyrings.log');
  let current: { readonly id: Buffer; readonly bytes: number; log: FileHandle; logBytes: number } | null = null;
  let queue: Promise<unknown> = Promise.resolve();
  /** One after the other. */
  const inTurn = <T>(task: () => Promise<T>): Promise<T> => {
    const done = queue.then(task);
    queue = done.catch(() => undefined);
    return done;
  };

  const stateEntry = (id: Buffer, state: CacheState) =>
    encodeEntry('state', '', sealer.sealText(purpose, id.toString('hex'), JSON.stringify(state)));

  const recordEntry = (record: FeedRecord) =>
    encodeEntry('record', record.domain, record.sealed ?? sealer.seal(record.domain, contentOf(record)));

  function open_(domain: string, payload: Buffer): FeedRecord | FeedDamage {
    try {
      return sealer.open(domain, payload);
    } catch (error) {
      if (!(error instanceof FeedError) || error.code === 'wrong-key') throw error;
      return { kind: 'damaged', domain, error };
    }
  }

  /** The last state in it; null where the file ends without one. */
  async function readAll(
    file: FileHandle,
    id: Buffer,
    onRecords: (records: readonly (FeedRecord | FeedDamage)[]) => void,
  ): Promise<{ state: CacheState | null; end: number }> {
    let state: CacheState | null = null;
    let end = FILE_HEAD_BYTES;
    for await (const entries of readEntries(file)) {
      const records: Array<FeedRecord | FeedDamage> = [];
      for (const { type, name, payload, to } of entries) {
        if (type === 'record') records.push(open_(name, payload));
        else state = JSON.parse(sealer.openText(purpose, id.toString('hex'), payload));
        end = to;
      }
      onRecords(records);
    }
    return { state, end };
  }

  async function startLog(id: Buffer, bytes: number): Promise<void> {
    await current?.log.close();
    current = null;
    const file = await open(log, 'w', 0o600);
    await file.write(fileHead(id));
    await file.datasync();
    await syncFolder(folder);
    current = { id, bytes, log: file, logBytes: 0 };
  }

  async function begin(): Promise<CacheWriter & { copy(entries: readonly CacheEntry[]): Promise<void> }> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const id = randomBytes(16);
    const beside = `${main}.new`;
    const file = await open(beside, 'w', 0o600);
    let bytes = FILE_HEAD_BYTES;
    await file.write(fileHead(id));
    const write = async (entries: readonly Buffer[]) => {
      const data = Buffer.concat(entries);
      bytes += data.length;
      await file.appendFile(data);
    };
    return {
      add: (records) => write(records.map(recordEntry)),
      copy: (entries) => write(entries.map(({ name, payload }) => encodeEntry('record', name, payload))),
      async finish(state) {
        await write([stateEntry(id, state)]);
        await file.datasync();
        await file.close();
        await rename(beside, main);
        // The old log is cut off next: were the old cache there after a crash, it would be without what came since.
        await syncFolder(folder);
        await startLog(id, bytes);
      },
      async abandon() {
        await file.close();
        await rm(beside, { force: true });
      },
    };
  }

  /** Of every domain the last record, in a new cache. */
  async function compact(state: CacheState): Promise<void> {
    const files = [await open(main, 'r'), await open(log, 'r')];
    const writer = await begin();
    try {
      const last = new Map<string, string>();
      for (const [index, file] of files.entries()) {
        for await (const entries of readEntries(file)) {
          for (const { type, name, from } of entries) if (type === 'record') last.set(name, `${index} ${from}`);
        }
      }
      for (const [index, file] of files.entries()) {
        for await (const entries of readEntries(file)) {
          const kept = entries.filter(
            ({ type, name, from }) => type === 'record' && last.get(name) === `${index} ${from}`,
          );
          await writer.copy(kept);
        }
      }
      await writer.finish(state);
    } catch (error) {
      await writer.abandon();
      throw error;
    } finally {
      for (const file of files) await file.close();
    }
  }

  return {
    async read(onRecords) {
      const file = await openIfThere(main);
      if (file === null) return null;
      try {
        const id = await readFileId(file);
        if (id === null) return null;
        const { state, end } = await readAll(file, id, onRecords);
        if (state === null) return null;
        const later = await openIfThere(log);
        if (later === null || (await readFileId(later))?.equals(id) !== true) {
          await later?.close();
          await startLog(id, end);
          return state;
        }
        const more = await readAll(later, id, onRecords).finally(() => later.close());
        const appended = await open(log, 'r+');
        // What the machine did not get to write whole.
        await appended.truncate(more.end);
        current = { id, bytes: end, log: appended, logBytes: more.end - FILE_HEAD_BYTES };
        return more.state ?? state;
      } finally {
        await file.close();
      }
    },
    begin: () => inTurn(begin),
    append: (records, state) =>
      inTurn(async () => {
        if (current === null) throw new Error('the cache has not been begun');
        const data = Buffer.concat([...records.map(recordEntry), stateEntry(current.id, state)]);
        await current.log.write(data, 0, data.length, FILE_HEAD_BYTES + current.logBytes);
        await current.log.datasync();
        current.logBytes += data.length;
        if (current.logBytes > Math.max(smallLog, current.bytes / 2)) await compact(state);
      }),
    discard: () =>
      inTurn(async () => {
        await current?.log.close();
        current = null;
        for (const file of [main, log]) {
          await rm(file, { force: true }).catch((error: unknown) => {
            if (!isAbsence(error)) throw error;
          });
        }
        await syncFolder(folder);
      }),
    close: () =>
      inTurn(async () => {
        await current?.log.close();
        current = null;
      }),
  };
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (isAbsence(error)) return null;
    throw error;
  }
}

/** Nothing is there: no such file, or no folder in which it could be. */
function isAbsence(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

/** A rename is on disk when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

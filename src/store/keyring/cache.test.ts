import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { tempDir } from '../../../tests/support/temp.ts';
import { temporaryKeks } from '../kek.ts';
import { type CacheState, createKeyringCache, type KeyringCache } from './cache.ts';
import type { FeedRecord } from './feed.ts';
import { createRecordSealer } from './sealed-record.ts';

const keks = temporaryKeks();
const sealer = createRecordSealer(keks);

function record(domain: string, generation: number, filler = 10): FeedRecord {
  const pkcs8 = Buffer.alloc(filler, generation);
  const streams = { default: [{ selector: 's1', algorithm: 'ed25519-sha256' as const, entered: generation, pkcs8 }] };
  return { kind: 'keyring', domain, born: 1, generation, mustSign: true, streams };
}

/** What a start finds: the newest generation by domain, and the state. */
async function start(
  cache: KeyringCache,
): Promise<{ found: Record<string, number | string>; state: CacheState | null }> {
  const found: Record<string, number | string> = {};
  const state = await cache.read((records) => {
    for (const each of records) found[each.domain] = each.kind === 'damaged' ? each.error.code : each.generation;
  });
  return { found, state };
}

/** The same with a cache of its own, as a process that starts has it. */
async function startAnew(folder: string): ReturnType<typeof start> {
  const cache = createKeyringCache(folder, sealer);
  try {
    return await start(cache);
  } finally {
    await cache.close();
  }
}

const at = (position: string): CacheState => ({ position, admitted: null });

describe('keyrings on disk', () => {
  test('are found again: the whole, and what was added since', async () => {
    using dir = tempDir('cache');
    const cache = createKeyringCache(dir.join('keyrings'), sealer);
    expect(await start(cache)).toEqual({ found: {}, state: null });
    const writer = await cache.begin();
    await writer.add([record('one.test', 1), record('two.test', 1)]);
    await writer.finish(at('a'));
    await cache.append([record('one.test', 2)], at('b'));
    await cache.append([], at('c'));
    await cache.close();
    expect(statSync(dir.join('keyrings')).mode & 0o077).toBe(0);
    expect(statSync(dir.join('keyrings/keyrings.cache')).mode & 0o077).toBe(0);

    const again = createKeyringCache(dir.join('keyrings'), sealer);
    expect(await start(again)).toEqual({ found: { 'one.test': 2, 'two.test': 1 }, state: at('c') });
    await again.append([record('two.test', 5)], at('d'));
    await again.close();
    expect((await startAnew(dir.join('keyrings'))).found).toEqual({
      'one.test': 2,
      'two.test': 5,
    });
  });

  test('a cache that was not finished is none; what was there before stays', async () => {
    using dir = tempDir('cache');
    const cache = createKeyringCache(dir.path, sealer);
    const half = await cache.begin();
    await half.add([record('one.test', 1)]);
    expect((await startAnew(dir.path)).state).toBeNull();
    const whole = await cache.begin();
    await whole.add([record('one.test', 1)]);
    await whole.finish(at('a'));
    const another = await cache.begin();
    await another.add([record('one.test', 9)]);
    expect((await startAnew(dir.path)).found).toEqual({ 'one.test': 1 });
    await another.abandon();
    await half.abandon();
    await cache.discard();
    expect((await startAnew(dir.path)).state).toBeNull();
  });

  test('what the machine did not write whole is left out, and written over', async () => {
    using dir = tempDir('cache');
    const cache = createKeyringCache(dir.path, sealer);
    const writer = await cache.begin();
    await writer.add([record('one.test', 1)]);
    await writer.finish(at('a'));
    await cache.append([record('one.test', 2)], at('b'));
    await cache.close();
    const log = dir.join('keyrings.log');
    const whole = readFileSync(log).length;
    appendFileSync(log, Buffer.from([0, 0, 3, 0, 1, 0, 8, 111, 110]));
    const again = createKeyringCache(dir.path, sealer);
    expect(await start(again)).toEqual({ found: { 'one.test': 2 }, state: at('b') });
    await again.append([record('one.test', 3)], at('c'));
    await again.close();
    expect(await startAnew(dir.path)).toEqual({ found: { 'one.test': 3 }, state: at('c') });
    // The end of the cache itself is missing: it may lack domains, so it counts for nothing.
    truncateSync(log, whole);
    const main = dir.join('keyrings.cache');
    truncateSync(main, statSync(main).size - 10);
    expect((await startAnew(dir.path)).state).toBeNull();
  });

  test('a log of another cache is not taken for its own', async () => {
    using dir = tempDir('cache');
    const cache = createKeyringCache(dir.path, sealer);
    const first = await cache.begin();
    await first.finish(at('a'));
    await cache.append([record('one.test', 2)], at('b'));
    const old = readFileSync(dir.join('keyrings.log'));
    const second = await cache.begin();
    await second.add([record('one.test', 7)]);
    await second.finish(at('c'));
    await cache.close();
    writeFileSync(dir.join('keyrings.log'), old);
    expect(await startAnew(dir.path)).toEqual({ found: { 'one.test': 7 }, state: at('c') });
  });

  test('a record that was altered costs its own domain only', async () => {
    using dir = tempDir('cache');
    const cache = createKeyringCache(dir.path, sealer);
    const writer = await cache.begin();
    await writer.add([record('one.test', 1), record('two.test', 1)]);
    await writer.finish(at('a'));
    await cache.close();
    const file = dir.join('keyrings.cache');
    const bytes = readFileSync(file);
    const where = bytes.indexOf('one.test') + 90;
    bytes[where] = (bytes[where] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    expect((await startAnew(dir.path)).found).toEqual({ 'one.test': 'forged', 'two.test': 1 });
  });

  test('another key is told apart from an altered file', async () => {
    using dir = tempDir('cache');
    const cache = createKeyringCache(dir.path, sealer);
    const writer = await cache.begin();
    await writer.add([record('one.test', 1)]);
    await writer.finish(at('a'));
    await cache.close();
    const stranger = createKeyringCache(dir.path, createRecordSealer(temporaryKeks()));
    await expect(start(stranger)).rejects.toMatchObject({ name: 'FeedError', code: 'wrong-key' });
  });

  test('do not grow with changes: what was replaced goes', async () => {
    using dir = tempDir('cache');
    const cache = createKeyringCache(dir.path, sealer);
    const writer = await cache.begin();
    await writer.add([record('one.test', 1), record('two.test', 1)]);
    await writer.finish(at('a'));
    const large = 1 << 20;
    for (let generation = 2; generation < 14; generation++) {
      await cache.append([record('one.test', generation, large)], at(String(generation)));
    }
    const size = (name: string) => statSync(dir.join(name)).size;
    expect(size('keyrings.cache') + size('keyrings.log')).toBeLessThan(7 * large);
    await cache.append([record('two.test', 3)], at('end'));
    await cache.close();
    expect(await startAnew(dir.path)).toEqual({
      found: { 'one.test': 13, 'two.test': 3 },
      state: at('end'),
    });
  });
});

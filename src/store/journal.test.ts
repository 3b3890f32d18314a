import { copyFileSync } from 'node:fs';
import SqliteDatabase from 'better-sqlite3';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stores } from '../../tests/store/stores.ts';
import { edPair, event, standingClock } from '../../tests/store/support.ts';
import { type TempDir, tempDir } from '../../tests/support/temp.ts';
import { entryHash } from './chain.ts';
import type { JournalVerdict } from './journal.ts';
import { temporaryKeks } from './kek.ts';
import { openStore } from './open.ts';

const ENTRIES = 60;
const keks = temporaryKeks();
let dir: TempDir;
let original: string;

beforeAll(async () => {
  dir = tempDir('journal');
  original = dir.join('original.sqlite');
  await using store = await openStore({ path: original, keks, clock: standingClock() });
  // Transactions of one to four entries.
  for (let n = 1, size = 1; n <= ENTRIES; n += size, size = (size % 4) + 1) {
    const seqs = Array.from({ length: Math.min(size, ENTRIES - n + 1) }, (_, i) => n + i);
    await store.journal.append(
      seqs.map((seq) => event(`d${seq % 5}.example`, 'looked', { n: seq, text: `entry ${seq}` })),
    );
  }
});
afterAll(() => dir.remove());

type Tamper = (database: SqliteDatabase.Database) => void;

let copies = 0;
async function verdictAfter(tamper: Tamper): Promise<JournalVerdict> {
  const path = dir.join(`copy${++copies}.sqlite`);
  copyFileSync(original, path);
  const database = new SqliteDatabase(path);
  tamper(database);
  database.close();
  await using store = await openStore({ path, keks });
  return await store.journal.verify();
}

const seq = fc.integer({ min: 1, max: ENTRIES });

test('an untouched journal is intact', async () => {
  expect(await verdictAfter(() => {})).toMatchObject({ kind: 'intact', entries: ENTRIES });
});

describe('found and named is', () => {
  test('any altered field of any entry', async () => {
    const changes: ReadonlyArray<readonly [string, unknown]> = [
      ['at', 7],
      ['actor', 'mallory'],
      ['source', 'elsewhere'],
      ['domain', null],
      ['domain', 'other.example'],
      ['kind', 'key-created'],
      ['details', '{"n":0}'],
      ['details', '{"n": 0'],
      ['hash', Buffer.alloc(32)],
    ];
    await fc.assert(
      fc.asyncProperty(seq, fc.constantFrom(...changes), async (n, [column, value]) => {
        const verdict = await verdictAfter((db) =>
          db.prepare(`update journal set ${column} = ? where seq = ?`).run(value, n),
        );
        expect(verdict).toMatchObject({ kind: 'broken', seq: n, what: 'altered' });
      }),
      { numRuns: 60 },
    );
  });

  test('white space in the details, which would parse to the same', async () => {
    const verdict = await verdictAfter((db) =>
      db.exec(`update journal set details = replace(details, ',', ', ') where seq = 9`),
    );
    expect(verdict).toMatchObject({ kind: 'broken', seq: 9, what: 'altered' });
  });

  test('any entry that was taken out, and a whole range', async () => {
    await fc.assert(
      fc.asyncProperty(seq, fc.integer({ min: 1, max: 5 }), async (n, count) => {
        const verdict = await verdictAfter((db) =>
          db.prepare('delete from journal where seq between ? and ?').run(n, n + count - 1),
        );
        expect(verdict).toMatchObject({ kind: 'broken', seq: n, what: 'dropped' });
      }),
      { numRuns: 30 },
    );
  });

  test('an entry that was taken out with the later ones moved up', async () => {
    const verdict = await verdictAfter((db) => {
      db.exec('delete from journal where seq = 20');
      for (let n = 21; n <= ENTRIES; n++) db.prepare('update journal set seq = ? where seq = ?').run(n - 1, n);
    });
    expect(verdict).toMatchObject({ kind: 'broken', seq: 20, what: 'altered' });
  });

  test('any two entries that changed places', async () => {
    await fc.assert(
      fc.asyncProperty(seq, seq, async (a, b) => {
        fc.pre(a !== b);
        const verdict = await verdictAfter((db) => {
          const move = db.prepare('update journal set seq = ? where seq = ?');
          move.run(-1, a);
          move.run(a, b);
          move.run(b, -1);
        });
        expect(verdict).toMatchObject({ kind: 'broken', seq: Math.min(a, b), what: 'altered' });
      }),
      { numRuns: 30 },
    );
  });

  test('an entry that was put behind the last', async () => {
    const verdict = await verdictAfter((db) => {
      const last = db.prepare<[], { hash: Buffer }>(`select hash from journal where seq = ${ENTRIES}`).get();
      const entry = {
        seq: ENTRIES + 1,
        at: 1,
        actor: 'mallory',
        source: 'cli',
        domain: null,
        kind: 'forged',
        details: '{}',
      };
      const hash = entryHash(entry, last?.hash ?? Buffer.alloc(0));
      db.prepare('insert into journal values (@seq, @at, @actor, @source, @domain, @kind, @details, @hash, null)').run({
        ...entry,
        hash,
      });
    });
    expect(verdict).toMatchObject({ kind: 'broken', seq: ENTRIES + 1, what: 'appended' });
  });

  test('an end that was cut off, with the head left or taken from the entry before', async () => {
    const cut = `delete from journal where seq > 50`;
    expect(await verdictAfter((db) => db.exec(cut))).toMatchObject({ kind: 'broken', seq: 51, what: 'dropped' });
    const withHead = await verdictAfter((db) => {
      db.exec(cut);
      // An older checkpoint's MAC posing as the head's.
      const row = db
        .prepare<[], { seq: number; hash: Buffer; mac: Buffer }>(
          'select seq, hash, mac from journal where mac is not null order by seq desc limit 1',
        )
        .get();
      db.prepare(`update meta set value = ? where name = 'journal-head'`).run(
        `${row?.seq} ${row?.hash.toString('hex')} ${row?.mac.toString('hex')}`,
      );
    });
    expect(withHead).toMatchObject({ kind: 'broken', what: 'head-altered' });
  });

  test('an entry that was altered with every hash after it computed anew', async () => {
    await fc.assert(
      fc.asyncProperty(seq, fc.boolean(), async (n, withoutMacs) => {
        const verdict = await verdictAfter((db) => {
          db.prepare('update journal set actor = ? where seq = ?').run('mallory', n);
          recompute(db);
          if (withoutMacs) db.exec('update journal set mac = null');
        });
        expect(verdict.kind).toBe('broken');
        if (verdict.kind === 'broken') expect(verdict.seq).toBeLessThanOrEqual(n);
      }),
      { numRuns: 20 },
    );
  });

  test('a journal that was emptied, with and without its head', async () => {
    expect(await verdictAfter((db) => db.exec('delete from journal'))).toMatchObject({
      kind: 'broken',
      seq: 1,
      what: 'dropped',
    });
    const all = await verdictAfter((db) =>
      db.exec(`delete from journal; delete from meta where name = 'journal-head'`),
    );
    expect(all).toMatchObject({ kind: 'broken', what: 'head-altered' });
  });
});

test('nothing is written on a head that was altered', async () => {
  const path = dir.join('head.sqlite');
  copyFileSync(original, path);
  const database = new SqliteDatabase(path);
  database.exec(`update meta set value = '3 00 00' where name = 'journal-head'`);
  database.close();
  await using store = await openStore({ path, keks });
  await expect(store.journal.append([event(null, 'late')])).rejects.toMatchObject({ code: 'corrupt' });
});

test('pages go both ways and keep to one domain', async () => {
  const path = dir.join('pages.sqlite');
  copyFileSync(original, path);
  await using store = await openStore({ path, keks });
  const seen: number[] = [];
  for (let after: string | null = null; ; ) {
    const page = await store.journal.list({ domain: 'd3.example' }, { limit: 5, after });
    seen.push(...page.items.map((e) => e.seq));
    after = page.next;
    if (after === null) break;
  }
  expect(seen).toStrictEqual([58, 53, 48, 43, 38, 33, 28, 23, 18, 13, 8, 3]);
  const oldest = await store.journal.list({ order: 'oldest' }, { limit: 2, after: '10' });
  expect(oldest).toMatchObject({ items: [{ seq: 11, details: { n: 11, text: 'entry 11' } }, { seq: 12 }], next: '12' });
});

describe.each(stores)('on $name', ({ open }) => {
  test('many writers at once leave one chain without gaps', async () => {
    await using store = await open();
    await Promise.all(
      Array.from({ length: 300 }, (_, n) => store.journal.append([event(null, 'one', n), event(null, 'two', n)])),
    );
    expect(await store.journal.verify()).toMatchObject({ kind: 'intact', entries: 600 });
    const { items } = await store.journal.list({ order: 'oldest' }, { limit: 1000 });
    expect(items.map((e) => e.seq)).toStrictEqual(Array.from({ length: 600 }, (_, n) => n + 1));
  });

  test.each([
    ['a buffer', edPair().pkcs8],
    ['a date', new Date(0)],
    ['a function', () => 1],
    ['not a number', Number.NaN],
  ])('details that are %s are refused', async (_, value) => {
    await using store = await open();
    const details = { nested: [value] } as never;
    await expect(store.journal.append([event(null, 'bad', details)])).rejects.toMatchObject({ code: 'invalid' });
    expect(await store.journal.verify()).toMatchObject({ kind: 'intact', entries: 0 });
  });
});

/** What somebody does who may write to the database and knows the source, but has no key. */
function recompute(db: SqliteDatabase.Database): void {
  let previous: Buffer = Buffer.alloc(32);
  for (const row of db.prepare<[], Parameters<typeof entryHash>[0]>('select * from journal order by seq').all()) {
    previous = entryHash(row, previous);
    db.prepare('update journal set hash = ? where seq = ?').run(previous, row.seq);
  }
}

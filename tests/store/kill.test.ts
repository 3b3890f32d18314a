/** The store under `kill -9`, and between two processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { Json } from '../../src/store/json.ts';
import { loadKeks } from '../../src/store/kek.ts';
import { openMysqlStore, openStore } from '../../src/store/open.ts';
import type { Keks } from '../../src/store/sealing.ts';
import type { Store } from '../../src/store/store.ts';
import { need } from '../support/need.ts';
import { waitFor } from '../support/processes.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { plainSnapshot } from './arbitraries.ts';
import { sharedMariadb } from './stores.ts';
import { add } from './support.ts';

const names = ['a.example', 'b.example', 'c.example', 'd.example', 'e.example', 'f.example'];
const children = new Set<ChildProcess>();
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** Where the store is: a file, or the address of a database. */
interface Where {
  readonly place: string;
  readonly kekFile: string;
}

interface Committer {
  readonly lines: string[];
  /** Resolves once it has told of so many commits. */
  committed(count: number): Promise<void>;
  kill(): Promise<void>;
}

function startCommitter({ place, kekFile }: Where, owner: string, leaseMs: number): Committer {
  const script = new URL('./committer.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, place, kekFile, owner, String(leaseMs)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  const lines: string[] = [];
  let rest = '';
  let errors = '';
  let ended = false;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
  });
  const closed = new Promise<void>((resolve) => {
    child.on('close', (code) => {
      children.delete(child);
      ended = true;
      if (code !== null) errors += `exit code ${code}`;
      resolve();
    });
  });
  return {
    lines,
    async committed(count) {
      const told = () => lines.filter((line) => line.startsWith('committed')).length;
      await waitFor(() => ended || told() >= count, { within: 60_000, every: 2, what: `${count} commits` });
      if (ended) throw new Error(`the committer ended by itself: ${errors}`);
    },
    async kill() {
      child.kill('SIGKILL');
      await closed;
    },
  };
}

/** Generations that were reported as committed, the last of each domain. */
function lastCommitted(lines: readonly string[]): Map<string, number> {
  const last = new Map<string, number>();
  for (const line of lines) {
    const [what, name = '', generation] = line.split(' ');
    if (what === 'committed') last.set(name, Math.max(last.get(name) ?? 0, Number(generation)));
  }
  return last;
}

/** Every commit is whole: state, version, event, counters and private keys tell the same story. */
async function expectWhole(store: Store, reported: ReadonlyMap<string, number>): Promise<void> {
  expect((await store.journal.verify()).kind).toBe('intact');
  const looks = new Map<string, number[]>(names.map((name) => [name, []]));
  for (let after: string | null = null; ; ) {
    const page = await store.journal.list({ order: 'oldest' }, { limit: 1000, after });
    for (const { domain, kind, details } of page.items) {
      if (kind === 'looked' && domain !== null) looks.get(domain)?.push(generationOf(details));
    }
    after = page.next;
    if (after === null) break;
  }
  let keys = 0;
  for (const name of names) {
    const stored = await store.snapshot(name);
    const generation = stored?.snapshot.domain.generation ?? 0;
    expect(generation).toBeGreaterThanOrEqual(reported.get(name) ?? 0);
    expect(stored?.version).toBe(generation + 1);
    expect(looks.get(name)).toStrictEqual(Array.from({ length: generation }, (_, n) => n + 1));
    for (const key of stored?.snapshot.keys ?? []) expect(await store.loadPrivateKey(key.id)).not.toBeNull();
    keys += stored?.snapshot.keys.length ?? 0;
  }
  expect((await store.counts()).keys.created).toBe(keys);
}

function generationOf(details: Json): number {
  return typeof details === 'object' && details !== null && 'generation' in details
    ? Number(details.generation)
    : Number.NaN;
}

const open = (place: string, keks: Keks): Promise<Store> =>
  place.startsWith('mysql:') ? openMysqlStore({ url: place, keks }) : openStore({ path: place, keks });

const kinds = [
  { name: 'SQLite', rounds: 6, database: async (dir: TempDir) => dir.join('store.sqlite') },
  ...(need('mariadbd', 'mariadb-server')
    ? [{ name: 'MariaDB', rounds: 4, database: async () => (await sharedMariadb()).url() }]
    : []),
];

describe.each(kinds)('on $name', ({ rounds, database }) => {
  test('killed again and again in the middle of its commits, it keeps all that was committed and nothing by halves', async () => {
    using dir = tempDir('kill');
    const where = { place: await database(dir), kekFile: dir.join('kek') };
    const keks = loadKeks({ file: where.kekFile });
    const reported = new Map<string, number>();
    {
      await using store = await open(where.place, keks);
      for (const name of names) await add(store, plainSnapshot(name));
    }
    for (let round = 0; round < rounds; round++) {
      const committer = startCommitter(where, `owner-${round}`, 60);
      await committer.committed(1 + Math.random() * 40);
      await sleep(Math.random() * 20);
      await committer.kill();
      for (const [name, generation] of lastCommitted(committer.lines)) reported.set(name, generation);
      await using store = await open(where.place, keks);
      await expectWhole(store, reported);
    }
    // After every kill the leases of the dead ended and the work went on.
    expect(reported.size).toBe(names.length);
    expect([...reported.values()].reduce((sum, n) => sum + n, 0)).toBeGreaterThan(10);
  }, 150_000);

  test('two processes on one store: leases keep them apart, and both get work', async () => {
    using dir = tempDir('kill');
    const where = { place: await database(dir), kekFile: dir.join('kek') };
    const keks = loadKeks({ file: where.kekFile });
    await using store = await open(where.place, keks);
    for (const name of names) await add(store, plainSnapshot(name));
    const committers = [startCommitter(where, 'one', 60_000), startCommitter(where, 'two', 60_000)];
    await Promise.all(committers.map((c) => c.committed(25)));
    await Promise.all(committers.map((c) => c.kill()));
    for (const { lines } of committers) {
      expect(lines.filter((line) => line.startsWith('stale'))).toStrictEqual([]);
    }
    await expectWhole(store, lastCommitted(committers.flatMap((c) => c.lines)));
  }, 120_000);
});

/**
 * What was seen of the journal, noted outside the database: so that a database that was put back from an old backup is noticed before
 * anything follows from it. In an old one, keys that have been withdrawn since still sign, and their records would be written anew.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Store } from '../store/store.ts';

/** The newest entry of the journal that a process has seen. */
export interface Mark {
  readonly seq: number;
  /** In hexadecimal; it covers every entry before. */
  readonly hash: string;
  /** When it was noted, epoch milliseconds. */
  readonly at: number;
}

/** A place outside the database that keeps a mark for every instance. */
export interface Witness {
  /** For people: `the file /var/lib/keyturn/witness-milter`. */
  readonly name: string;
  /** Every instance's mark. @throws where it cannot be read, or holds something else. */
  read(): Promise<readonly Mark[]>;
  write(mark: Mark): Promise<void>;
}

const markSchema = z.object({ seq: z.int().min(1), hash: z.string().regex(/^[0-9a-f]{64}$/), at: z.number() });

/** @throws where the text is no mark. */
export function parseMark(text: string): Mark {
  return markSchema.parse(JSON.parse(text));
}

/** A file in the folder for each instance. All of them are read, for names of instances change and marks stay true. */
export function fileWitness(folder: string, instance: string): Witness {
  const file = join(folder, `witness-${instance}`);
  return {
    name: `the files ${join(folder, 'witness-*')}`,
    async read() {
      return listMarks(folder).map((name) => readMark(join(folder, name)));
    },
    async write(mark) {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      // Renamed into place: a crash leaves the old mark or the new one.
      writeFileSync(`${file}.new`, `${JSON.stringify(mark)}\n`, { mode: 0o600, flush: true });
      renameSync(`${file}.new`, file);
    },
  };
}

function listMarks(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => name.startsWith('witness-') && !name.endsWith('.new'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

function readMark(file: string): Mark {
  try {
    return parseMark(readFileSync(file, 'utf8'));
  } catch (error) {
    const why = error instanceof z.ZodError || error instanceof SyntaxError ? 'it holds something else' : String(error);
    throw new Error(
      `the mark in ${file} cannot be read (${why}): restore the file, or remove it if the store is known to be the right one`,
    );
  }
}

export type StoreAge =
  | { readonly kind: 'current' }
  /** Entries that were seen are not there: it is older than the witness, or another. */
  | {
      readonly kind: 'older';
      readonly witness: string;
      readonly mark: Mark;
      /** Where the store's journal ends. */
      readonly entries: number;
      /** Entries that are missing at least; 0 where as many are there, but others. */
      readonly missing: number;
      /** Hashes of all marks that the journal does not hold: what an acceptance accepts, whatever the clocks of their machines said. */
      readonly unmet: readonly string[];
    };

/** The event that says that a restored store was accepted; marks noted before it count no more. */
export const ACCEPTED = 'restore-accepted';

/** Compares the store's journal with what the witnesses saw. */
export async function storeAge(store: Pick<Store, 'journal'>, witnesses: readonly Witness[]): Promise<StoreAge> {
  const marks = [];
  for (const witness of witnesses) for (const mark of await witness.read()) marks.push({ witness: witness.name, mark });
  let worst: StoreAge = { kind: 'current' };
  const unmet: string[] = [];
  for (const { witness, mark } of marks) {
    if (await holds(store, mark)) continue;
    const accepted = await lastAcceptance(store);
    if (accepted !== undefined && (accepted.at >= mark.at || accepted.unmet.includes(mark.hash))) continue;
    unmet.push(mark.hash);
    const entries = await newestSeq(store);
    const missing = Math.max(0, mark.seq - entries);
    if (worst.kind === 'current' || mark.seq > worst.mark.seq)
      worst = { kind: 'older', witness, mark, entries, missing, unmet };
  }
  return worst;
}

/** The entry that was noted is in the journal, and with it every entry before. */
export async function holds(
  store: Pick<Store, 'journal'>,
  { seq, hash }: Pick<Mark, 'seq' | 'hash'>,
): Promise<boolean> {
  const { items } = await store.journal.list({ order: 'oldest' }, { limit: 1, after: String(seq - 1) });
  return items[0]?.seq === seq && items[0].hash === hash;
}

/** When a restored store was last accepted, and which marks that named. */
async function lastAcceptance(
  store: Pick<Store, 'journal'>,
): Promise<{ readonly at: number; readonly unmet: readonly unknown[] } | undefined> {
  const { items } = await store.journal.list({ domain: null, kind: ACCEPTED, order: 'newest' }, { limit: 1 });
  const [event] = items;
  if (event === undefined) return undefined;
  const { unmet } = event.details as { readonly unmet?: unknown };
  return { at: event.at, unmet: Array.isArray(unmet) ? unmet : [] };
}

export async function wasRestored(store: Pick<Store, 'journal'>): Promise<boolean> {
  return (await lastAcceptance(store)) !== undefined;
}

async function newestSeq(store: Pick<Store, 'journal'>): Promise<number> {
  const { items } = await store.journal.list({ order: 'newest' }, { limit: 1 });
  return items[0]?.seq ?? 0;
}

/** For a person: what is the matter, and the ways out. */
export function olderText({ witness, mark, entries, missing }: Extract<StoreAge, { kind: 'older' }>): string {
  const seen = `entry ${mark.seq} of its journal was noted on ${new Date(mark.at).toISOString()} in ${witness}`;
  const what =
    missing > 0
      ? `the journal ends with entry ${entries}: at least ${missing} are missing`
      : `another entry ${mark.seq} is there in its place`;
  return (
    `the store is older than what has been done, or another one: ${seen}, but ${what}. ` +
    'Keys that it takes for active may have been withdrawn since, so nothing is signed or changed by it. ' +
    'Bring the right database back, or, where there is no newer one, run "keyturn store accept-restore": it asks DNS about every key and gives up those that were withdrawn. ' +
    'See docs/operations.md'
  );
}

export interface WitnessWatch {
  /** False from the moment when the store was found to be another or an older one: nothing may follow from it. */
  isTrusted(): boolean;
  /** Notes the newest entry, where it follows on what was noted. @throws StoreError, or where a witness cannot be written. */
  note(): Promise<void>;
}

/** A node of a cluster may lag behind the one that was asked before: only what lasts so long is a store that was put back; milliseconds. */
const lagging = 10_000;

/** Follows the journal while a server runs. `onOlder` is told once, when the store was replaced by an older one below its feet. */
export function watchStore(
  store: Pick<Store, 'journal'>,
  witnesses: readonly Witness[],
  {
    now,
    onOlder,
    steady = () => performance.now(),
  }: { readonly now: () => number; readonly onOlder: (message: string) => void; readonly steady?: () => number },
): WitnessWatch {
  let last: Mark | null = null;
  let doubtedSince: number | null = null;
  let told = false;
  return {
    isTrusted: () => doubtedSince === null,
    async note() {
      const { items } = await store.journal.list({ order: 'newest' }, { limit: 1 });
      const [newest] = items;
      if (last !== null && newest?.hash === last.hash) {
        doubtedSince = null;
        return;
      }
      if (last !== null && !(await holds(store, last))) {
        doubtedSince ??= steady();
        if (told || steady() - doubtedSince < lagging) return;
        told = true;
        const entries = newest?.seq ?? 0;
        const missing = Math.max(0, last.seq - entries);
        onOlder(
          olderText({
            kind: 'older',
            witness: 'the memory of this process',
            mark: last,
            entries,
            missing,
            unmet: [last.hash],
          }),
        );
        return;
      }
      doubtedSince = null;
      if (newest === undefined) return;
      const mark = { seq: newest.seq, hash: newest.hash, at: now() };
      for (const witness of witnesses) await witness.write(mark);
      last = mark;
    },
  };
}

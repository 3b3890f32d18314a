/** Tables of other programs, as text: our lines in them, other people's, and the change from one state to the next. Pure. */
import type { FileAttributes } from './atomic.ts';
import type { PlacedKey } from './keys.ts';

/** A domain's keys by stream. */
export interface DomainKeys {
  readonly domain: string;
  readonly streams: ReadonlyMap<string, readonly PlacedKey[]>;
}

export interface TableSpec {
  /** Absolute. */
  readonly path: string;
  /** `signing`: keys that sign now. `known`: every key whose file is there, so that no line of another table ever names a key that is not. */
  readonly holds: 'known' | 'signing';
  /** What begins a comment; null where the program knows none: the whole file is ours then, and no marks stand in it. */
  readonly comment: string | null;
  readonly attributes: FileAttributes;
  lines(keys: DomainKeys): readonly string[];
  /** The domain that a line is about, in lower case; null for comments and what is none of ours to understand. */
  ownerOf(line: string): string | null;
  /** Whether the line is one that we write, or wrote once, for some of these keys. */
  isOurs(line: string, known: DomainKeys): boolean;
}

export interface TableText {
  readonly before: readonly string[];
  readonly block: readonly string[];
  readonly after: readonly string[];
}

export const emptyTable: TableText = { before: [], block: [], after: [] };

const beginning = 'keyturn begin: Keyturn writes the lines from here to the end mark';
const ending = 'keyturn end';

export function parseTable(text: string, comment: string | null): TableText {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  if (comment === null) return { ...emptyTable, block: lines };
  const begin = lines.indexOf(`${comment} ${beginning}`);
  if (begin < 0) return { ...emptyTable, before: lines };
  // Without an end mark all of the rest may be ours: nothing is lost by it, for lines that are not ours stay in any case.
  const found = lines.indexOf(`${comment} ${ending}`, begin);
  const end = found < 0 ? lines.length : found;
  return { before: lines.slice(0, begin), block: lines.slice(begin + 1, end), after: lines.slice(end + 1) };
}

export function formatTable({ before, block, after }: TableText, comment: string | null): string {
  const marked = comment === null ? block : [`${comment} ${beginning}`, ...block, `${comment} ${ending}`];
  return [...before, ...marked, ...after].map((line) => `${line}\n`).join('');
}

/** Every line by the domain that it is about. */
export function indexTable(
  { before, block, after }: TableText,
  spec: TableSpec,
): ReadonlyMap<string, readonly string[]> {
  const index = new Map<string, string[]>();
  for (const line of [before, block, after].flat()) {
    const owner = ownerOf(line, spec);
    if (owner === null) continue;
    const lines = index.get(owner);
    if (lines === undefined) index.set(owner, [line]);
    else lines.push(line);
  }
  return index;
}

export interface Comparison {
  /** Lines that should be there and are not. */
  readonly missing: readonly string[];
  /** Lines of ours that should not be there (any more). */
  readonly stale: readonly string[];
  /** Lines that somebody else wrote and that take effect for the domain. */
  readonly foreign: readonly string[];
}

/** @param wanted what should be there. @param known all keys of the domain that we have, or had */
export function compareTable(
  spec: TableSpec,
  lines: readonly string[],
  wanted: DomainKeys,
  known: DomainKeys,
): Comparison {
  const expected = spec.lines(wanted).map(plain);
  const there = lines.map((line) => ({ line, text: plain(line) }));
  const others = there.filter(({ text }) => !expected.includes(text));
  const ours = others.filter(({ line }) => spec.isOurs(line, known));
  const heads = new Set(expected.map(headOf));
  return {
    missing: expected.filter((text) => !there.some((each) => each.text === text)),
    // More keys than those that sign may stand in a table of known keys.
    stale: spec.holds === 'signing' ? ours.map(({ line }) => line) : [],
    foreign: others
      .filter((each) => !ours.includes(each) && (spec.holds === 'signing' || heads.has(headOf(each.text))))
      .map(({ line }) => line),
  };
}

export interface TableChange {
  readonly wanted: DomainKeys;
  readonly known: DomainKeys;
  /** What somebody else wrote about the domain goes too. */
  readonly overwrite: boolean;
}

/** Puts the lines of these domains in place of those that are there. Lines of other domains, and of other people, stay as they are. */
export function editTable(table: TableText, spec: TableSpec, changes: ReadonlyMap<string, TableChange>): TableText {
  const expected = new Map([...changes].map(([domain, { wanted }]) => [domain, spec.lines(wanted)]));
  const kept = (line: string): boolean => {
    const owner = ownerOf(line, spec);
    const change = owner === null ? undefined : changes.get(owner);
    if (owner === null || change === undefined) return true;
    if (spec.isOurs(line, change.known)) return false;
    const lines = expected.get(owner) ?? [];
    if (lines.some((each) => plain(each) === plain(line))) return false;
    if (!change.overwrite) return true;
    return spec.holds === 'known' && !lines.some((each) => headOf(plain(each)) === headOf(plain(line)));
  };
  const block = [...table.block.filter(kept), ...[...expected.values()].flat()];
  return { before: table.before.filter(kept), block, after: table.after.filter(kept) };
}

function ownerOf(line: string, { comment, ownerOf: owner }: TableSpec): string | null {
  const text = line.trim();
  return text === '' || (comment !== null && text.startsWith(comment)) ? null : (owner(line)?.toLowerCase() ?? null);
}

/** What a line is called by: two lines of one head cannot both take effect. */
function headOf(line: string): string {
  return line.split(/[\s:]/, 1)[0] ?? '';
}

function plain(line: string): string {
  return line.trim().replaceAll(/\s+/g, ' ');
}

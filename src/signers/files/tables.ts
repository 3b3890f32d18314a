/** The tables on the disk: read when they changed, written whole. */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type FileAttributes, makeFolder, readWhole, stampOf, writeWhole } from './atomic.ts';
import {
  editTable,
  formatTable,
  indexTable,
  parseTable,
  type TableChange,
  type TableSpec,
  type TableText,
} from './table.ts';

export interface Tables {
  readonly specs: readonly TableSpec[];
  /** Lines about a domain in each table, in the order of the tables. @throws Error naming the file that cannot be read */
  read(): Promise<readonly { readonly spec: TableSpec; linesOf(domain: string): readonly string[] }[]>;
  /** Every line of a table, other people's too. */
  all(spec: TableSpec): Promise<readonly string[]>;
  /** True where a table was changed. @throws the system's error: that table is then as it was, later ones too */
  edit(holds: TableSpec['holds'], changes: ReadonlyMap<string, TableChange>): Promise<boolean>;
}

interface Loaded {
  readonly stamp: string | null;
  readonly text: string;
  readonly table: TableText;
  readonly index: ReadonlyMap<string, readonly string[]>;
}

export function openTables(specs: readonly TableSpec[]): Tables {
  const cache = new Map<string, Loaded>();

  async function load(spec: TableSpec): Promise<Loaded> {
    const stamp = await stampOf(spec.path);
    const known = cache.get(spec.path);
    if (known !== undefined && known.stamp === stamp && stamp !== null) return known;
    let text: string;
    try {
      text = (await readWhole(spec.path))?.toString('utf8') ?? '';
    } catch (error) {
      throw new Error(`cannot read ${spec.path}: ${error instanceof Error ? error.message : String(error)}`);
    }
    const table = parseTable(text, spec.comment);
    const loaded = { stamp, text, table, index: indexTable(table, spec) };
    cache.set(spec.path, loaded);
    return loaded;
  }

  return {
    specs,
    async read() {
      const loaded = await Promise.all(specs.map(async (spec) => ({ spec, ...(await load(spec)) })));
      return loaded.map(({ spec, index }) => ({ spec, linesOf: (domain) => index.get(domain) ?? [] }));
    },
    async all(spec) {
      const { before, block, after } = (await load(spec)).table;
      return [...before, ...block, ...after];
    },
    async edit(holds, changes) {
      let changed = false;
      for (const spec of specs) {
        if (spec.holds === holds && (await editOne(spec, changes))) changed = true;
      }
      return changed;
    },
  };

  async function editOne(spec: TableSpec, changes: ReadonlyMap<string, TableChange>): Promise<boolean> {
    for (;;) {
      const { text, table, stamp } = await load(spec);
      const next = formatTable(editTable(table, spec, changes), spec.comment);
      if (stamp !== null && isSame(next, text)) return false;
      await makeFolder(dirname(spec.path), { mode: 0o755, uid: null, gid: null });
      const attributes = await attributesAt(spec);
      // Somebody may have edited it by hand meanwhile: what they wrote is not to be lost.
      if ((await stampOf(spec.path)) !== stamp) continue;
      await writeWhole(spec.path, next, attributes);
      cache.delete(spec.path);
      return true;
    }
  }
}

/** A table that was there keeps its mode, and its owner where the settings name none: whoever could read it still can. */
async function attributesAt({ path, attributes }: TableSpec): Promise<FileAttributes> {
  try {
    const { mode, uid, gid } = await stat(path);
    return { mode: mode & 0o777, uid: attributes.uid ?? uid, gid: attributes.gid ?? gid };
  } catch {
    return attributes;
  }
}

/** The same lines; which of them comes first changes nothing, and is not worth a reload. */
function isSame(a: string, b: string): boolean {
  if (a === b) return true;
  return a.length === b.length && a.split('\n').sort().join('\n') === b.split('\n').sort().join('\n');
}

/** Tables whose lines are made of templates: a line for each key, or one for each stream of a domain with lists in it. */
import type { FileAttributes } from './atomic.ts';
import { type PlacedKey, valuesOf } from './keys.ts';
import type { DomainKeys, TableSpec } from './table.ts';
import type { Template, Values } from './template.ts';

interface Common {
  readonly path: string;
  readonly holds: 'known' | 'signing';
  readonly comment: string | null;
  readonly attributes: FileAttributes;
  /** For formats in which a line of somebody else may look different from ours. */
  readonly ownerOf?: (line: string) => string | null;
}

/** Lists that a line about a domain may name, joined. */
export const listNames = ['selectors', 'files', 'ids', 'publicKeys'] as const;
const listed = { selectors: 'selector', files: 'file', ids: 'id', publicKeys: 'publicKey' } as const;

/** `templates`: the lines about one key of this stream. All of them must name `{domain}`. */
export function tableOfKeys(
  settings: Common & { readonly templates: (stream: string) => readonly Template[] },
): TableSpec {
  const { path, holds, comment, attributes, templates } = settings;
  const linesOf = (key: PlacedKey, stream: string): string[] => {
    const values = valuesOf(key);
    return templates(stream).map((template) => template.fill(values));
  };
  return {
    path,
    holds,
    comment,
    attributes,
    lines: ({ streams }) => [
      ...new Set([...streams].flatMap(([stream, keys]) => keys.flatMap((key) => linesOf(key, stream)))),
    ],
    ownerOf: settings.ownerOf ?? ((line) => firstRead(templates('default'), line)?.domain ?? null),
    isOurs(line, { streams }) {
      const text = plain(line);
      const names = [...streams.keys()];
      return [...streams.values()].some((keys) =>
        keys.some((key) => names.some((stream) => linesOf(key, stream).some((each) => plain(each) === text))),
      );
    },
  };
}

/** One line for each stream that `template` has one for. */
export function tableOfDomains(
  settings: Common & { readonly template: (stream: string) => Template | null; readonly join: string },
): TableSpec {
  const { path, holds, comment, attributes, template, join } = settings;
  return {
    path,
    holds,
    comment,
    attributes,
    lines: ({ domain, streams }) =>
      [...streams].flatMap(([stream, keys]) => {
        const made = template(stream);
        if (made === null || keys.length === 0) return [];
        const lists = Object.entries(listed).map(([list, name]) => [
          list,
          keys.map((key) => valuesOf(key)[name] ?? '').join(join),
        ]);
        return [made.fill({ domain, stream, ...Object.fromEntries(lists) })];
      }),
    ownerOf: settings.ownerOf ?? ((line) => template('default')?.read(line)?.domain ?? null),
    isOurs(line, known) {
      return ['default', ...known.streams.keys()].some((stream) => {
        const values = template(stream)?.read(line);
        return values !== undefined && values !== null && hasOnlyKnown(values, known, join);
      });
    },
  };
}

function hasOnlyKnown(values: Values, { streams }: DomainKeys, join: string): boolean {
  const keys = [...streams.values()].flat().map(valuesOf);
  return Object.entries(listed).every(([list, name]) => {
    const given = values[list];
    return given === undefined || given.split(join).every((each) => keys.some((key) => key[name] === each.trim()));
  });
}

function firstRead(templates: readonly Template[], line: string): Values | null {
  for (const template of templates) {
    const values = template.read(line);
    if (values !== null) return values;
  }
  return null;
}

function plain(line: string): string {
  return line.trim().replaceAll(/\s+/g, ' ');
}

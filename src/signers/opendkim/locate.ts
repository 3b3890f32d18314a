/** The keys that OpenDKIM's tables name for a domain: through the rows that sign its mail, and those that lie unused. */
import type { Located } from '../files/find.ts';
import type { TableSpec } from '../files/table.ts';
import type { Tables } from '../files/tables.ts';
import { keyNameOf, ownerOfPattern, readKeyRow } from './rows.ts';

export async function locateIn(
  domain: string,
  tables: Tables,
  { keyTable, signingTable }: { readonly keyTable: TableSpec; readonly signingTable: TableSpec },
): Promise<readonly Located[]> {
  const isComment = (line: string): boolean => line.trim().startsWith('#');
  const used = new Set(
    (await tables.all(signingTable))
      .filter((line) => !isComment(line) && ownerOfPattern(line) === domain)
      .map(keyNameOf),
  );
  const rows = (await tables.all(keyTable)).flatMap((line) => {
    const row = isComment(line) ? null : readKeyRow(line);
    return row === null ? [] : [row];
  });
  return rows
    .filter((row) => used.has(row.name) || row.domain === domain)
    .map(({ name, selector, key }) => ({ selector, key, inUse: used.has(name) }));
}

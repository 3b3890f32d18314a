/** The lines of docs/signers/exim.md, for Keyturn's folder at another place. */
import { readFileSync } from 'node:fs';

/** @throws Error where the page shows no such lines. */
export function documentedLines(folder: string): string[] {
  const page = readFileSync(new URL('../../docs/signers/exim.md', import.meta.url), 'utf8');
  const block = /```\n(dkim_domain = [\s\S]*?)```/.exec(page)?.[1];
  if (block === undefined) throw new Error('docs/signers/exim.md shows no transport options');
  return block.trimEnd().replaceAll('/etc/exim4/keyturn', folder).split('\n');
}

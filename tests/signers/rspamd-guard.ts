/** The guard that docs/signers/rspamd-vault.md gives: what is tested is what stands there. */
import { readFileSync } from 'node:fs';

export function docsGuard(): string {
  const page = readFileSync(new URL('../../docs/signers/rspamd-vault.md', import.meta.url), 'utf8');
  const lua = /```lua\n([\s\S]*?)```/.exec(page)?.[1];
  if (lua === undefined) throw new Error('docs/signers/rspamd-vault.md has no Lua in it');
  return lua;
}

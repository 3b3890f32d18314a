/** The guard that docs/signers/rspamd-vault.md gives: what is tested is what stands there. */
import { readFileSync } from 'node:fs';

export function docsGuard(): string {
  const page = readFileSync(new URL('../../docs/signers/rspamd-vault.md', import.meta.url), 'utf8');
  const lua = /```lua\n([\s\S]*?)```/.exec(page)?.[1];
  if (lua === undefined) throw new Error('docs/signers/rspamd-vault.md has no Lua in it');
  return lua;
}

/** The ACL rules that a signer's page gives (`ACL SETUSER keyturn … RULES`), from the line that names the keys on. */
export function docsAcl(kind: string): readonly string[] {
  const page = readFileSync(new URL(`../../docs/signers/${kind}.md`, import.meta.url), 'utf8');
  const line = /^user keyturn on >\S+ (.+)$/m.exec(page)?.[1];
  if (line === undefined) throw new Error(`docs/signers/${kind}.md has no ACL in it`);
  return line.split(' ');
}

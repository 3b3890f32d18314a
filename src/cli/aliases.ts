/** The lines that a domain's own DNS must hold, once, where its keys are written behind CNAMEs or a DNAME. */
import type { AliasLines } from '../dns/publish/target.ts';
import type { KeyView, Snapshot } from '../lifecycle/types.ts';
import type { Session } from './session.ts';
import type { Terminal } from './terminal.ts';

/** The lines for these keys, and for the policy's slots, which keys to come will have; null where no publisher writes behind aliases. */
export async function aliasesFor(
  { loaded }: Session,
  domain: string,
  keys: readonly KeyView[],
  slots: readonly string[] = [],
): Promise<AliasLines | null> {
  const { aliasesOf } = await import('../control/publishers.ts');
  const selectors = keys
    .filter((key) => key.ownership === 'ours' && key.state !== 'removed')
    .map((key) => key.selector);
  return aliasesOf(loaded.config, domain, [...new Set([...slots, ...selectors])]);
}

/** Whether a key still waits for its record to be seen: then the domain's aliases may be what is missing. */
export function mayLackAliases({ keys }: Snapshot): boolean {
  const ours = keys.filter((key) => key.ownership === 'ours' && key.state !== 'revoked' && key.state !== 'removed');
  return ours.length === 0 || ours.some((key) => key.proof?.verdict !== 'seen');
}

export function printAliases(terminal: Terminal, aliases: AliasLines | null): void {
  if (aliases === null) return;
  const { dname, cnames } = aliases;
  terminal.out(`\nTo be set once in the domain's own DNS, for every selector there will ever be:\n  ${dname}\n`);
  if (cnames.length === 0) return;
  const lines = cnames.map(({ line }) => `  ${line}\n`).join('');
  terminal.out(`or, where that cannot be set, for each selector by itself:\n${lines}`);
}

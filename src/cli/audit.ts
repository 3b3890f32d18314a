/** `keyturn audit`: the journal, and whether it is as it was written. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { exitCodes, usage } from './exit.ts';
import { harmless, moment, painter, printJson, table } from './output.ts';
import { domainName, openSession } from './session.ts';

export function auditCommand(context: CommandContext): Command {
  const { terminal, exit } = context;
  const command = new Command('audit').description('Read the journal and verify its chain of hashes.');

  const verify = command
    .command('verify')
    .description('Find any entry that was altered, dropped, moved or added; exit code 1 where there is one.');
  withExamples(verify, [['keyturn audit verify --json', 'for a nightly job']]);
  verify.action(async () => {
    await using session = await openSession(context, verify);
    const verdict = await session.store.journal.verify();
    exit(verdict.kind === 'intact' ? exitCodes.ok : exitCodes.wrong);
    if (session.json) return printJson(terminal, verdict);
    const paint = painter(terminal);
    if (verdict.kind === 'intact')
      terminal.out(`${paint('green', 'intact')}: ${verdict.entries} entries, head ${verdict.head}\n`);
    else terminal.out(`${paint('red', verdict.what)} at entry ${verdict.seq}: ${verdict.message}\n`);
  });

  const list = command
    .command('list')
    .description('List entries, newest first.')
    .option('--domain <domain>', 'only of this domain')
    .option('--limit <n>', 'at most so many', '50')
    .option('--after <cursor>', 'from here on')
    .option('--oldest-first', 'in the order in which they were written', false);
  withExamples(list, [['keyturn audit list --domain example.com', "a domain's history"]]);
  list.action(async (options: { domain?: string; limit: string; after?: string; oldestFirst: boolean }) => {
    await using session = await openSession(context, list);
    const limit = Number(options.limit);
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000) throw usage('--limit: expected a number from 1 to 1000');
    const page = await session.store.journal.list(
      {
        ...(options.domain === undefined ? {} : { domain: await domainName(options.domain) }),
        order: options.oldestFirst ? 'oldest' : 'newest',
      },
      { limit, after: options.after ?? null },
    );
    if (session.json) return printJson(terminal, { entries: page.items, next: page.next });
    const rows = page.items.map(({ seq, at, actor, source, domain, kind, details }) => [
      String(seq),
      moment(at, true),
      `${harmless(actor)} (${source})`,
      domain ?? '',
      kind,
      shorten(details),
    ]);
    terminal.out(table(['SEQ', 'TIME (UTC)', 'WHO', 'DOMAIN', 'WHAT', 'DETAILS'], rows, painter(terminal)));
    if (page.next !== null) terminal.out(`More with: --after ${page.next}\n`);
  });
  return command;
}

function shorten(details: unknown): string {
  if (typeof details !== 'object' || details === null) return harmless(String(details));
  return harmless(
    Object.entries(details)
      .filter(([key]) => key !== 'publicKey' && key !== 'policy')
      .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
      .join(' ')
      .slice(0, 160),
  );
}

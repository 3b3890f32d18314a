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
  verify.option('--head <hash>', 'and that this head, noted earlier, is in the chain');
  withExamples(verify, [
    ['keyturn audit verify --json', 'for a nightly job: note the head elsewhere'],
    ['keyturn audit verify --head 5f2c…', 'nothing that was written up to that head has changed since'],
  ]);
  verify.action(async ({ head: noted }: { head?: string }) => {
    if (noted !== undefined && !/^[0-9a-f]{64}$/i.test(noted))
      throw usage('--head: expected the 64 hexadecimal digits that an earlier "keyturn audit verify" printed');
    await using session = await openSession(context, verify);
    const verdict = await session.store.journal.verify(noted === undefined ? {} : { noted });
    exit(verdict.kind === 'intact' ? exitCodes.ok : exitCodes.wrong);
    if (session.json) return printJson(terminal, verdict);
    const paint = painter(terminal);
    if (verdict.kind === 'broken')
      return terminal.out(`${paint('red', verdict.what)} at entry ${verdict.seq}: ${verdict.message}\n`);
    if (verdict.kind === 'another-chain') terminal.out(`${paint('red', 'another chain')}: ${verdict.message}\n`);
    else terminal.out(`${paint('green', 'intact')}\n`);
    terminal.out(`entries  ${verdict.entries}\nhead     ${verdict.head}\n`);
    if (verdict.kind !== 'intact') return;
    if (verdict.noted === undefined)
      terminal.out('Note the head elsewhere: with --head it shows later that nothing up to here was written anew.\n');
    else
      terminal.out(
        `The head noted earlier is that of entry ${verdict.noted}; ${verdict.entries - verdict.noted} came after it.\n`,
      );
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

/** `keyturn signer status`: every signer of the configuration, over all domains. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { exitCodes, usage } from './exit.ts';
import { painter, printJson, table } from './output.ts';
import { openSession } from './session.ts';

export function statusCommand(context: CommandContext): Command {
  const { terminal } = context;
  const command = new Command('status')
    .description(
      'Show each signer over all domains: its kind, how many domains it signs, where it is behind, drifted or set aside.',
    )
    .argument('[signer]', 'only this one, with the names of the domains');
  withExamples(command, [
    ['keyturn signer status', 'which signer is behind'],
    ['keyturn signer status mailcow', 'and for which domains'],
  ]);
  command.addHelpText('after', '\nExit code: 1 where a signer has drifted.');
  return command.action(async (only: string | undefined) => {
    await using session = await openSession(context, command);
    const { signerStatus } = await import('../control/signer-status.ts');
    const all = await signerStatus(session.store, session.loaded.config);
    const shown = only === undefined ? all : all.filter(({ id }) => id === only);
    if (only !== undefined && shown.length === 0)
      throw usage(`there is no signer "${only}": ${all.map(({ id }) => id).join(', ') || 'none at all'}`);
    if (shown.some(({ drifted }) => drifted > 0)) context.exit(exitCodes.wrong);
    if (session.json) return printJson(terminal, { signers: shown });
    const paint = painter(terminal);
    const rows = shown.map((each) => [
      each.id,
      each.kind ?? 'not configured here',
      each.reach ?? '',
      String(each.domains),
      each.behind > 0 ? paint('yellow', String(each.behind)) : '0',
      each.drifted > 0 ? paint('red', String(each.drifted)) : '0',
      String(each.setAside),
    ]);
    terminal.out(
      rows.length === 0
        ? 'No signer is configured.\n'
        : table(['SIGNER', 'KIND', 'REACH', 'DOMAINS', 'BEHIND', 'DRIFTED', 'SET ASIDE'], rows, paint),
    );
    if (only === undefined) return;
    for (const { name, what } of shown[0]?.examples ?? []) terminal.out(`  ${name}  ${what}\n`);
  });
}

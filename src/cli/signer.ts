/** `keyturn signer`: what signs a domain's mail, and which generation of its keys each signer has. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { printNext } from './next.ts';
import { moment, painter, printJson, table } from './output.ts';
import { accept, openSession, requireDomain } from './session.ts';
import { adoptCommand, restoreCommand } from './signer-drift.ts';
import { statusCommand } from './signer-status.ts';

const headlines = {
  'set-aside': 'No change waits for this signer any more',
  'bring-back': 'Changes wait for this signer again',
  remove: 'The signer is forgotten',
} as const;

export function signerCommand(context: CommandContext): Command {
  const { terminal } = context;
  const command = new Command('signer').description(
    'List signers; set one aside, bring it back, remove it; restore or adopt what was changed there by hand.',
  );

  const list = command.command('list').description('List the signers of a domain.').argument('<domain>');
  withExamples(list, [['keyturn signer list example.com', 'who has which generation']]);
  list.action(async (given: string) => {
    await using session = await openSession(context, list);
    const { snapshot } = await requireDomain(session.store, given);
    const { name, generation } = snapshot.domain;
    if (session.json) return printJson(terminal, { domain: name, generation, signers: snapshot.signers });
    const rows = snapshot.signers.map((signer) => [
      signer.id,
      signer.streams.join(', '),
      `${signer.acknowledgedGeneration} of ${generation}`,
      signer.acknowledgedAt === null ? 'never' : moment(signer.acknowledgedAt, true),
      [
        ...(signer.drift === undefined ? [] : [`changed by hand ${moment(signer.drift.at)}`]),
        ...(signer.setAsideAt === null ? [] : [`set aside ${moment(signer.setAsideAt)}`]),
      ].join(', '),
    ]);
    terminal.out(
      rows.length === 0
        ? `${name} has no signer.\n`
        : table(['SIGNER', 'STREAMS', 'GENERATION', 'ACKNOWLEDGED (UTC)', ''], rows, painter(terminal)),
    );
  });

  command.addCommand(statusCommand(context));
  command.addCommand(restoreCommand(context));
  command.addCommand(adoptCommand(context));

  const requests = [
    [
      'set-aside',
      'signer-set-aside',
      'Go on without a signer: nothing waits for it any more. Mail that it signs may fail once keys change.',
    ],
    ['bring-back', 'signer-brought-back', 'Wait for a signer again that was set aside.'],
    ['remove', 'signer-removed', 'Forget a signer that signs no more of this domain.'],
  ] as const;
  for (const [name, kind, description] of requests) {
    const request = command
      .command(name)
      .description(description)
      .argument('<domain>')
      .argument('<signer>')
      .option('--dry-run', 'show what would happen, do nothing', false);
    withExamples(request, [[`keyturn signer ${name} example.com milter-2`, description.split(/[.:]/)[0] ?? '']]);
    request.action(async (given: string, signerId: string) => {
      await using session = await openSession(context, request);
      const { snapshot } = await requireDomain(session.store, given);
      const { mark } = await import('../control/operations.ts');
      const done = accept(
        await mark(session.operator, snapshot.domain.name, { kind, signerId }),
        `${name} ${signerId}`,
      );
      await printNext(
        terminal,
        session,
        done,
        `${headlines[name]}: ${signerId} of ${snapshot.domain.name}${session.operator.dryRun ? ' (dry run: nothing was done)' : ''}.`,
      );
    });
  }
  return command;
}

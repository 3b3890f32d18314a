/** `keyturn signer restore` and `adopt`: what becomes of what somebody put at a signer by hand. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { refused, usage } from './exit.ts';
import { printNext } from './next.ts';
import { accept, openSession, requireDomain } from './session.ts';

export function restoreCommand(context: CommandContext): Command {
  const command = new Command('restore')
    .description('Put back what a signer was given, over what somebody put there by hand.')
    .argument('<domain>')
    .argument('<signer>')
    .option('--dry-run', 'show what would happen, do nothing', false);
  withExamples(command, [['keyturn signer restore example.com mailcow', 'its keyring is handed over anew']]);
  return command.action(async (given: string, signerId: string, options: { dryRun: boolean }) => {
    await using session = await openSession(context, command);
    const { snapshot } = await requireDomain(session.store, given);
    const { name } = snapshot.domain;
    const { mark } = await import('../control/operations.ts');
    const done = accept(
      await mark(session.operator, name, { kind: 'drift-restored', signerId }),
      `restoring ${signerId} for ${name}`,
    );
    const dry = options.dryRun ? ' (dry run: nothing was done)' : '';
    await printNext(context.terminal, session, done, `${signerId} is given the keyring of ${name} again${dry}.`);
  });
}

export function adoptCommand(context: CommandContext): Command {
  const command = new Command('adopt')
    .description(
      "Take over what somebody put at a signer by hand: its key becomes the domain's and signs on, and is rotated in its turn.",
    )
    .argument('<domain>')
    .argument('<signer>')
    .option('--dry-run', 'show what would happen, do nothing', false);
  withExamples(command, [
    ['keyturn signer adopt example.com mailcow', 'the key that was set in its web interface is ours'],
  ]);
  return command.action(async (given: string, signerId: string, options: { dryRun: boolean }) => {
    await using session = await openSession(context, command);
    const { snapshot } = await requireDomain(session.store, given);
    const { name } = snapshot.domain;
    const [{ adopt }, { createSigners }, { createLog }] = await Promise.all([
      import('../control/adopt.ts'),
      import('../control/signers.ts'),
      import('../control/log.ts'),
    ]);
    const { clock } = session.operator;
    const log = createLog({ level: 'error', format: 'text', now: () => clock.now(), write: context.terminal.err });
    // Only this one: others may hold sockets of the server that runs.
    const made = await createSigners(session.loaded, { env: context.terminal.env, clock, log, only: signerId });
    try {
      const signer = made.signers.get(signerId);
      if (signer === undefined)
        throw usage(`the configuration lists no signer "${signerId}"; "keyturn signer status" shows those there are`);
      const result = await adopt(session.operator, name, signer);
      if (result.kind === 'not-adopted') throw refused(result.message);
      if (result.kind !== 'done') {
        accept(result, `adopting what ${signerId} has for ${name}`);
        return;
      }
      const dry = options.dryRun ? ' (dry run: nothing was done)' : '';
      const headline = `${result.adopted.join(', ')} of ${name} is taken over from ${signerId}${dry}.`;
      await printNext(context.terminal, session, result, headline);
    } finally {
      await made.close();
    }
  });
}

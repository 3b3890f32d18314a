/** `keyturn store accept-restore`: goes on with a store that was put back from an old backup, once DNS has been asked about every key. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { exitCodes, refused } from './exit.ts';
import { printJson } from './output.ts';
import { openSession } from './session.ts';

/** Names shown of a long list. */
const shown = 20;

export function acceptRestoreCommand(context: CommandContext): Command {
  const { terminal, exit } = context;
  const command = new Command('accept-restore')
    .description(
      'Go on with a store that was put back from an old backup: every key is looked for in DNS, those whose records are gone are given up and replaced, and every signer is given its keyrings anew.',
    )
    .option('--dry-run', 'ask DNS and say what would be done, do nothing', false)
    .option('--give-up-silent', 'give up keys whose name servers do not answer, instead of stopping at them', false)
    .option('--anyway', 'also where nothing shows that the store is an old one', false);
  withExamples(command, [
    ['keyturn store accept-restore --dry-run', 'what has been withdrawn since the backup'],
    ['keyturn store accept-restore', 'then start the servers again'],
  ]);
  command.action(async () => {
    const options = command.opts<{ giveUpSilent: boolean; anyway: boolean }>();
    await using session = await openSession(context, command);
    const [{ acceptRestore }, { currentAge }, { createWorld }, { olderText }] = await Promise.all([
      import('../control/restore.ts'),
      import('../control/guard.ts'),
      import('../control/real-world.ts'),
      import('../control/witness.ts'),
    ]);
    const { loaded, store, operator, json } = session;
    const { clock, dryRun = false } = operator;
    const now = clock.now();
    const alive = (await store.listInstances()).filter(({ expiresAt }) => expiresAt > now);
    if (alive.length > 0 && !dryRun) {
      const names = alive.map(({ name, host, pid }) => `${name} (${host}, process ${pid})`).join(', ');
      throw refused(`servers are running on this store: ${names}. Stop them first; nothing was done`);
    }
    const age = await currentAge(loaded, store, terminal.env);
    if (age.kind === 'current' && !options.anyway && !dryRun) {
      throw refused(
        'nothing shows that this store is an old one: what was noted of its journal is all there. If it was put back from a backup together with its data folder, say --anyway',
      );
    }
    if (age.kind === 'older' && !json) terminal.err(`${olderText(age)}.\n`);
    const world = createWorld(loaded, { store, clock, signers: new Map(), bindings: [], dns: null });
    let told = 0;
    const report = await acceptRestore({
      operator,
      age,
      prove: world.prove,
      giveUpSilent: options.giveUpSilent,
      progress: (domains) => {
        if (json || domains - told < 1000) return;
        told = domains;
        terminal.err(`${domains} domains …\n`);
      },
    });
    if (json) printJson(terminal, { dryRun, age, ...report });
    else {
      const { domains, keys, givenUp, bare, silent } = report;
      const list = (names: readonly string[]) =>
        `${names.slice(0, shown).join(', ')}${names.length > shown ? ` and ${names.length - shown} more (--json names all)` : ''}`;
      terminal.out(`${keys} keys of ${domains} domains were looked for in DNS.\n`);
      if (givenUp.length > 0)
        terminal.out(
          `${givenUp.length} do not stand there any more and ${dryRun ? 'would be' : 'are'} given up: ${list(givenUp.map(({ domain, selector, found }) => `${selector}._domainkey.${domain} (${found})`))}.\n`,
        );
      if (bare.length > 0)
        terminal.out(
          `${bare.length} streams ${dryRun ? 'would be' : 'are'} left without a key: their mail is put off until new ones are ready: ${list(bare)}.\n`,
        );
      if (silent.length > 0) terminal.out(`${silent.length} domains could not be asked about: ${list(silent)}.\n`);
      if (report.accepted)
        terminal.out(
          'The store is accepted: start the servers. Domains that were added since the backup have to be added again, and those that were removed, removed.\n',
        );
    }
    if (report.accepted || dryRun) return;
    if (!json)
      terminal.err(
        'The store is not accepted yet: see to the name servers of the domains that could not be asked about and repeat, or give their keys up with --give-up-silent.\n',
      );
    exit(exitCodes.wrong);
  });
  return command;
}

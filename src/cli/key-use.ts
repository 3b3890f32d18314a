/** `keyturn key use`, `keep`, `release`: which key a stream signs with, and which are kept for later. */
import { Command } from 'commander';
import { keyOfSelector } from '../lifecycle/facts.ts';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { refused, usage } from './exit.ts';
import { chooseKeys, whyNot } from './key-copy.ts';
import { printNext } from './next.ts';
import { accept, openSession, requireDomain } from './session.ts';

export function useCommand(context: CommandContext): Command {
  const command = new Command('use')
    .description(
      'Sign with this key: it enters as soon as its record is proved, and what signed before leaves once every signer uses it.',
    )
    .argument('<domain>')
    .argument(
      '<selector>',
      "a key of the domain, or SHADOW/SELECTOR (SHADOW/ for what it holds ready): another domain's",
    )
    .option('--stream <name>', 'the stream, where the key comes from elsewhere', 'default')
    .option('--dry-run', 'show what would happen, do nothing', false);
  withExamples(command, [
    ['keyturn key use example.com s2025', 'go back to a key that was kept'],
    ['keyturn key use example.com dkim-backup1.example.com/', "switch to the shadow's key"],
  ]);
  return command.action(async (given: string, which: string, options: { stream: string; dryRun: boolean }) => {
    await using session = await openSession(context, command);
    const { snapshot } = await requireDomain(session.store, given);
    const { name } = snapshot.domain;
    const dry = options.dryRun ? ' (dry run: nothing was done)' : '';
    if (which.includes('/') && !which.toLowerCase().startsWith(`${name}/`)) {
      const { source, keys } = await chooseKeys(session, which, options.stream);
      const { copyKey } = await import('../control/copy-key.ts');
      for (const key of keys) {
        const target = { domain: name, stream: options.stream, use: true };
        const result = await copyKey(session.operator, source, key.id, target);
        if (result.kind !== 'done')
          throw refused(`using ${key.selector} of ${source}: not done, ${whyNot(result, source)}`);
        await printNext(
          context.terminal,
          session,
          result,
          `${name} is to sign with ${key.selector} of ${source}${dry}.`,
        );
      }
      return;
    }
    const selector = which.slice(which.indexOf('/') + 1).toLowerCase();
    const key = keyOfSelector(snapshot, selector);
    if (key === undefined) throw noKey(name, selector);
    const { mark } = await import('../control/operations.ts');
    const result = await mark(session.operator, name, { kind: 'key-wanted', keyId: key.id });
    const done = accept(result, `using ${selector} of ${name}`);
    const leaving = done.snapshot.keys.filter(
      (other) =>
        other.state === 'active' &&
        other.stream === key.stream &&
        other.algorithm === key.algorithm &&
        other.id !== key.id &&
        other.kept !== true,
    );
    const hint = leaving.map(
      (other) => `\nTo come back to ${other.selector} later, keep it: keyturn key keep ${name} ${other.selector}`,
    );
    await printNext(context.terminal, session, done, `${name} is to sign with ${selector}${dry}.${hint.join('')}`);
  });
}

export function keepCommand(context: CommandContext, name: 'keep' | 'release'): Command {
  const isKeep = name === 'keep';
  const command = new Command(name)
    .description(
      isKeep
        ? 'Keep a key for later: it stays in DNS when it no longer signs, is proved, and can be used again.'
        : 'Keep a key no longer: it is revoked once no mail that it signed is on its way.',
    )
    .argument('<domain>')
    .argument('<selector>')
    .option('--dry-run', 'show what would happen, do nothing', false);
  withExamples(command, [[`keyturn key ${name} example.com s2025`, isKeep ? 'it is not revoked' : 'its end begins']]);
  return command.action(async (given: string, which: string, options: { dryRun: boolean }) => {
    await using session = await openSession(context, command);
    const { snapshot } = await requireDomain(session.store, given);
    const { name: domain } = snapshot.domain;
    const selector = which.toLowerCase();
    const key = keyOfSelector(snapshot, selector);
    if (key === undefined) throw noKey(domain, selector);
    const { mark } = await import('../control/operations.ts');
    const kind = isKeep ? 'key-kept' : 'key-released';
    const done = accept(await mark(session.operator, domain, { kind, keyId: key.id }), `${name} of ${selector}`);
    const dry = options.dryRun ? ' (dry run: nothing was done)' : '';
    const headline = isKeep ? `${selector} of ${domain} is kept` : `${selector} of ${domain} is let go`;
    await printNext(context.terminal, session, done, `${headline}${dry}.`);
  });
}

function noKey(domain: string, selector: string) {
  return usage(
    `${domain} has no key with the selector "${selector}"; "keyturn key list ${domain}" shows those there are`,
  );
}

/** `keyturn domain watch`: selectors that somebody else signs with. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { exitCodes, refused } from './exit.ts';
import { printJson } from './output.ts';
import { accept, openSession, reasonOf, requireDomain } from './session.ts';

export function watchCommand(context: CommandContext): Command {
  const { terminal } = context;
  const command = new Command('watch')
    .description(
      'Watch selectors that somebody else signs with, such as an e-mail service: their records are proved and shown, and never touched.',
    )
    .argument('<domain>')
    .argument('<selector...>')
    .option('--stream <name>', 'the stream that they sign; added where it is not there', 'external')
    .option('--stop', 'watch them no longer; their history stays', false)
    .option('--dry-run', 'show what would happen, do nothing', false);
  withExamples(command, [
    ['keyturn domain watch example.com k1 k2 --stream crm', "the service's two selectors"],
    ['keyturn domain watch example.com k1 --stop', 'no longer'],
  ]);
  return command.action(async (given: string, selectors: string[], options: { stream: string; stop: boolean }) => {
    await using session = await openSession(context, command);
    const { snapshot } = await requireDomain(session.store, given);
    const { name } = snapshot.domain;
    const wanted = selectors.map((selector) => selector.toLowerCase());
    const { watchExternal, unwatchExternal } = await import('../control/watch-external.ts');
    const results: Array<{ selector: string; what: string }> = [];
    if (options.stop) {
      for (const selector of wanted) {
        accept(await unwatchExternal(session.operator, name, selector), `watching ${selector} of ${name} no longer`);
        results.push({ selector, what: 'no longer watched' });
      }
    } else {
      const [{ takeInventory }, { createConfiguredProver }] = await Promise.all([
        import('../control/inventory.ts'),
        import('../control/prover.ts'),
      ]);
      const { config } = session.loaded;
      const { operator } = session;
      const prover = createConfiguredProver(config, { clock: operator.clock, builtin: config.dns.listen });
      const found = await takeInventory(name, { operator, prover, also: wanted, save: false, signal: context.stop });
      if (found.trouble !== null) throw refused(`the records of ${name} could not be asked for: ${found.trouble}`);
      for (const selector of wanted) {
        const item = found.items.find((each) => each.selector === selector);
        if (item?.publicKey == null || item.algorithm === null || item.bits === null) {
          context.exit(exitCodes.wrong);
          results.push({ selector, what: `not watched: DNS shows no key at ${selector}._domainkey.${name}` });
          continue;
        }
        const { publicKey, algorithm, bits } = item;
        const key = { selector, stream: options.stream, publicKey, algorithm, bits };
        const result = await watchExternal(operator, name, key);
        if (result.kind !== 'done') context.exit(exitCodes.wrong);
        const what =
          result.kind === 'done'
            ? {
                watched: 'watched',
                known: 'watched already',
                replaced: 'watched; its owner has put another key there',
              }[result.what]
            : `not watched: ${result.kind === 'refused' ? reasonOf(result.why) : 'the domain is gone'}`;
        results.push({ selector, what: `${what} (${algorithm}, ${bits} bits)` });
      }
    }
    if (session.json) return printJson(terminal, { domain: name, results });
    for (const { selector, what } of results) terminal.out(`${selector} of ${name}: ${what}.\n`);
  });
}

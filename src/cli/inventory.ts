/** `keyturn inventory`: which selectors a domain has, whose they are, and in what state. */
import { Command } from 'commander';
import type { Inventory, InventoryItem } from '../control/inventory.ts';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { exitCodes, usage } from './exit.ts';
import { harmless, moment, type Paint, painter, printJson, table } from './output.ts';
import { domainName, openSession, requireDomain, type Session } from './session.ts';

interface Options {
  readonly all: boolean;
  readonly save: boolean;
  readonly selector: readonly string[];
  readonly resolver: readonly string[];
  readonly server: readonly string[];
}

/** Domains asked about side by side: each is asked gently, all together must be too. */
const together = 4;

export function inventoryCommand(context: CommandContext): Command {
  const command = new Command('inventory')
    .description(
      'Find the selectors that a domain has, among those that services and mail servers usually have: whose, how long, how old, weak, withdrawn. With --save, keys of others are watched from then on.',
    )
    .argument('[domain...]')
    .option('--all', 'every mail domain in care', false)
    .option('--save', 'keep what is found with the domain (which must be in care)', false)
    .option('--selector <name>', 'ask for this one too; may be repeated', collect, [])
    .option(
      '--server <address>',
      'ask this authoritative server, not those of the delegation; may be repeated',
      collect,
      [],
    )
    .option('--resolver <address>', 'find name servers by this resolver; may be repeated', collect, []);
  withExamples(command, [
    ['keyturn inventory example.com', 'look, keep nothing'],
    ['keyturn inventory --all --save', 'what others sign with, for every domain; run it now and then'],
  ]);
  command.addHelpText('after', '\nExit code: 0 where DNS answered, 3 where it did not for some domain.');
  return command.action(async (given: string[], options: Options) => {
    if (options.all === given.length > 0) throw usage('name domains, or give --all');
    const names = await Promise.all(given.map(domainName));
    await using session = await openSession(context, command);
    if (options.save) for (const name of names) await requireDomain(session.store, name);
    const [{ takeInventory }, { createConfiguredProver }] = await Promise.all([
      import('../control/inventory.ts'),
      import('../control/prover.ts'),
    ]);
    const { config } = session.loaded;
    const { clock } = session.operator;
    const configured = createConfiguredProver(config, { clock, builtin: config.dns.listen });
    const prover = await chosenProver(options, names, configured);
    const inventories: Inventory[] = [];
    const one = async (name: string) => {
      const also = options.selector.map((each) => each.toLowerCase());
      const inventory = await takeInventory(name, {
        operator: session.operator,
        prover,
        also,
        save: options.save,
        signal: context.stop,
      });
      inventories.push(inventory);
      if (inventory.trouble !== null) context.exit(exitCodes.unreachable);
      if (!session.json) print(context, inventory);
    };
    for await (const part of parts(options.all ? null : names, session)) await Promise.all(part.map(one));
    if (session.json) printJson(context.terminal, { inventories });
  });
}

async function chosenProver(
  { server, resolver }: Options,
  names: readonly string[],
  configured: Awaited<ReturnType<typeof import('../control/prover.ts')['createConfiguredProver']>>,
) {
  if (server.length === 0 && resolver.length === 0) return configured;
  const { createProver } = await import('../dns/lookup/prove.ts');
  return createProver({
    ...(resolver.length > 0 ? { resolvers: resolver } : {}),
    zones: server.length > 0 ? names.map((apex) => ({ apex, servers: server })) : [],
  });
}

async function* parts(names: readonly string[] | null, { store }: Session): AsyncGenerator<readonly string[]> {
  if (names !== null) {
    for (let at = 0; at < names.length; at += together) yield names.slice(at, at + together);
    return;
  }
  let after: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof store.listDomains>> = await store.listDomains(
      { kind: 'mail' },
      { limit: together, after },
    );
    yield page.items.map(({ name }) => name);
    after = page.next;
  } while (after !== null);
}

function print({ terminal }: CommandContext, { domain, items, asked, wildcard, trouble, inCare }: Inventory): void {
  const paint = painter(terminal);
  terminal.out(`${paint('bold', domain)}${inCare ? '' : '  not in care here'}\n`);
  if (trouble !== null) {
    terminal.out(`  ${paint('red', harmless(trouble))}\n\n`);
    return;
  }
  if (wildcard)
    terminal.out(`  ${paint('yellow', 'a wildcard answers for every name: only what differs from it is shown')}\n`);
  if (items.length === 0) terminal.out(`  None of ${asked} usual selectors has a record.\n`);
  terminal.out(
    table(
      ['  SELECTOR', 'WHOSE', 'KIND', 'STATE', 'FIRST SEEN', 'LAST CHANGE', ''],
      items.map((item) => [
        `  ${harmless(item.selector)}`,
        item.owner === 'ours' ? paint('green', 'ours') : (item.service ?? 'not known'),
        item.algorithm === null ? '' : `${item.algorithm}-${item.bits}`,
        stateWord(item, paint),
        item.firstSeen === null ? '' : moment(item.firstSeen).slice(0, 10),
        item.lastChange === null ? '' : moment(item.lastChange).slice(0, 10),
        remarks(item, paint),
      ]),
      paint,
    ),
  );
  terminal.out('\n');
}

function stateWord({ status, revoked, weak }: InventoryItem, paint: Paint): string {
  if (revoked) return paint('dim', 'withdrawn');
  if (status === 'usable') return paint('green', 'usable');
  return paint(weak || status === 'weak' ? 'yellow' : 'red', status);
}

function remarks({ weak, testing, replaced, kept, target }: InventoryItem, paint: Paint): string {
  return [
    ...(weak ? [paint('yellow', 'short')] : []),
    ...(testing ? [paint('yellow', 't=y: a test, receivers may ignore it')] : []),
    ...(replaced ? [paint('yellow', 'its owner has replaced the key (--save takes note)')] : []),
    ...(kept === 'watched' ? ['watched from now on'] : kept === 'replaced' ? ['replaced by its owner: noted'] : []),
    ...(target === null ? [] : [paint('dim', `→ ${harmless(target)}`)]),
  ].join(', ');
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

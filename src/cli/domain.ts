/** `keyturn domain`: which domains are in our care. */
import { Argument, Command, Option } from 'commander';
import type { DomainFilter } from '../store/store.ts';
import { aliasesFor, printAliases } from './aliases.ts';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { showCommand } from './domain-show.ts';
import { watchCommand } from './domain-watch.ts';
import { refused, usage } from './exit.ts';
import { printNext } from './next.ts';
import { moment, painter, printJson, table } from './output.ts';
import { accept, domainName, openSession, reasonOf, requireDomain, type Session } from './session.ts';

export function domainCommand(context: CommandContext): Command {
  const command = new Command('domain').description('Add, list, show, import and remove domains.');
  command.addCommand(addCommand(context));
  command.addCommand(listCommand(context));
  command.addCommand(showCommand(context));
  command.addCommand(importCommand(context));
  command.addCommand(streamCommand(context));
  command.addCommand(watchCommand(context));
  command.addCommand(removeCommand(context));
  command.addCommand(wakeCommand(context));
  return command;
}

interface AddOptions {
  readonly policy: string;
  readonly shadow: boolean;
  readonly shadowOf?: string;
  readonly dryRun: boolean;
}

async function addShadowOf({ operator }: Session, name: string, main: string, policy: string) {
  const of = await domainName(main);
  const { addShadow } = await import('../control/shadows.ts');
  const result = await addShadow(operator, { name, of, policy });
  if (result.kind === 'no-main')
    throw usage(`${of} is not in care here, so that it can have no shadow: "keyturn domain add ${of}" first`);
  if (result.kind === 'refused') throw refused(`making ${name} a shadow of ${of}: not done, ${reasonOf(result.why)}`);
  return result;
}

function addCommand(context: CommandContext): Command {
  const command = new Command('add')
    .description(
      'Take a domain into care: its first keys are made and published, and sign once DNS shows them everywhere.',
    )
    .argument('<domain...>')
    .option('--policy <name>', 'policy that it follows', 'default')
    .option('--shadow', 'a helper domain that only holds keys and signs no mail', false)
    .option('--shadow-of <domain>', 'a helper domain that holds keys for this one, at which their records stand')
    .option('--dry-run', 'show what would happen, do nothing', false);
  withExamples(command, [
    ['keyturn domain add example.com', 'under the default policy'],
    ['keyturn domain add a.example b.example --policy yearly', 'several, under a policy of your own'],
    ['keyturn domain add example.com --dry-run', 'see the dates first'],
    [
      'keyturn domain add dkim-backup1.example.com --shadow-of example.com',
      'keys in reserve, under their own selectors',
    ],
  ]);
  return command.action(async (names: string[], options: AddOptions) => {
    await using session = await openSession(context, command);
    const [{ addDomain }, { bindingsOf }] = await Promise.all([
      import('../control/operations.ts'),
      import('../control/signers.ts'),
    ]);
    const kind = options.shadow ? 'shadow' : 'mail';
    const bindings = bindingsOf(session.loaded.config);
    for (const given of names) {
      const name = await domainName(given);
      const result =
        options.shadowOf === undefined
          ? await addDomain(session.operator, { name, kind, policy: options.policy, bindings })
          : await addShadowOf(session, name, options.shadowOf, options.policy);
      if (result.kind === 'exists') throw refused(`${name} is in care already; "keyturn domain show ${name}" shows it`);
      if (result.kind === 'no-such-policy')
        throw usage(`there is no policy "${options.policy}"; "keyturn policy list" shows those there are`);
      const aliases = await aliasesFor(session, name, result.snapshot.keys, result.policy.selectors);
      const headline = options.dryRun ? `${name} would be added.` : `${name} is added.`;
      await printNext(context.terminal, session, result, headline, { aliases });
      if (!session.json) printAliases(context.terminal, aliases);
    }
  });
}

function listCommand({ terminal, ...rest }: CommandContext): Command {
  const command = new Command('list')
    .description('List domains with their state.')
    .addOption(new Option('--kind <kind>', 'only these').choices(['mail', 'shadow', 'all']).default('mail'))
    .addOption(
      new Option('--state <state>', 'with a key in this state').choices([
        'created',
        'published',
        'standby',
        'active',
        'retiring',
        'revoked',
        'removed',
      ]),
    )
    .option('--reason <reason>', 'with this condition, such as record-missing')
    .addOption(
      new Option('--severity <severity>', 'with a condition of this severity').choices(['info', 'warning', 'critical']),
    )
    .option('--prefix <text>', 'whose names start so')
    .option('--limit <n>', 'at most so many', '100')
    .option('--after <domain>', 'from here on');
  withExamples(command, [
    ['keyturn domain list --severity critical', 'what needs a person now'],
    ['keyturn domain list --limit 1000 --json', 'for scripts; `next` is what to hand to --after'],
  ]);
  return command.action(async (options: Record<string, string>) => {
    await using session = await openSession({ terminal, ...rest }, command);
    const limit = Number(options.limit);
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000) throw usage('--limit: expected a number from 1 to 1000');
    const filter: DomainFilter = {
      ...(options.kind === 'all' ? {} : pick(options, 'kind')),
      ...pick(options, 'reason', 'severity', 'prefix'),
      ...(options.state === undefined ? {} : { keyState: options.state }),
    } as DomainFilter;
    const page = await session.store.listDomains(filter, { limit, after: options.after ?? null });
    if (session.json) return printJson(terminal, { domains: page.items, next: page.next });
    if (page.items.length === 0) {
      const asked = Object.keys(filter).some((name) => name !== 'kind') || options.after !== undefined;
      terminal.out(
        asked
          ? 'No domain fits what was asked for.\n'
          : `No domains in ${session.loaded.dataFolder}. Add the first with: keyturn domain add example.com\n`,
      );
      return;
    }
    const paint = painter(terminal);
    const rows = page.items.map((row) => [
      row.name + (row.kind === 'shadow' ? paint('dim', ' (shadow)') : ''),
      row.removingAt !== null
        ? 'leaving'
        : row.pausedAt !== null
          ? 'paused'
          : row.firstActiveAt === null
            ? 'being set up'
            : 'signing',
      String(row.keys.active ?? 0),
      String(row.keys.standby ?? 0),
      row.severity === null
        ? paint('green', 'well')
        : paint(
            row.severity === 'critical' ? 'red' : row.severity === 'warning' ? 'yellow' : 'cyan',
            `${row.conditions} ${row.severity}`,
          ),
      row.policy ?? 'its own',
      moment(row.nextLookAt),
    ]);
    terminal.out(
      table(['DOMAIN', 'STATE', 'ACTIVE', 'STANDBY', 'CONDITIONS', 'POLICY', 'NEXT LOOK (UTC)'], rows, paint),
    );
    if (page.next !== null) terminal.out(`More with: --after ${page.next}\n`);
    await tellShadows(session, filter, terminal);
  });
}

/** Shadows hold keys and are no mail domains: they are told apart. */
async function tellShadows(
  { store }: Session,
  { kind }: DomainFilter,
  terminal: CommandContext['terminal'],
): Promise<void> {
  if (kind !== 'mail') return;
  const { shadow } = (await store.counts()).domains;
  if (shadow > 0)
    terminal.out(
      `And ${shadow} ${shadow === 1 ? 'shadow, which only holds' : 'shadows, which only hold'} keys: --kind shadow\n`,
    );
}

function importCommand(context: CommandContext): Command {
  const command = new Command('import')
    .description(
      'Take over a key that signs already, with its selector: it stays active once its record is proved, and is replaced when due.',
    )
    .argument('<domain>', 'added first where it is not in care yet')
    .requiredOption('--selector <selector>', 'the selector under which its record stands')
    .requiredOption(
      '--key <file>',
      'the private key: PEM (PKCS#1 or PKCS#8), or an Ed25519 seed; `-` reads standard input',
    )
    .option('--stream <name>', 'the stream that it signs', 'default')
    .option('--policy <name>', 'policy of a domain that is added', 'default')
    .option('--keep', 'have it at hand, in DNS and proved, and do not sign with it until it is asked for', false)
    .option('--dry-run', 'show what would happen, do nothing', false);
  withExamples(command, [
    [
      'keyturn domain import example.com --selector s2023 --key /etc/opendkim/keys/example.com/s2023.private',
      'from OpenDKIM',
    ],
  ]);
  return command.action(
    async (
      given: string,
      options: { selector: string; key: string; stream: string; policy: string; keep: boolean; dryRun: boolean },
    ) => {
      await using session = await openSession(context, command);
      const name = await domainName(given);
      const { importKey } = await import('../control/import-key.ts');
      const { readFile } = await import('node:fs/promises');
      const input =
        options.key === '-'
          ? await context.terminal.readInput()
          : await readFile(options.key).catch((error: Error) => {
              throw usage(`cannot read the key: ${error.message}`);
            });
      const { bindingsOf } = await import('../control/signers.ts');
      const result = await importKey(session.operator, {
        domain: name,
        selector: options.selector.toLowerCase(),
        stream: options.stream,
        input,
        policy: options.policy,
        bindings: bindingsOf(session.loaded.config),
        ...(options.keep ? { kept: true } : {}),
      });
      if (result.kind === 'bad-key') throw usage(`the key of ${name} cannot be taken over: ${result.message}`);
      if (result.kind === 'no-such-policy') throw usage(`there is no policy "${options.policy}"`);
      if (result.kind === 'no-main') throw usage(`the main domain of ${name} is not in care`);
      if (result.kind !== 'done') {
        accept(result, `taking over ${options.selector} of ${name}`);
        return;
      }
      for (const warning of result.warnings) context.terminal.err(`warning: ${warning}\n`);
      const what = `${options.selector} of ${name} (${result.key.algorithm}, ${result.key.bits} bits)`;
      await printNext(
        context.terminal,
        session,
        result,
        options.dryRun ? `${what} would be taken over.` : `${what} is taken over.`,
      );
    },
  );
}

function streamCommand(context: CommandContext): Command {
  const command = new Command('add-stream')
    .description(
      'Add a stream, such as a newsletter, with selectors of its own. Which mail belongs to it is told by milter.streams in the configuration; until its first keys sign, its mail is signed as "default".',
    )
    .argument('<domain>')
    .argument('<stream>')
    .option('--policy <name>', "a named policy whose settings it takes over (default: the domain's policy)")
    .option('--dry-run', 'show what would happen, do nothing', false);
  withExamples(command, [['keyturn domain add-stream example.com newsletter', 'keys of its own for the newsletter']]);
  return command.action(async (given: string, stream: string, options: { policy?: string; dryRun: boolean }) => {
    await using session = await openSession(context, command);
    const { snapshot } = await requireDomain(session.store, given);
    const { name } = snapshot.domain;
    if (!/^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/.test(stream))
      throw usage(`"${stream}" is not a name for a stream: lower-case letters, digits and hyphens, at most 32`);
    const policy = options.policy === undefined ? null : await session.store.policy(options.policy);
    if (options.policy !== undefined && policy === null) throw usage(`there is no policy "${options.policy}"`);
    const [{ addStream }, { bindingsOf }] = await Promise.all([
      import('../control/operations.ts'),
      import('../control/signers.ts'),
    ]);
    const done = accept(
      await addStream(session.operator, name, stream, policy, bindingsOf(session.loaded.config)),
      `adding the stream ${stream} to ${name}`,
    );
    const what = `The stream ${stream} of ${name}`;
    await printNext(context.terminal, session, done, options.dryRun ? `${what} would be added.` : `${what} is added.`);
  });
}

function removeCommand(context: CommandContext): Command {
  const command = new Command('remove')
    .description(
      'Let a domain go: its keys leave the signers, their records are revoked after the overlap and then removed.',
    )
    .addArgument(new Argument('<domain>'))
    .option('--dry-run', 'show what would happen, do nothing', false)
    .option('--yes', 'do not ask', false);
  withExamples(command, [['keyturn domain remove example.com --dry-run', 'see the dates first']]);
  return command.action(async (given: string, options: { dryRun: boolean; yes: boolean }) => {
    await using session = await openSession(context, command);
    const { snapshot } = await requireDomain(session.store, given);
    const { name } = snapshot.domain;
    if (!options.yes && !options.dryRun)
      throw usage(`mail of ${name} will no longer be signed: add --yes to go on, or --dry-run to see the dates`);
    const { mark } = await import('../control/operations.ts');
    const done = accept(await mark(session.operator, name, { kind: 'removal-requested' }), `removing ${name}`);
    await printNext(context.terminal, session, done, options.dryRun ? `${name} would leave.` : `${name} is leaving.`);
  });
}

function wakeCommand(context: CommandContext): Command {
  const command = new Command('look')
    .description('Have the server look at a domain now, whatever its plan says.')
    .argument('<domain>');
  return command.action(async (given: string) => {
    await using session = await openSession(context, command);
    const { snapshot } = await requireDomain(session.store, given);
    await session.store.wake(snapshot.domain.name, Date.now());
    if (session.json) printJson(context.terminal, { domain: snapshot.domain.name, woken: true });
    else context.terminal.out(`A running server looks at ${snapshot.domain.name} now.\n`);
  });
}

function pick(options: Readonly<Record<string, string>>, ...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])));
}

/** `keyturn check`: what the world sees of a domain's keys. Works on any domain, with no set-up. */
import { Command } from 'commander';
import type { Inspection, SelectorStatus } from '../dns/lookup/inspect.ts';
import type { CommandContext } from './context.ts';
import { globals, withExamples } from './context.ts';
import { durationOption } from './duration-option.ts';
import { exitCodes } from './exit.ts';
import { harmless, painter, printJson, type Style } from './output.ts';
import { domainName, openSession } from './session.ts';

/** Selectors that many senders use, tried where none is given: DNS cannot be asked which there are. */
const usual = [
  'default',
  'dkim',
  'mail',
  'email',
  'smtp',
  'mta',
  'selector1',
  'selector2',
  's1',
  's2',
  'k1',
  'k2',
  'k3',
  'google',
  'dkim1',
  'dkim2',
  'key1',
  'key2',
  '20161025',
  '20230601',
  'mandrill',
  'mxvault',
  'fm1',
  'fm2',
  'fm3',
  'protonmail',
  'protonmail2',
  'protonmail3',
  'zoho',
  'pm',
  'mailjet',
  'sig1',
  'ed25519',
  'rsa',
  'x',
  'a',
  'b',
];

interface CheckOptions {
  readonly server: readonly string[];
  readonly resolver: readonly string[];
  readonly timeout: string;
}

export function checkCommand(context: CommandContext): Command {
  const { terminal, exit } = context;
  const command = new Command('check')
    .description(
      'Check the DKIM keys that a domain publishes: every authoritative server is asked, and each record is judged as a receiver would. Without selectors: those in care here, and the usual ones.',
    )
    .argument('<domain>')
    .argument('[selector...]')
    .option(
      '--server <address>',
      'ask this authoritative server, not those of the delegation; may be repeated',
      collect,
      [],
    )
    .option(
      '--resolver <address>',
      'find name servers by this resolver, not those of the system; may be repeated',
      collect,
      [],
    )
    .option('--timeout <duration>', 'for everything', '15s');
  withExamples(command, [
    ['keyturn check example.com', 'the usual selectors'],
    ['keyturn check example.com s2024 s2025 --json', 'these two, for a script'],
    ['keyturn check example.test s1 --server 127.0.0.1:5353', 'a server that is not delegated to'],
  ]);
  command.addHelpText(
    'after',
    '\nExit code: 0 where every key can be used, 1 where one cannot or none was found, 3 where DNS did not answer.',
  );
  return command.action(async (given: string, selectors: string[], options: CheckOptions) => {
    const domain = await domainName(given);
    const [{ createProver }, { inspect }] = await Promise.all([
      import('../dns/lookup/prove.ts'),
      import('../dns/lookup/inspect.ts'),
    ]);
    const timeout = await durationOption('--timeout', options.timeout);
    const prover = createProver({
      timeoutMs: timeout,
      ...(options.resolver.length > 0 ? { resolvers: options.resolver } : {}),
      zones: options.server.length > 0 ? [{ apex: domain, servers: options.server }] : [],
    });
    const asked =
      selectors.length > 0 ? selectors : [...new Set([...(await ownSelectors(context, command, domain)), ...usual])];
    const report = await inspect(prover, domain, asked);
    const found = report.selectors.filter(
      ({ status }) => selectors.length > 0 || (status !== 'missing' && status !== 'unreachable'),
    );
    exit(verdict(report, found, selectors.length > 0));
    if (globals(command).json)
      return printJson(terminal, { ...report, selectors: found.map(({ parsed: _, ...rest }) => rest) });
    const paint = painter(terminal);
    terminal.out(`${paint('bold', report.domain)}  zone ${report.apex ?? 'not found'}\n`);
    for (const { server, address } of report.servers)
      terminal.out(`  ${server === address ? address : `${server} ${address}`}\n`);
    for (const problem of report.problems) terminal.out(`${paint('red', 'problem')} ${harmless(problem)}\n`);
    if (found.length === 0) terminal.out(`\n${nothingFound(report, options.server)}\n`);
    for (const { name, status, algorithm, bits, ttl, cnames, value, problems, notes, answers } of found) {
      const kind = algorithm === null ? '' : algorithm === 'rsa' ? `RSA ${bits} bits` : 'Ed25519';
      terminal.out(
        `\n${paint(colours[status], status)}  ${paint('bold', name)}  ${[kind, ttl === null ? '' : `TTL ${ttl} s`].filter(Boolean).join(', ')}\n`,
      );
      if (cnames.length > 0) terminal.out(`  by way of ${cnames.map(harmless).join(', ')}\n`);
      if (value !== null) terminal.out(`  ${paint('dim', harmless(value))}\n`);
      terminal.out(`  ${answers.filter((answer) => answer.reached).length} of ${answers.length} servers answered\n`);
      for (const problem of problems) terminal.out(`  ${paint('red', 'problem')} ${harmless(problem)}\n`);
      for (const note of notes) terminal.out(`  ${paint('yellow', 'note')} ${harmless(note)}\n`);
    }
  });
}

const colours: Readonly<Record<SelectorStatus, Style>> = {
  usable: 'green',
  weak: 'yellow',
  revoked: 'magenta',
  missing: 'red',
  invalid: 'red',
  inconsistent: 'red',
  unreachable: 'red',
};

/** Why there is nothing to show where selectors were guessed: nobody answered, or nothing is there. */
function nothingFound({ domain, selectors, problems }: Inspection, given: readonly string[]): string {
  const silent = selectors.filter(({ status }) => status === 'unreachable');
  if (silent.length === 0) return 'No key found under the usual selectors; name those that you use.';
  // One reason for each server: it is nearly always the same for every selector.
  const byServer = new Map<string, string>();
  for (const { answers, problems: found } of silent) {
    for (const { server, address, detail } of answers)
      if (!byServer.has(address)) byServer.set(address, `${server} did not say: ${detail ?? 'no answer'}`);
    if (answers.length === 0 && found[0] !== undefined && !problems.includes(found[0])) byServer.set('', found[0]);
  }
  const nobody = silent.length === selectors.length;
  return [
    nobody
      ? `No server that could speak for ${domain} was reached, so whether it has keys is not known.`
      : `No key found, but ${silent.length} of the ${selectors.length} usual selectors got no answer.`,
    ...[...byServer.values()].map((why) => `  ${harmless(why)}`),
    given.length > 0
      ? `Check that ${given.join(', ')} is right, that a name server listens there, and that it may be asked from here.`
      : 'Try again, ask by another resolver (--resolver ADDRESS), or name the server to ask (--server ADDRESS).',
  ].join('\n');
}

/** A revoked key is as it should be, unless it was asked for by name. */
function verdict(report: Inspection, found: Inspection['selectors'], named: boolean): number {
  const silent = report.selectors.filter(({ status }) => status === 'unreachable').length;
  if (silent === report.selectors.length || (found.length === 0 && silent > 0)) return exitCodes.unreachable;
  const usable = found.some(({ status }) => status === 'usable' || status === 'weak');
  const wrong = found.some(({ status }) => status !== 'usable' && status !== 'weak' && (named || status !== 'revoked'));
  return usable && !wrong ? exitCodes.ok : exitCodes.wrong;
}

/** Selectors in care here; none where nothing has been set up, or somebody else's data may not be read. */
async function ownSelectors(context: CommandContext, command: Command, domain: string): Promise<string[]> {
  const [{ loadConfig }, { existsSync, accessSync, constants }] = await Promise.all([
    import('../control/config/load.ts'),
    import('node:fs'),
  ]);
  const { config, dataFolder, kekFile } = loadConfig(globals(command).config, {
    env: context.terminal.env,
    workingFolder: process.cwd(),
  });
  const file = `${dataFolder}/keyturn.sqlite`;
  const elsewhere = config.store.url !== undefined;
  if ((!elsewhere && !existsSync(file)) || (!existsSync(kekFile) && context.terminal.env.KEYTURN_KEK === undefined))
    return [];
  try {
    if (!elsewhere) accessSync(file, constants.R_OK | constants.W_OK);
    if (existsSync(kekFile)) accessSync(kekFile, constants.R_OK);
  } catch {
    return [];
  }
  await using session = await openSession(context, command);
  const keys = (await session.store.snapshot(domain))?.snapshot.keys ?? [];
  return keys.flatMap(({ state, selector }) => (state === 'removed' || state === 'created' ? [] : [selector]));
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

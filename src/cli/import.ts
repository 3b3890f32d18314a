/** `keyturn import`: takes over an installation as it stands. */
import { Command } from 'commander';
import type { ImportReport } from '../control/import-mailcow/report.ts';
import type { MailcowHashes } from '../control/import-mailcow/source.ts';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { CommandFailure, exitCodes, usage } from './exit.ts';
import { harmless, type Paint, painter, printJson, table } from './output.ts';
import { domainName, openSession, type Session } from './session.ts';

export function importCommand(context: CommandContext): Command {
  const command = new Command('import').description(
    'Take over an installation as it stands, without changing a signature.',
  );
  command.addCommand(mailcowCommand(context));
  return command;
}

interface Options {
  readonly redis?: string;
  readonly redisPasswordFile?: string;
  readonly redisCa?: string;
  readonly api?: string;
  readonly apiKeyFile?: string;
  readonly apiCa?: string;
  readonly policy: string;
  readonly shadowPattern: readonly string[];
  readonly mail: readonly string[];
  readonly dns: boolean;
  readonly dryRun: boolean;
}

function mailcowCommand(context: CommandContext): Command {
  const command = new Command('mailcow')
    .description(
      "Take over mailcow's domains with the keys that they sign with; blind keys, helper domains and what belongs to nothing are found and reported. mailcow is only read.",
    )
    .argument('[domain...]', 'only these (default: all that sign)')
    .option('--redis <url>', "mailcow's Redis, such as redis://127.0.0.1:7654")
    .option('--redis-password-file <file>', 'its password (REDISPASS in mailcow.conf)')
    .option('--redis-ca <file>', 'the authority of its certificate, for rediss://')
    .option('--api <url>', "mailcow's user interface, to read by its API instead")
    .option('--api-key-file <file>', 'the API key; a read-only one will do')
    .option('--api-ca <file>', 'the authority of its certificate')
    .option('--policy <name>', 'policy of the domains that are added', 'default')
    .option(
      '--shadow-pattern <pattern>',
      'names of helper domains: of the first label, or with dots of the whole name; may be repeated (default: dkim-*)',
      collect,
      [],
    )
    .option(
      '--mail <domain>',
      'it has mail of its own, though it holds the key of a domain above it; may be repeated',
      collect,
      [],
    )
    .option('--no-dns', 'do not ask DNS what stands there: blind keys are then left where they are')
    .option('--dry-run', 'report everything, change nothing', false);
  withExamples(command, [
    [
      'keyturn import mailcow --redis redis://127.0.0.1:7654 --redis-password-file pass --dry-run',
      'see everything first',
    ],
    ['keyturn import mailcow --redis redis://127.0.0.1:7654 --redis-password-file pass', 'take it over'],
    ['keyturn import mailcow --api https://mail.example.com --api-key-file key example.com', 'one domain, by the API'],
  ]);
  command.addHelpText('after', '\nExit code: 0 where all is taken over, 1 where something failed or was left out.');
  return command.action(async (domains: string[], options: Options) => {
    const only = await Promise.all(domains.map(domainName));
    await using session = await openSession(context, command);
    const [{ importMailcow }, { createConfiguredProver }] = await Promise.all([
      import('../control/import-mailcow/run.ts'),
      import('../control/prover.ts'),
    ]);
    const tell = progressOf(context);
    const hashes = await readSource(options, only, tell);
    const { config } = session.loaded;
    const report = await importMailcow(hashes, {
      operator: session.operator,
      config,
      policy: options.policy,
      shadowPatterns: options.shadowPattern.length > 0 ? options.shadowPattern : ['dkim-*'],
      mailDomains: options.mail,
      only,
      prover: options.dns
        ? createConfiguredProver(config, { clock: session.operator.clock, builtin: config.dns.listen })
        : null,
      progress: tell,
    });
    tell.end();
    const { counts } = report;
    if (counts.failed + counts.skipped > 0) context.exit(exitCodes.wrong);
    if (session.json) return printJson(context.terminal, report);
    print(context, session, report);
  });
}

async function readSource(
  { redis, redisPasswordFile, redisCa, api, apiKeyFile, apiCa }: Options,
  only: readonly string[],
  progress: (what: 'mailcow', done: number, of: number) => void,
): Promise<MailcowHashes> {
  if ((redis === undefined) === (api === undefined))
    throw usage('say where mailcow is read from: --redis URL, or --api URL');
  const { readMailcowApi, readMailcowRedis } = await import('../control/import-mailcow/source.ts');
  const unreachable = (error: Error) => new CommandFailure(exitCodes.unreachable, error.message);
  if (redis !== undefined) {
    const source = {
      url: /^rediss?:\/\//.test(redis) ? redis : `redis://${redis}`,
      ...(redisPasswordFile === undefined ? {} : { password: await readLine(redisPasswordFile) }),
      ...(redisCa === undefined ? {} : { ca: redisCa }),
    };
    return readMailcowRedis(source).catch((error: Error) => {
      throw unreachable(error);
    });
  }
  if (api === undefined || apiKeyFile === undefined) throw usage('--api needs --api-key-file');
  const { createMailcowClient } = await import('../signers/mailcow-api/client.ts');
  const { readFile } = await import('node:fs/promises');
  const client = createMailcowClient({
    url: api,
    apiKey: await readLine(apiKeyFile),
    timeout: 20_000,
    ...(apiCa === undefined ? {} : { ca: await readFile(apiCa, 'utf8') }),
  });
  try {
    return await readMailcowApi(client, only, (done, of) => progress('mailcow', done, of));
  } catch (error) {
    throw unreachable(error as Error);
  } finally {
    client.close();
  }
}

async function readLine(file: string): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw usage(`cannot read ${file}: ${error.message}`);
  });
  return text.trim();
}

type Progress = ((what: 'mailcow' | 'keys' | 'records' | 'domains', done: number, of: number) => void) & {
  end(): void;
};

const doing = {
  mailcow: 'Reading mailcow',
  keys: 'Reading keys',
  records: 'Asking DNS',
  domains: 'Taking over',
} as const;

/** One line that is written over, for people at a terminal. */
function progressOf({ terminal }: CommandContext): Progress {
  let shown = 0;
  const tell = (what: keyof typeof doing, done: number, of: number) => {
    const now = Date.now();
    if (!terminal.interactive || (done < of && now - shown < 100)) return;
    shown = now;
    terminal.err(`\r\x1b[K${doing[what]}: ${done} of ${of}`);
  };
  return Object.assign(tell, {
    end() {
      if (shown > 0) terminal.err('\r\x1b[K');
    },
  });
}

const words = {
  added: ['taken over', 'would be taken over'],
  completed: ['keys added', 'keys would be added'],
  there: ['in care already', 'in care already'],
  skipped: ['left out', 'would be left out'],
  failed: ['failed', 'would fail'],
} as const;

function print({ terminal }: CommandContext, _session: Session, report: ImportReport): void {
  const paint = painter(terminal);
  const rows = report.domains.flatMap(({ name, kind, shadowOf, action, keys }) =>
    keys.map((key, index) => [
      index === 0 ? harmless(name) : '',
      index > 0 ? '' : kind === 'mail' ? 'mail' : `shadow of ${shadowOf ?? 'nothing here'}`,
      harmless(key.selector),
      key.role === 'active' ? 'signs' : 'blind',
      `${key.algorithm}-${key.bits}`,
      recordWord(key.record, paint),
      index > 0 ? (key.takenOver ? '' : paint('dim', 'not taken over')) : actionWord(action, report.dryRun, paint),
    ]),
  );
  terminal.out(table(['DOMAIN', 'IS', 'SELECTOR', 'KEY', 'KIND', 'RECORD', 'WHAT BECOMES OF IT'], rows, paint));
  const told = report.domains.filter(({ notes }) => notes.length > 0);
  for (const { name, notes } of told)
    for (const note of notes) terminal.out(`\n${paint('yellow', harmless(name))}  ${harmless(note)}`);
  for (const { what, kind, message } of report.orphans)
    terminal.out(`\n${paint('yellow', harmless(what))}  ${kind}: ${harmless(message)}`);
  if (told.length + report.orphans.length > 0) terminal.out('\n');
  const { counts } = report;
  const parts = [
    `${counts.mail} mail domains and ${counts.shadow} helper domains`,
    ...(['added', 'completed', 'there', 'skipped', 'failed'] as const)
      .filter((action) => counts[action] > 0)
      .map((action) => `${counts[action]} ${words[action][report.dryRun ? 1 : 0]}`),
    ...(counts.blind > 0 ? [`${counts.blind} blind keys`] : []),
    ...(counts.orphans > 0 ? [`${counts.orphans} things that belong to nothing`] : []),
  ];
  terminal.out(`\n${parts.join(', ')}.\n`);
  terminal.out(
    report.dryRun
      ? 'Nothing was changed. Without --dry-run it is taken over; mailcow is only read.\n'
      : 'Nothing was changed in mailcow. With a signer for it in keyturn.yaml and "keyturn serve", the first rotation comes when the policy says so: keyturn domain list\n',
  );
}

function recordWord(record: ImportReport['domains'][number]['keys'][number]['record'], paint: Paint): string {
  if (record === 'seen') return paint('green', 'stands');
  return record === 'not-asked' ? paint('dim', 'not asked') : paint('red', record);
}

function actionWord(action: keyof typeof words, dryRun: boolean, paint: Paint): string {
  const word = words[action][dryRun ? 1 : 0];
  return action === 'failed' ? paint('red', word) : action === 'skipped' ? paint('yellow', word) : word;
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value.toLowerCase()];
}

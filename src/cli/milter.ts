/** `keyturn milter`: the signing milter alone, by a keyring file; or a question to a milter that runs. */
import { Command, Option } from 'commander';
import type { CommandContext } from './context.ts';
import { globals, withExamples } from './context.ts';
import { CommandFailure, exitCodes, usage } from './exit.ts';
import { harmless, painter, printJson } from './output.ts';

interface MilterCommandOptions {
  readonly keyring?: string;
  readonly redis?: string;
  readonly name?: string;
  readonly data?: string;
  readonly keyFile?: string;
  readonly listen: readonly string[];
  readonly internal: readonly string[];
  readonly allow: readonly string[];
  readonly onFailure: 'tempfail' | 'reject' | 'pass';
  readonly signSubdomains: boolean;
  readonly check: boolean;
  readonly socket?: string;
  readonly from?: string;
  readonly user?: string;
  readonly client?: string;
}

export function milterCommand(context: CommandContext): Command {
  const command = new Command('milter')
    .description(
      'Run the signing milter alone: by a keyring file that is read again when it changes, or by the keyrings that a control plane keeps in Redis. With --check: send a test message through a milter that runs, and say who signed it.',
    )
    .option('--keyring <file>', 'keyring file (JSON; see docs/signers/milter.md)')
    .option(
      '--redis <address>',
      'sign by the keyrings in this Redis, HOST:PORT (more settings: keyturn.yaml; see docs/redis.md)',
    )
    .option('--name <name>', 'with --redis: name of this milter, as no other has it')
    .option('--data <folder>', 'with --redis: where it keeps its keyrings (default: /var/lib/keyturn or ./.keyturn)')
    .option('--key-file <file>', "with --redis: copy of the control plane's keyrings.key (default: in the data folder)")
    .option(
      '--listen <socket>',
      'inet:HOST:PORT or unix:PATH; may be repeated (default: inet:127.0.0.1:8891)',
      collect,
      [],
    )
    .option(
      '--internal <network>',
      'network whose mail is outbound; may be repeated (default: this machine)',
      collect,
      [],
    )
    .option('--allow <network>', 'mail servers that may connect; may be repeated (default: this machine)', collect, [])
    .option('--sign-subdomains', "sign mail of subdomains with their parent's keys", false)
    .addOption(
      new Option('--on-failure <what>', 'what becomes of mail that must be signed and cannot be')
        .choices(['tempfail', 'reject', 'pass'])
        .default('tempfail'),
    )
    .option('--check', 'ask a milter that runs', false)
    .option('--socket <socket>', 'with --check: where it listens (default: that of the configuration)')
    .option('--from <address>', 'with --check: author of the test message')
    .option('--user <name>', 'with --check: hand the message in as this authenticated user')
    .option('--client <address>', 'with --check: hand the message in from this address');
  withExamples(command, [
    ['keyturn milter --keyring keys.json --listen unix:/run/keyturn/milter.sock', 'sign by a file'],
    [
      'keyturn milter --redis redis.example.net:6379 --name mx1',
      'sign by what a control plane elsewhere keeps in Redis',
    ],
    ['keyturn milter --check --from postmaster@example.com', 'who signs mail of example.com, and with what'],
  ]);
  command.addHelpText('after', '\nExit code with --check: 0 signed, 1 not signed or refused, 3 cannot be reached.');
  return command.action((options: MilterCommandOptions) =>
    options.check ? check(context, command, options) : run(context, options),
  );
}

async function run(context: CommandContext, options: MilterCommandOptions): Promise<void> {
  const { terminal, stop } = context;
  if (options.redis !== undefined) return followRedis(context, options, options.redis);
  if (options.keyring === undefined)
    throw usage('give --keyring FILE, or --redis ADDRESS (or --check, to ask a milter that runs)');
  const [{ runMilter }, { lineLog }] = await Promise.all([
    import('../signers/milter/run.ts'),
    import('../signers/milter/log.ts'),
  ]);
  try {
    await runMilter({
      keyring: options.keyring,
      listen: options.listen.length > 0 ? options.listen : ['inet:127.0.0.1:8891'],
      ...(options.internal.length > 0 ? { internal: options.internal } : {}),
      ...(options.allow.length > 0 ? { allow: options.allow } : {}),
      signSubdomains: options.signSubdomains,
      onFailure: options.onFailure,
      log: lineLog(terminal.err),
      stop,
    });
  } catch (error) {
    throw new CommandFailure(exitCodes.unreachable, error instanceof Error ? error.message : String(error), {
      cause: error,
    });
  }
}

async function followRedis(
  { terminal, stop }: CommandContext,
  options: MilterCommandOptions,
  redis: string,
): Promise<void> {
  if (options.keyring !== undefined) throw usage('give --keyring or --redis, not both');
  if (options.name === undefined) throw usage('give --name with a name that no other milter has, such as mx1');
  const [{ configOf }, { startFollowingMilter }, { createLog }, { systemClock }] = await Promise.all([
    import('../control/keyring-feed/given.ts'),
    import('../control/keyring-feed/milter.ts'),
    import('../control/log.ts'),
    import('../lifecycle/clock.ts'),
  ]);
  const loaded = configOf({ ...options, redis, name: options.name });
  const format = process.stderr.isTTY === true ? 'text' : 'json';
  const log = createLog({ level: 'info', format, write: terminal.err, now: () => systemClock.now() });
  try {
    await using running = await startFollowingMilter({
      loaded,
      env: terminal.env,
      clock: systemClock,
      log,
      signal: stop,
    });
    if (!stop.aborted) await new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }));
    await running.stop();
  } catch (error) {
    if (stop.aborted && error === stop.reason) return;
    if (error instanceof Error && ['ConfigError', 'StoreError'].includes(error.name)) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(exitCodes.unreachable, message, { cause: error });
  }
}

async function check(
  { terminal, exit }: CommandContext,
  command: Command,
  options: MilterCommandOptions,
): Promise<void> {
  if (options.from === undefined || !options.from.includes('@'))
    throw usage('give --from with the address of an author, such as postmaster@example.com');
  const [{ checkMilter }, { loadConfig }] = await Promise.all([
    import('../signers/milter/check.ts'),
    import('../control/config/load.ts'),
  ]);
  const { json, config } = globals(command);
  const socket =
    options.socket ?? loadConfig(config, { env: terminal.env, workingFolder: process.cwd() }).config.milter.listen[0];
  if (socket === undefined) throw usage('the configuration names no socket of the milter: give --socket');
  const { parseEndpoint } = await import('../signers/milter/endpoint.ts');
  try {
    parseEndpoint(socket);
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
  const result = await checkMilter({
    socket,
    from: options.from,
    user: options.user,
    clientAddress: options.client,
    timeout: 15_000,
  }).catch((error: unknown) => {
    const what = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(exitCodes.unreachable, `${what}${nextStep(what)}`, { cause: error });
  });
  exit(result.kind === 'signed' ? exitCodes.ok : exitCodes.wrong);
  if (json) return printJson(terminal, { socket, from: options.from, ...result });
  const paint = painter(terminal);
  switch (result.kind) {
    case 'signed':
      for (const { domain, selector, algorithm } of result.signatures) {
        terminal.out(
          `${paint('green', 'signed')} d=${harmless(domain)} s=${harmless(selector)} a=${harmless(algorithm)}\n`,
        );
      }
      return;
    case 'unsigned':
      return terminal.out(
        `${paint('red', 'not signed')}: the milter lets mail of ${options.from} pass as it is. Is its domain in care, and the client internal or authenticated?\n`,
      );
    case 'refused':
      return terminal.out(`${paint('red', result.verdict)}: ${harmless(result.reply ?? 'without a text')}\n`);
  }
}

/** What to do about a socket that could not be spoken to. */
function nextStep(what: string): string {
  if (/ECONNREFUSED|ENOENT/.test(what))
    return `\nNothing listens there. Start "keyturn serve" or "keyturn milter", or give --socket with the address that its log names.`;
  if (/EACCES|EPERM/.test(what))
    return "\nThis user may not use the socket: be in its group, or run as the mail server's user.";
  return '';
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

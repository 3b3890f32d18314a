/** `keyturn agent`: drives the signers of a mail server elsewhere by keyrings from the control plane; and what goes with that. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { globals, withExamples } from './context.ts';
import { CommandFailure, exitCodes, refused, usage } from './exit.ts';
import { harmless, moment, painter, printJson } from './output.ts';
import { programVersion } from './version-number.ts';

export function agentCommand(context: CommandContext): Command {
  const command = new Command('agent')
    .description(
      'Run beside a mail server elsewhere: follow its keyrings from the control plane, drive the signers there, and go on signing when the control plane is away. --config names agent.yaml. Ends on SIGTERM or SIGINT.',
    )
    .action(() => run(context, command));
  withExamples(command, [
    ['keyturn agent enroll mx1 --url https://keyturn.example.com:8843', 'on the control plane: what to write where'],
    ['keyturn agent --config /etc/keyturn/agent.yaml', 'on the mail server, as a service'],
    ['keyturn agent check', 'on the mail server: is the control plane reached, do the signers sign'],
  ]);
  command.addHelpText(
    'after',
    '\nWhich file: --config, else $KEYTURN_AGENT_CONFIG, else ./agent.yaml, else /etc/keyturn/agent.yaml.',
  );

  const status = command
    .command('status')
    .description('Show what the agent on this machine has, and how its line to the control plane is.');
  withExamples(status, [['keyturn agent status --json', 'for monitoring']]);
  status.addHelpText('after', '\nExit code: 0 all is well, 1 something is not as it should be, 3 no agent runs.');
  status.action(() => showStatus(context, status));

  const check = command
    .command('check')
    .description(
      'Reach the control plane as the agent would, and compare what it asks of this agent with what the signers here can do. Changes nothing, and may run beside the agent.',
    );
  withExamples(check, [['keyturn agent check --config agent.yaml', 'before the first start']]);
  check.addHelpText('after', '\nExit code: 0 it would work, 1 it would not, 3 the control plane is not reached.');
  check.action(() => checkAgent(context, check));

  const enroll = command
    .command('enroll')
    .description(
      'On the control plane: make a token for an agent, and print what to write into keyturn.yaml there and into agent.yaml on the mail server. Stores nothing: only the hash of the token stands in keyturn.yaml.',
    )
    .argument('<name>', 'how the agent is called among the signers')
    .option('--url <url>', 'address at which the agent reaches this control plane');
  withExamples(enroll, [['keyturn agent enroll mx1 --url https://keyturn.example.com:8843', 'a token for mx1']]);
  enroll.action((name: string, { url }: { url?: string }) => enrollAgent(context, enroll, name, url));
  return command;
}

async function load({ terminal }: CommandContext, command: Command) {
  const { loadAgentConfig } = await import('../control/agent/follow/config.ts');
  return loadAgentConfig(globals(command).config, { env: terminal.env, workingFolder: process.cwd() });
}

async function run(context: CommandContext, command: Command): Promise<void> {
  const { terminal, stop } = context;
  const [{ startAgent }, { AgentTaken }, { createLog }, { systemClock }] = await Promise.all([
    import('../control/agent/follow/agent.ts'),
    import('../control/agent/follow/dialogue.ts'),
    import('../control/log.ts'),
    import('../lifecycle/clock.ts'),
  ]);
  const loaded = await load(context, command);
  const { level, format } = loaded.config.log;
  const log = createLog({
    level,
    format: format === 'auto' ? (globals(command).json || process.stderr.isTTY !== true ? 'json' : 'text') : format,
    write: terminal.err,
    now: () => systemClock.now(),
  });
  try {
    await using agent = await startAgent({
      loaded,
      env: terminal.env,
      clock: systemClock,
      log,
      version: programVersion(),
    });
    const asked = new Promise<void>((resolve) => {
      if (stop.aborted) resolve();
      stop.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.race([asked, agent.ended]);
    log.info('stopping');
    await agent.stop();
    log.info('stopped');
  } catch (error) {
    if (error instanceof AgentTaken) log.error('agent-name-taken', { why: error.message });
    if (error instanceof Error && ['ConfigError', 'StoreError'].includes(error.name)) throw error;
    throw new CommandFailure(exitCodes.unreachable, error instanceof Error ? error.message : String(error), {
      cause: error,
    });
  }
}

async function showStatus(context: CommandContext, command: Command): Promise<void> {
  const { terminal, exit } = context;
  const [{ readStatus }, { lockInstance }, { roughDuration }] = await Promise.all([
    import('../control/agent/follow/status.ts'),
    import('../control/instance-lock.ts'),
    import('../settings/durations.ts'),
  ]);
  const { dataFolder } = await load(context, command);
  const { accessSync, constants, existsSync } = await import('node:fs');
  try {
    if (existsSync(dataFolder)) accessSync(dataFolder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    throw new CommandFailure(
      exitCodes.unreachable,
      `${dataFolder} cannot be looked into: run this as the agent's user`,
    );
  }
  const status = readStatus(dataFolder);
  let runs = false;
  if (status !== null) {
    const lock = lockInstance(dataFolder, 'agent');
    lock?.release();
    runs = lock === null;
  }
  const { json } = globals(command);
  if (status === null || !runs) {
    if (json) {
      exit(exitCodes.unreachable);
      return printJson(terminal, { running: false, last: status });
    }
    const last = status === null ? '' : ` The last one was heard of ${moment(status.at, true)} UTC.`;
    throw new CommandFailure(exitCodes.unreachable, `no agent runs in ${dataFolder}.${last}`);
  }
  const isWell = status.connection === 'up' && status.behind === 0 && status.troubles.length === 0;
  exit(isWell ? exitCodes.ok : exitCodes.wrong);
  if (json) return printJson(terminal, { running: true, ...status });
  const paint = painter(terminal);
  const up = status.connection === 'up' ? paint('green', 'reached') : paint('red', 'not reached');
  const lines = [
    `${status.name ?? 'not greeted yet'} (process ${status.pid})`,
    `Control plane  ${up} since ${moment(status.since, true)} UTC: ${harmless(status.url)}`,
    ...(status.trouble === null ? [] : [`               ${harmless(status.trouble)}`]),
    `Domains        ${status.domains}, ${status.behind} of them not yet as the control plane wants them`,
    `Milter         ${status.milter.length === 0 ? 'not open' : status.milter.join(', ')}`,
    ...(status.reportsWaiting === 0 ? [] : [`Reports        ${status.reportsWaiting} wait for the control plane`]),
    ...(Math.abs(status.clockAhead ?? 0) < 60_000
      ? []
      : [paint('yellow', `Clock          ${roughDuration(status.clockAhead ?? 0)} ahead of the control plane's`)]),
    ...status.troubles.map(({ domain, message }) => `${paint('red', domain)}: ${harmless(message)}`),
  ];
  terminal.out(`${lines.join('\n')}\n`);
}

async function checkAgent(context: CommandContext, command: Command): Promise<void> {
  const { terminal, exit } = context;
  const { checkControl } = await import('../control/agent/follow/check.ts');
  const loaded = await load(context, command);
  const found = await checkControl(loaded, terminal.env);
  const worst = found.some(({ verdict }) => verdict === 'away')
    ? exitCodes.unreachable
    : found.some(({ verdict }) => verdict === 'wrong')
      ? exitCodes.wrong
      : exitCodes.ok;
  exit(worst);
  if (globals(command).json) return printJson(terminal, { ok: worst === exitCodes.ok, checks: found });
  const paint = painter(terminal);
  for (const { verdict, what } of found) {
    const mark = verdict === 'right' ? paint('green', 'ok') : verdict === 'note' ? '--' : paint('red', 'no');
    terminal.out(`${mark}  ${harmless(what)}\n`);
  }
}

async function enrollAgent(
  { terminal }: CommandContext,
  command: Command,
  name: string,
  given?: string,
): Promise<void> {
  const [{ loadConfig }, { enroll }] = await Promise.all([
    import('../control/config/load.ts'),
    import('../control/agent/enroll.ts'),
  ]);
  const loaded = loadConfig(globals(command).config, { env: terminal.env, workingFolder: process.cwd() });
  const made = enroll(loaded, name, given);
  if (made.kind === 'bad-name')
    throw usage(`"${name}" is no name for a signer: lower-case letters, digits, dots and hyphens are`);
  if (made.kind === 'bad-url')
    throw usage(`"${given}" is no address: give one such as https://keyturn.example.com:8843`);
  if (made.kind !== 'enrolled')
    throw refused(
      'give --url: nothing tells at which address agents reach this control plane (agents.listen names none that can be reached from elsewhere)',
    );
  if (globals(command).json) return printJson(terminal, made);
  for (const note of made.notes) terminal.err(`note: ${note}\n`);
  terminal.out(
    `# Into keyturn.yaml of the control plane, under signers: (then restart it)\n${made.entry}\n# agent.yaml on the mail server, mode 0600: the token is shown this once\n${made.agent}`,
  );
}

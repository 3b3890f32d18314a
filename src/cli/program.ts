/** Puts the command line together, runs one command, and turns whatever happens into an exit code and a clear sentence. */
import { Command, CommanderError } from 'commander';
import { commands } from './commands.ts';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { CommandFailure, exitCodes } from './exit.ts';
import type { Terminal } from './terminal.ts';
import { programVersion } from './version-number.ts';

/** Runs `keyturn` with these arguments (without node and script) and returns its exit code. Never throws. */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  let code: number = exitCodes.ok;
  const stop = new AbortController();
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(130);
    stop.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const context: CommandContext = {
    terminal,
    stop: stop.signal,
    exit: (given) => {
      code = given;
    },
  };
  try {
    const program = await buildProgram(context, commandName(args));
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    return report(error, terminal, args.includes('--json'));
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

/**
 * The whole command tree. Only the command called `wanted` is loaded in full, the others stand there by name and summary;
 * `'all'` loads every one (for completion and documentation).
 */
export async function buildProgram(context: CommandContext, wanted: string | undefined | 'all'): Promise<Command> {
  const { terminal } = context;
  const program = new Command('keyturn')
    .description(
      'DKIM keys made, published, proved, signed with and rotated, under live mail, with no message unsigned.',
    )
    .version(programVersion(), '-V, --version', 'print the version')
    .option('--json', 'machine-readable output', false)
    .option(
      '--config <file>',
      'configuration file (default: $KEYTURN_CONFIG, ./keyturn.yaml, /etc/keyturn/keyturn.yaml)',
    )
    .showHelpAfterError('(add --help for usage and examples)')
    .configureHelp({ showGlobalOptions: true, helpWidth: Math.min(terminal.columns, 120) })
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err, getOutHasColors: () => terminal.color })
    .exitOverride();
  for (const entry of commands) {
    if (wanted === 'all' || entry.name === wanted) {
      const command = (await entry.load())(context);
      adopt(command, program);
      program.addCommand(command);
    } else {
      program.command(entry.name).description(entry.summary).copyInheritedSettings(program);
    }
  }
  withExamples(program, [
    ['keyturn demo', 'watch three rotations and one emergency under live mail'],
    ['keyturn check example.com', "check a domain's published keys; needs no set-up"],
    ['keyturn domain add example.com', 'let Keyturn make and publish keys for a domain'],
    ['keyturn serve', 'run everything on this machine'],
  ]);
  return program;
}

/** Gives a command that was built on its own the program's error handling and output, all the way down. */
function adopt(command: Command, parent: Command): void {
  command.copyInheritedSettings(parent);
  for (const child of command.commands) adopt(child, command);
}

/** The first argument that is not an option: the command's name. */
function commandName(args: readonly string[]): string | undefined {
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? '';
    if (arg === '--config') i++;
    else if (arg === 'help') return args[i + 1];
    else if (!arg.startsWith('-')) return arg;
  }
  return undefined;
}

function report(error: unknown, terminal: Terminal, json: boolean): number {
  if (error instanceof CommanderError) {
    // commander has written its own message already; help and version end with 0.
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  const known = describe(error);
  if (json) terminal.out(`${JSON.stringify({ error: { message: known.message, exitCode: known.exitCode } })}\n`);
  else terminal.err(`keyturn: ${known.message}\n`);
  return known.exitCode;
}

function describe(error: unknown): { message: string; exitCode: number } {
  if (error instanceof CommandFailure) return { message: error.message, exitCode: error.exitCode };
  if (error instanceof Error) {
    if (error.name === 'ConfigError') return { message: error.message, exitCode: exitCodes.usage };
    if (error.name === 'StoreError') return { message: error.message, exitCode: exitCodes.unreachable };
    return {
      message: `this should not have happened, please report it: ${error.stack ?? error.message}`,
      exitCode: 70,
    };
  }
  return { message: String(error), exitCode: exitCodes.defect };
}

/** What every command is handed: a terminal, and the options that all commands share. */
import type { Command } from 'commander';
import type { Terminal } from './terminal.ts';

export interface CommandContext {
  readonly terminal: Terminal;
  /** Ends the command with this code even though nothing was thrown. */
  exit(code: number): void;
  /** True once the user asked the process to stop (SIGINT, SIGTERM); long-running commands wait for it. */
  readonly stop: AbortSignal;
}

export interface GlobalOptions {
  readonly json: boolean;
  readonly config?: string;
}

/** The shared options, wherever on the command line they stood. */
export function globals(command: Command): GlobalOptions {
  const options: Record<string, unknown> = command.optsWithGlobals();
  return {
    json: options.json === true,
    ...(typeof options.config === 'string' ? { config: options.config } : {}),
  };
}

/** Examples below a command's help, each a line to type and what it does. */
export function withExamples(
  command: Command,
  examples: ReadonlyArray<readonly [line: string, what: string]>,
): Command {
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`);
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

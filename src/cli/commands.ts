/** The table of commands. A command's file is loaded only when the command is run, completed or explained. */
import type { Command } from 'commander';
import type { CommandContext } from './context.ts';

export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<(context: CommandContext) => Command>;
}

export const commands: readonly CommandEntry[] = [
  {
    name: 'config',
    summary: 'Check and show the configuration',
    load: async () => (await import('./config.ts')).configCommand,
  },
  {
    name: 'completion',
    summary: 'Print a shell completion script',
    load: async () => (await import('./completion.ts')).completionCommand,
  },
  {
    name: 'version',
    summary: 'Print versions',
    load: async () => (await import('./version.ts')).versionCommand,
  },
];

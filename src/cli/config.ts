/** `keyturn config`: what the configuration is, and whether it is right. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { globals, withExamples } from './context.ts';

export function configCommand({ terminal }: CommandContext): Command {
  const command = new Command('config').description('Check and show the configuration.');
  const load = async () => {
    const { loadConfig } = await import('../control/config/load.ts');
    return loadConfig(globals(command).config, { env: terminal.env, workingFolder: process.cwd() });
  };

  const check = command
    .command('check')
    .description(
      'Check the configuration; exit code 2 where something is wrong; what is allowed but seldom meant is only a warning.',
    );
  withExamples(check, [['keyturn config check --config /etc/keyturn/keyturn.yaml', 'before a restart']]);
  check.action(async () => {
    const { file, config } = await load();
    const { configWarnings } = await import('../control/config/warnings.ts');
    const warnings = configWarnings(config);
    if (globals(command).json) return terminal.out(`${JSON.stringify({ file, ok: true, warnings })}\n`);
    for (const warning of warnings) terminal.err(`warning: ${warning}\n`);
    terminal.out(file === null ? 'No configuration file: every setting is the default.\n' : `${file} is right.\n`);
  });

  const show = command
    .command('show')
    .description('Show every setting in force, defaults included; secrets are left out.');
  withExamples(show, [['keyturn config show --json', 'with durations in milliseconds']]);
  show.action(async () => {
    const { file, config, dataFolder, kekFile } = await load();
    const { withoutSecrets } = await import('../control/config/show.ts');
    const shown = withoutSecrets({ ...config, data: dataFolder, kekFile });
    if (globals(command).json) terminal.out(`${JSON.stringify({ file, config: shown })}\n`);
    else {
      const { stringify } = await import('yaml');
      const { readable } = await import('../control/config/show.ts');
      terminal.out(`# ${file ?? 'no file: all defaults'}\n${stringify(readable(shown))}`);
    }
  });

  const schema = command.command('schema').description('Print the JSON Schema of keyturn.yaml, for editors.');
  schema.action(async () => {
    const { configJsonSchema } = await import('../control/config/load.ts');
    terminal.out(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
  });
  return command;
}

/** `keyturn demo`: rotations under live mail on this machine, in a minute, with nothing to configure and nothing left behind. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { globals, withExamples } from './context.ts';
import { CommandFailure, exitCodes } from './exit.ts';
import { printJson } from './output.ts';

/** Fewer messages would show little. */
const enough = 500;

export function demoCommand({ terminal, stop, exit }: CommandContext): Command {
  const command = new Command('demo').description(
    'Run the real server in a folder of its own, send mail through its milter, verify every message through its DNS server, and rotate its keys three times and once in an emergency. Takes about a minute, needs no configuration and no root, and leaves nothing behind.',
  );
  withExamples(command, [
    ['keyturn demo', 'watch it'],
    ['keyturn demo --json', 'only the result, in one line'],
  ]);
  command.addHelpText(
    'after',
    `\nExit code: 0 where every message was signed and verified (more than ${enough} of them), else 1.`,
  );
  return command.action(async () => {
    const [{ startRehearsal }, { createDemoScreen }] = await Promise.all([
      import('../control/rehearsal/rehearsal.ts'),
      import('./demo-screen.ts'),
    ]);
    const { json } = globals(command);
    const screen = json ? null : createDemoScreen(terminal, () => rehearsal.counts());
    const rehearsal = startRehearsal({
      stop,
      rotations: 3,
      messages: enough,
      onChange: (view) => screen?.changed(view),
      onPhase: (phase) => screen?.phase(phase),
    });
    try {
      const { messages, unsigned, unverifiable, rotations, emergencies, seconds, failures, ...rest } =
        await rehearsal.finished;
      screen?.end();
      const good = unsigned === 0 && unverifiable === 0 && messages > enough;
      exit(good ? exitCodes.ok : exitCodes.wrong);
      if (json) return printJson(terminal, { messages, unsigned, unverifiable, rotations, emergencies, seconds });
      screen?.summary({ messages, unsigned, unverifiable, rotations, emergencies, seconds, failures, ...rest });
    } catch (error) {
      screen?.end();
      throw new CommandFailure(
        exitCodes.wrong,
        `the demo did not come to its end: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
  });
}

/** `keyturn plan`: the dated future of a domain, drawn as a lane for each key. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { durationOption } from './duration-option.ts';
import { drawLanes, lanesOf } from './lanes.ts';
import { moment, painter, printJson } from './output.ts';
import { openSession, requireDomain } from './session.ts';

export function planCommand(context: CommandContext): Command {
  const { terminal } = context;
  const command = new Command('plan')
    .description("Draw a domain's dated future: what its keys will do, if all goes well and nobody gives a command.")
    .argument('<domain>')
    .option('--for <duration>', 'how far to look ahead, such as 90d (default: one rotation and its end)')
    .option('--events', 'list every event below the drawing', false);
  withExamples(command, [
    ['keyturn plan example.com', 'a lane for each key'],
    ['keyturn plan example.com --for 365d --events', 'a year, with every date'],
    ['keyturn plan example.com --json', 'the dated events'],
  ]);
  return command.action(async (given: string, options: { for?: string; events: boolean }) => {
    await using session = await openSession(context, command);
    const { snapshot, policy } = await requireDomain(session.store, given);
    const { timeline } = await import('../lifecycle/timeline.ts');
    const ahead =
      options.for === undefined
        ? policy.rotateEvery * (1 + policy.jitter) + policy.overlap + policy.tombstone
        : await durationOption('--for', options.for);
    const now = session.operator.clock.now();
    const events = timeline(snapshot, policy, now, now + ahead);
    if (session.json) return printJson(terminal, { domain: snapshot.domain.name, from: now, to: now + ahead, events });
    const paint = painter(terminal);
    terminal.out(`${paint('bold', snapshot.domain.name)}  from ${moment(now)} to ${moment(now + ahead)} UTC\n\n`);
    terminal.out(
      drawLanes(lanesOf(snapshot, events), {
        now,
        from: now - ahead / 12,
        to: now + ahead,
        columns: terminal.columns,
        paint,
      }),
    );
    if (options.events) for (const { at, text } of events) terminal.out(`${moment(at, ahead < 86_400_000)}  ${text}\n`);
  });
}

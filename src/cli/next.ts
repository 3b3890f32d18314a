/** Every command that changes something ends by saying what will happen next, and when. */
import type { Policy } from '../lifecycle/policy.ts';
import type { Snapshot } from '../lifecycle/types.ts';
import { flow, moment, painter, printJson } from './output.ts';
import type { Session } from './session.ts';
import type { Terminal } from './terminal.ts';
import { upcoming } from './upcoming.ts';

/** As many lines as a reader takes in; `keyturn plan` draws them all. */
const shown = 5;

/** Prints `headline` and the next dated events; with `--json` the domain's snapshot, all of them, and `more`. */
export async function printNext(
  terminal: Terminal,
  { json, operator }: Session,
  { snapshot, policy }: { readonly snapshot: Snapshot; readonly policy: Policy },
  headline: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const { timeline } = await import('../lifecycle/timeline.ts');
  const { roughDuration } = await import('../settings/durations.ts');
  const now = operator.clock.now();
  const far = policy.rotateEvery + policy.lead + policy.overlap + policy.tombstone;
  const events = timeline(snapshot, policy, now, now + far);
  if (json)
    return printJson(terminal, {
      done: headline,
      dryRun: operator.dryRun === true,
      domain: snapshot,
      next: events,
      ...more,
    });
  const paint = painter(terminal);
  if (headline !== '') terminal.out(`${headline}\n`);
  if (events.length === 0) {
    const { name, pausedAt } = snapshot.domain;
    terminal.out(pausedAt === null ? 'Nothing is due.\n' : `Nothing changes until: keyturn key resume ${name}\n`);
    return;
  }
  terminal.out(`${paint('bold', 'What comes next while a server runs, if all goes well')} (UTC):\n`);
  const momentOf = (at: number) => moment(at, far < 86_400_000);
  const lines = upcoming(events, momentOf);
  for (const { at, text, selectors } of lines.slice(0, shown)) {
    const until = at <= now ? 'now' : `in ${roughDuration(at - now)}`;
    const left = `  ${momentOf(at)}  ${until.padEnd(12)} `;
    const [head = '', ...rest] = flow(told(text, selectors), terminal.columns - left.length, ' ');
    terminal.out(`  ${momentOf(at)}  ${paint('dim', until.padEnd(12))} ${head}\n`);
    for (const line of rest) terminal.out(`${' '.repeat(left.length)}${line}\n`);
  }
  const { name } = snapshot.domain;
  if (lines.length > shown) terminal.out(`  … and so on; every date: keyturn plan ${name} --events\n`);
}

/** The words of a line, to be broken where the terminal ends. */
function told(text: string, selectors: readonly string[]): string[] {
  return (selectors.length === 0 ? text : `${text}: ${selectors.join(', ')}`).split(' ');
}

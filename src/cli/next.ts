/** Every command that changes something ends by saying what will happen next, and when. */
import type { Policy } from '../lifecycle/policy.ts';
import type { Snapshot } from '../lifecycle/types.ts';
import { moment, painter, printJson } from './output.ts';
import type { Session } from './session.ts';
import type { Terminal } from './terminal.ts';

/** As many events as a reader takes in; `keyturn plan` draws them all. */
const shown = 8;

/** Prints `headline` and the next dated events; with `--json` the domain's snapshot, all of them, and `more`. */
export async function printNext(
  terminal: Terminal,
  { json, operator }: Session,
  { snapshot, policy }: { readonly snapshot: Snapshot; readonly policy: Policy },
  headline: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const { timeline } = await import('../lifecycle/timeline.ts');
  const { roughDuration } = await import('../control/config/durations.ts');
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
  for (const { at, text } of events.slice(0, shown)) {
    const until = at <= now ? 'now' : `in ${roughDuration(at - now)}`;
    terminal.out(`  ${moment(at, far < 86_400_000)}  ${paint('dim', until.padEnd(12))} ${text}\n`);
  }
  if (events.length > shown)
    terminal.out(`  … and ${events.length - shown} more: keyturn plan ${snapshot.domain.name}\n`);
}

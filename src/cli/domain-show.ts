/** `keyturn domain show`: everything about one domain, by stream, with its shadows apart. */
import { Command } from 'commander';
import { policyOf, recordDomain } from '../lifecycle/facts.ts';
import type { Policy } from '../lifecycle/policy.ts';
import type { DatedEvent } from '../lifecycle/timeline.ts';
import type { Snapshot, StreamView } from '../lifecycle/types.ts';
import { aliasesFor, mayLackAliases, printAliases } from './aliases.ts';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { keyTable } from './key-table.ts';
import { printNext } from './next.ts';
import { harmless, moment, type Paint, painter, printJson, table } from './output.ts';
import { openSession, requireDomain } from './session.ts';

const DAY = 86_400_000;

export function showCommand(context: CommandContext): Command {
  const { terminal } = context;
  const command = new Command('show')
    .description('Show everything about one domain: streams, keys, shadows, signers, conditions, what comes next.')
    .argument('<domain>');
  withExamples(command, [['keyturn domain show example.com', 'keys, signers, conditions, dates']]);
  return command.action(async (given: string) => {
    await using session = await openSession(context, command);
    const stored = await requireDomain(session.store, given);
    const { snapshot, policy, policyRef, nextLookAt } = stored;
    const { domain } = snapshot;
    const { slotsOf } = await import('../lifecycle/plan/selector.ts');
    const aliases = await aliasesFor(session, recordDomain(domain), snapshot.keys, slotsOf(domain, policy));
    const shadows = [...(await session.store.snapshots(domain.shadows ?? [])).values()];
    if (session.json) {
      const { version } = stored;
      const told = shadows.map((shadow) => ({ name: shadow.snapshot.domain.name, keys: shadow.snapshot.keys }));
      return printJson(terminal, { ...snapshot, policy, policyRef, nextLookAt, version, aliases, shadowDomains: told });
    }
    const paint = painter(terminal);
    terminal.out(
      `${paint('bold', domain.name)}  generation ${domain.generation}, policy ${policyRef.kind === 'named' ? policyRef.name : 'of its own'}`,
    );
    if (domain.shadowOf !== undefined) terminal.out(`, a shadow of ${domain.shadowOf}`);
    if (domain.pausedAt !== null) terminal.out(paint('yellow', `, paused since ${moment(domain.pausedAt)}`));
    if (domain.removingAt !== null) terminal.out(paint('yellow', `, leaving since ${moment(domain.removingAt)}`));
    terminal.out('\n\n');
    const { timeline } = await import('../lifecycle/timeline.ts');
    const now = session.operator.clock.now();
    const events = timeline(snapshot, policy, now, now + policy.rotateEvery * (1 + policy.jitter) + policy.lead);
    if (snapshot.streams.length > 1)
      terminal.out(
        `${streamTable(snapshot, policy, policyRef.kind === 'named' ? policyRef.name : 'own', events, now, paint)}\n`,
      );
    terminal.out(keyTable(snapshot, paint));
    for (const { snapshot: shadow } of shadows)
      terminal.out(
        `\n${paint('bold', shadow.domain.name)}  a shadow, whose records stand here\n${keyTable(shadow, paint)}`,
      );
    const signers = snapshot.signers.map((signer) => [
      signer.id,
      signer.streams.join(', '),
      `${signer.acknowledgedGeneration}/${domain.generation}`,
      signer.drift !== undefined
        ? paint('red', `changed by hand ${moment(signer.drift.at)}`)
        : signer.setAsideAt === null
          ? ''
          : paint('yellow', `set aside ${moment(signer.setAsideAt)}`),
    ]);
    if (signers.length > 0) terminal.out(`\n${table(['SIGNER', 'STREAMS', 'HAS GENERATION', ''], signers, paint)}`);
    for (const { severity, reason, message, since } of snapshot.conditions) {
      const colour = severity === 'critical' ? 'red' : severity === 'warning' ? 'yellow' : 'cyan';
      terminal.out(`\n${paint(colour, `${severity} ${reason}`)} since ${moment(since)}\n  ${harmless(message)}\n`);
    }
    if (mayLackAliases(snapshot)) printAliases(terminal, aliases);
    terminal.out('\n');
    await printNext(terminal, session, { snapshot, policy }, '');
  });
}

/** One line a stream: what it follows, who signs it with what, how old that is, and when new keys begin to sign. */
function streamTable(
  snapshot: Snapshot,
  policy: Policy,
  name: string,
  events: readonly DatedEvent[],
  now: number,
  paint: Paint,
): string {
  const rows = snapshot.streams.map((stream) => {
    const keys = snapshot.keys.filter((key) => key.stream === stream.name && key.state !== 'removed');
    const active = keys.filter((key) => key.state === 'active' || key.ownership === 'external');
    const signers = snapshot.signers.filter(({ streams }) => streams.includes(stream.name)).map(({ id }) => id);
    const since = Math.min(...active.map((key) => key.activatedAt ?? key.createdAt));
    const next = events.find((event) => event.stream === stream.name && event.state === 'active')?.at;
    return [
      stream.name,
      policyName(stream, name, policy),
      stream.external === true ? "somebody else's" : signers.join(', ') || 'none',
      active.map(({ selector }) => selector).join(', '),
      active.length === 0 ? '' : `${Math.floor((now - since) / DAY)} d`,
      stream.external === true || next === undefined ? '' : moment(next),
    ];
  });
  return table(['STREAM', 'POLICY', 'SIGNERS', 'SELECTORS', 'AGE', 'NEXT ROTATION (UTC)'], rows, paint);
}

function policyName(stream: StreamView, name: string, policy: Policy): string {
  if (stream.external === true) return '';
  return policyOf(stream, policy) === policy ? name : 'its own';
}

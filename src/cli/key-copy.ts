/** `keyturn key copy`: one key for several domains or streams. */
import { Command } from 'commander';
import type { CopyResult } from '../control/copy-key.ts';
import type { KeyView } from '../lifecycle/types.ts';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { exitCodes, usage } from './exit.ts';
import { keyKind } from './key-table.ts';
import { moment, printJson } from './output.ts';
import { domainName, openSession, reasonOf, requireDomain, type Session } from './session.ts';

interface Options {
  readonly stream: string;
  readonly as?: string;
  readonly use: boolean;
  readonly dryRun: boolean;
}

export function copyCommand(context: CommandContext): Command {
  const { terminal } = context;
  const command = new Command('copy')
    .description(
      'Copy a key to other domains or streams: its record is published and proved there first. From a shadow to its main domain the record stands already and changes hands.',
    )
    .argument('<from>', 'DOMAIN/SELECTOR, or DOMAIN: what a shadow holds ready, or what a mail domain signs with')
    .argument('<to...>', 'domains')
    .option('--stream <name>', 'the stream that it is for', 'default')
    .option('--as <selector>', 'under another selector')
    .option('--use', 'sign with it as soon as the rules allow, in place of what signs now', false)
    .option('--dry-run', 'show what would happen, do nothing', false);
  withExamples(command, [
    ['keyturn key copy dkim-backup1.example.com example.com --use', "sign with the shadow's key"],
    ['keyturn key copy example.com/s2026 a.example b.example', 'the same key for two more domains'],
  ]);
  command.addHelpText('after', '\nEach target is changed as a whole or not at all; exit code 1 where one was not.');
  return command.action(async (from: string, to: string[], options: Options) => {
    await using session = await openSession(context, command);
    const { source, keys } = await chooseKeys(session, from, options.stream);
    const targets = await Promise.all(to.map(domainName));
    const results: Array<{ to: string; selector: string; done: boolean; text: string }> = [];
    for (const domain of targets) {
      for (const key of keys) {
        const told = await copyOne(session, source, key, domain, options);
        results.push({ to: domain, ...told });
        if (!told.done) context.exit(exitCodes.wrong);
        if (!session.json) terminal.out(`${domain}: ${told.text}\n`);
      }
    }
    const failed = results.filter(({ done }) => !done).length;
    if (session.json) return printJson(terminal, { from: source, dryRun: options.dryRun, results, failed });
    if (results.length > 1) terminal.out(`${results.length - failed} of ${results.length} done.\n`);
    const others = targets.filter((domain) => domain !== source);
    if (others.length > 0 && results.some(({ done }) => done))
      terminal.err(
        'note: one pair in several places falls together: if it is ever compromised, say so at each ("keyturn key compromise" names them).\n',
      );
  });
}

/** `DOMAIN/SELECTOR` or `DOMAIN`, as keys. */
export async function chooseKeys(
  session: Session,
  from: string,
  stream: string,
): Promise<{ readonly source: string; readonly keys: readonly KeyView[] }> {
  const slash = from.indexOf('/');
  const selector = slash < 0 ? null : from.slice(slash + 1).toLowerCase();
  const { snapshot } = await requireDomain(session.store, slash < 0 ? from : from.slice(0, slash));
  const { keysToCopy } = await import('../control/copy-key.ts');
  const source = snapshot.domain.name;
  const keys = keysToCopy(snapshot, selector === '' ? null : selector, stream);
  if (keys.length > 0) return { source, keys };
  throw usage(
    selector === null || selector === ''
      ? `${source} has no key that could be used now: a shadow's has to stand by, a mail domain's to sign stream ${stream}; "keyturn key list ${source}" shows them`
      : `${source} has no key "${selector}" that could be used; "keyturn key list ${source}" shows those there are`,
  );
}

async function copyOne(
  session: Session,
  source: string,
  key: KeyView,
  domain: string,
  { stream, as, use }: Options,
): Promise<{ readonly done: boolean; readonly selector: string; readonly text: string }> {
  const { copyKey } = await import('../control/copy-key.ts');
  const selector = as === undefined ? {} : { selector: as.toLowerCase() };
  if (as !== undefined && !/^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/i.test(as))
    throw usage(`"${as}" is not a selector`);
  const result = await copyKey(session.operator, source, key.id, { domain, stream, use, ...selector });
  const name = as?.toLowerCase() ?? key.selector;
  if (result.kind !== 'done') return { done: false, selector: name, text: `not copied, ${whyNot(result, source)}` };
  const what = `${name} (${keyKind(key)})`;
  const when = await entryOf(session, result, name);
  const how =
    result.what === 'there'
      ? 'is there already'
      : result.sameRecord
        ? 'is taken over with its record'
        : 'is copied; its record is published and proved next';
  const then = !use
    ? ''
    : when === null
      ? ''
      : when === 'now'
        ? '; it signs'
        : `; it signs from about ${moment(when)} UTC`;
  return { done: true, selector: name, text: `${what} ${how}${then}.` };
}

/** Why a copy was not made, as the end of a sentence. */
export function whyNot(result: Exclude<CopyResult, { kind: 'done' }>, source: string): string {
  switch (result.kind) {
    case 'refused':
      return `${reasonOf(result.why)} (${result.at})`;
    case 'unknown-domain':
      return `there is no domain ${result.at} here`;
    case 'no-private-half':
      return `the private half of this key of ${source} is not here`;
  }
}

async function entryOf(
  { operator }: Session,
  { snapshot, policy }: Extract<CopyResult, { kind: 'done' }>,
  selector: string,
): Promise<number | 'now' | null> {
  const { timeline } = await import('../lifecycle/timeline.ts');
  const { keyOfSelector } = await import('../lifecycle/facts.ts');
  if (keyOfSelector(snapshot, selector)?.state === 'active') return 'now';
  const now = operator.clock.now();
  const events = timeline(snapshot, policy, now, now + policy.lead * 3);
  return events.find((event) => event.selector === selector && event.state === 'active')?.at ?? null;
}

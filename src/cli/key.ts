/** `keyturn key`: the keys of a domain and what can be asked of them. */
import { Command } from 'commander';
import type { Mark } from '../control/operations.ts';
import { keyOfSelector, recordDomain } from '../lifecycle/facts.ts';
import type { KeyView } from '../lifecycle/types.ts';
import { aliasesFor, printAliases } from './aliases.ts';
import { approvalOf, entryOf } from './approval.ts';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { refused, usage } from './exit.ts';
import { copyCommand } from './key-copy.ts';
import { historyCommand } from './key-history.ts';
import { keyKind, keyTable } from './key-table.ts';
import { keepCommand, useCommand } from './key-use.ts';
import { printNext } from './next.ts';
import { moment, painter, printJson } from './output.ts';
import { accept, openSession, requireDomain } from './session.ts';

export function keyCommand(context: CommandContext): Command {
  const command = new Command('key').description('Show the keys of a domain and change their course.');
  command.addCommand(listCommand(context));
  command.addCommand(showCommand(context));
  command.addCommand(historyCommand(context));
  for (const request of requests) command.addCommand(requestCommand(context, request));
  command.addCommand(compromiseCommand(context));
  command.addCommand(copyCommand(context));
  command.addCommand(useCommand(context));
  command.addCommand(keepCommand(context, 'keep'));
  command.addCommand(keepCommand(context, 'release'));
  return command;
}

function listCommand(context: CommandContext): Command {
  const command = new Command('list')
    .description('List the keys of a domain, removed ones included.')
    .argument('<domain>');
  withExamples(command, [['keyturn key list example.com --json', 'every field']]);
  return command.action(async (given: string) => {
    await using session = await openSession(context, command);
    const { snapshot } = await requireDomain(session.store, given);
    if (session.json) printJson(context.terminal, { domain: snapshot.domain.name, keys: snapshot.keys });
    else context.terminal.out(keyTable(snapshot, painter(context.terminal)));
  });
}

function showCommand(context: CommandContext): Command {
  const { terminal } = context;
  const command = new Command('show')
    .description('Show one key: its record, in the forms that DNS front ends ask for, and what each server says of it.')
    .argument('<domain>')
    .argument('<selector>');
  withExamples(command, [['keyturn key show example.com kt20261124rsa1', 'record and proof']]);
  return command.action(async (given: string, selector: string) => {
    await using session = await openSession(context, command);
    const { snapshot, policy } = await requireDomain(session.store, given);
    const key = keyOfSelector(snapshot, selector);
    if (key === undefined)
      throw usage(
        `${snapshot.domain.name} has no key with the selector "${selector}"; "keyturn key list ${snapshot.domain.name}" shows those there are`,
      );
    const [{ recordName, recordText }, { recordInstructions }, proofs] = await Promise.all([
      import('../control/records.ts'),
      import('../dns/publish/instructions.ts'),
      session.store.proofs(key.id),
    ]);
    const name = recordName(key.selector, recordDomain(snapshot.domain));
    const kind = key.state === 'revoked' ? 'revoked' : key.state === 'removed' ? 'absent' : 'key';
    const value = recordText(key, kind);
    const aliases = await aliasesFor(session, recordDomain(snapshot.domain), [key]);
    if (session.json)
      return printJson(terminal, { domain: snapshot.domain.name, ...key, record: { name, value }, proofs, aliases });
    const paint = painter(terminal);
    terminal.out(`${paint('bold', name)}  ${keyKind(key)}, ${key.state}, stream ${key.stream}\n\n`);
    if (value === null) terminal.out('No record: the key is removed.\n');
    else {
      const ttl = key.written?.ttl ?? policy.ttl;
      const { zoneFile, strings } = recordInstructions({ name, desired: { value, ttl }, ours: [] });
      terminal.out(`As a line of a zone file:\n${zoneFile}\n\nAs one string:\n${value}\n`);
      if (strings.length > 1) terminal.out(`\nIn strings of at most 255 bytes:\n${strings.join('\n')}\n`);
    }
    if (value !== null) printAliases(terminal, aliases);
    const latest = proofs[0];
    if (latest === undefined) return terminal.out('\nNot asked for in DNS yet.\n');
    terminal.out(
      `\n${latest.verdict} at ${moment(latest.at, true)} UTC (expected: ${latest.expected}), and so since ${moment(latest.since, true)}\n`,
    );
    const { answers } = latest.detail as {
      answers?: ReadonlyArray<{ server: string; address: string; verdict: string; detail?: string }>;
    };
    for (const answer of answers ?? []) {
      const verdict = paint(answer.verdict === 'seen' ? 'green' : 'red', answer.verdict.padEnd(11));
      terminal.out(
        `  ${verdict} ${answer.server === answer.address ? answer.address : `${answer.server} ${answer.address}`}${answer.detail === undefined ? '' : `  ${answer.detail}`}\n`,
      );
    }
  });
}

interface Request {
  readonly name: string;
  readonly description: string;
  readonly done: string;
  /** Whether it makes sense for the whole domain. */
  readonly mark: (stream: string | null) => Mark;
  readonly everywhere: boolean;
}

const requests: readonly Request[] = [
  {
    name: 'rotate',
    description:
      'Replace the active keys of a stream now: the successors enter as soon as the rules allow, and the old keys leave after them.',
    done: 'A rotation is asked for',
    mark: (stream) => ({ kind: 'rotation-requested', stream: stream ?? 'default' }),
    everywhere: false,
  },
  {
    name: 'approve',
    description:
      'Approve the rotation that waits for it, or the coming one in advance (policies with approval: required).',
    done: 'The rotation is approved',
    mark: (stream) => ({ kind: 'rotation-approved', stream: stream ?? 'default' }),
    everywhere: false,
  },
  {
    name: 'pause',
    description:
      'Let nothing enter, leave or be withdrawn until resumed; what signs goes on signing. Emergencies pass.',
    done: 'Paused',
    mark: (stream) => ({ kind: 'paused', stream }),
    everywhere: true,
  },
  {
    name: 'resume',
    description: 'End a pause, or the hold that a rollback leaves.',
    done: 'Resumed',
    mark: (stream) => ({ kind: 'resumed', stream }),
    everywhere: true,
  },
  {
    name: 'rollback',
    description:
      'Undo a rotation while the old keys can still come back; the new ones are not used again, and the stream is held.',
    done: 'The rotation is rolled back',
    mark: (stream) => ({ kind: 'rolled-back', stream: stream ?? 'default' }),
    everywhere: false,
  },
];

function requestCommand(context: CommandContext, request: Request): Command {
  const command = new Command(request.name)
    .description(request.description)
    .argument('<domain>')
    .option(
      '--stream <name>',
      request.everywhere ? 'only this stream (default: the whole domain)' : 'the stream (default: "default")',
    )
    .option('--dry-run', 'show what would happen, do nothing', false);
  withExamples(command, [
    [`keyturn key ${request.name} example.com`, request.done.toLowerCase()],
    [`keyturn key ${request.name} example.com --dry-run`, 'see the dates first'],
  ]);
  return command.action(async (given: string, options: { stream?: string; dryRun: boolean }) => {
    await using session = await openSession(context, command);
    const { snapshot, policy } = await requireDomain(session.store, given);
    const { name } = snapshot.domain;
    const stream = options.stream ?? 'default';
    const approval =
      request.name === 'approve' ? await approvalOf(snapshot, policy, stream, session.operator.clock.now()) : null;
    if (approval?.kind === 'useless') throw refused(`approve of ${name}: nothing was done, ${approval.why}`);
    const { mark } = await import('../control/operations.ts');
    const done = accept(
      await mark(session.operator, name, request.mark(options.stream ?? null)),
      `${request.name} of ${name}`,
    );
    const headline = `${request.done}: ${name}${options.dryRun ? ' (dry run: nothing was done)' : ''}.`;
    if (approval === null) return printNext(context.terminal, session, done, headline);
    const due = approval.kind === 'early' ? await entryOf(done, stream, session.operator.clock.now()) : null;
    const when = due === null ? '' : `, when new keys begin to sign: ${moment(due)} UTC`;
    await printNext(
      context.terminal,
      session,
      done,
      approval.kind === 'early'
        ? `${headline}\nNothing waits for approval now: it counts for the coming rotation${when}.`
        : headline,
      { awaited: approval.kind === 'awaited', due },
    );
  });
}

function compromiseCommand(context: CommandContext): Command {
  const command = new Command('compromise')
    .description(
      'Declare a key compromised: a standby key takes over at once, and the key is revoked as soon as every signer has let go of it.',
    )
    .argument('<domain>')
    .argument('<selector>')
    .option('--dry-run', 'show what would happen, do nothing', false);
  withExamples(command, [['keyturn key compromise example.com kt20261124rsa1', 'its private key has leaked']]);
  return command.action(async (given: string, selector: string, options: { dryRun: boolean }) => {
    await using session = await openSession(context, command);
    const { snapshot } = await requireDomain(session.store, given);
    const { name } = snapshot.domain;
    const key = keyOfSelector(snapshot, selector);
    if (key === undefined)
      throw usage(
        `${name} has no key with the selector "${selector}"; "keyturn key list ${name}" shows those there are`,
      );
    const { mark } = await import('../control/operations.ts');
    const done = accept(
      await mark(session.operator, name, { kind: 'compromised', keyId: key.id }),
      `declaring ${selector} compromised`,
    );
    await printNext(
      context.terminal,
      session,
      done,
      `${selector} of ${name} is declared compromised${options.dryRun ? ' (dry run: nothing was done)' : ''}.${elsewhere(key)}`,
    );
  });
}

/** The other places of the same pair, with what to type for each. */
function elsewhere({ copiedFrom, copies }: KeyView): string {
  const places = [...new Set([...(copiedFrom === undefined ? [] : [copiedFrom]), ...(copies?.some ?? [])])];
  const more = (copies?.count ?? 0) - (copies?.some.length ?? 0);
  const lines = places.map((place) => `\n  keyturn key compromise ${place.replace('/', ' ')}`);
  const rest = more > 0 ? `\n  and ${more} more: keyturn audit list` : '';
  return places.length === 0 ? '' : `\nThe same pair is elsewhere too; say so there as well:${lines.join('')}${rest}`;
}

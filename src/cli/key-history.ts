/** `keyturn key history`: the whole life of a domain's keys, also of those that are gone, and of domains that have left. */
import { Command } from 'commander';
import type { JournalEvent } from '../store/journal.ts';
import type { Json } from '../store/json.ts';
import type { ProofRow } from '../store/proofs.ts';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { usage } from './exit.ts';
import { harmless, moment, painter, printJson } from './output.ts';
import { domainName, openSession } from './session.ts';

export function historyCommand(context: CommandContext): Command {
  const { terminal } = context;
  const command = new Command('history')
    .description(
      'Show all that ever happened to the keys of a domain, or to those of one selector: who did it, when, why and by which way, every record that was written, every change of what was proved. Also for domains that have left.',
    )
    .argument('<domain>')
    .argument('[selector]');
  withExamples(command, [
    ['keyturn key history example.com', 'every key that it ever had'],
    ['keyturn key history example.com kt20261124rsa1 --json', 'for an audit'],
  ]);
  return command.action(async (given: string, selector: string | undefined) => {
    await using session = await openSession(context, command);
    const domain = await domainName(given);
    const keys = await session.store.keyHistory(domain, selector);
    if (keys.length === 0) {
      const which = selector === undefined ? '' : ` with the selector "${selector}"`;
      throw usage(`${domain} has no key${which} here, and never had one`);
    }
    if (session.json) return printJson(terminal, { domain, keys });
    const paint = painter(terminal);
    for (const [index, key] of keys.entries()) {
      const state = key.last === null ? 'known from the journal only' : key.last.state;
      const left = key.leftAt === null ? '' : `, the domain left ${moment(key.leftAt)}`;
      terminal.out(
        `${index === 0 ? '' : '\n'}${paint('bold', key.selector)}  ${key.algorithm} ${key.bits}, stream ${key.stream}, ${state}${left}\n  key ${key.id}\n  p=${key.publicKey}\n`,
      );
      for (const line of linesOf(key.events, key.proofs)) terminal.out(`  ${line}\n`);
    }
  });
}

/** Entries and proofs in the order of time; at the same moment, the proof before what followed from it. */
function linesOf(events: readonly JournalEvent[], proofs: readonly ProofRow[]): readonly string[] {
  const lines = [
    ...proofs.map((proof) => ({ at: proof.since, line: proofLine(proof) })),
    ...events.map((event) => ({ at: event.at, line: eventLine(event) })),
  ];
  return lines.toSorted((a, b) => a.at - b.at).map(({ at, line }) => `${moment(at, true)}  ${line}`);
}

function proofLine({ expected, verdict, times, at }: ProofRow): string {
  const often = times === 1 ? '' : `, ${times} proofs until ${moment(at, true)}`;
  return `proof: ${verdict} (expected: ${expected}${often})`;
}

/** What the heading says already is left out. */
const said: ReadonlySet<string> = new Set([
  'key',
  'keyId',
  'keys',
  'selector',
  'publicKey',
  'algorithm',
  'bits',
  'stream',
]);

function eventLine({ kind, actor, source, details }: JournalEvent): string {
  const told =
    details !== null && typeof details === 'object' && !Array.isArray(details) ? Object.entries(details) : [];
  const rest = told.filter(([name]) => !said.has(name)).map(([name, value]) => `${name}: ${shown(value)}`);
  return harmless(`${kind} by ${actor} (${source})${rest.length === 0 ? '' : `; ${rest.join(', ')}`}`);
}

function shown(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

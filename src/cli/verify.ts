/** `keyturn verify`: judge the signatures of a message, as its receiver would. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { globals, withExamples } from './context.ts';
import { CommandFailure, exitCodes, usage } from './exit.ts';
import { harmless, painter, printJson } from './output.ts';

export function verifyCommand({ terminal, exit }: CommandContext): Command {
  const command = new Command('verify')
    .description('Verify the DKIM signatures of a message (a file as saved from a mailbox; `-` reads standard input).')
    .argument('<file>', 'the message, in full, with its header')
    .option('--resolver <address>', 'DNS server to ask, as 192.0.2.1 or 192.0.2.1:53 (default: those of the system)');
  withExamples(command, [
    ['keyturn verify message.eml', 'every signature: pass or fail, and why'],
    ['keyturn verify - --resolver 127.0.0.1:5353 < message.eml', 'against a server of your own'],
  ]);
  command.addHelpText(
    'after',
    '\nExit code: 0 where at least one signature passes, 1 where none does, 3 where DNS did not answer.',
  );
  return command.action(async (file: string, options: { resolver?: string }) => {
    const message = file === '-' ? await terminal.readInput() : await readMessage(file);
    if (message.length === 0) throw usage(`the message ${file} is empty`);
    const { verifyMessage } = await import('../control/verify-message.ts');
    const signatures = await verifyMessage(message, await systemResolver(options.resolver));
    const passed = signatures.some((signature) => signature.result === 'pass');
    const undecided = !passed && signatures.some((signature) => signature.result === 'temperror');
    exit(passed ? exitCodes.ok : undecided ? exitCodes.unreachable : exitCodes.wrong);
    if (globals(command).json) return printJson(terminal, { file, signatures });
    const paint = painter(terminal);
    if (signatures.length === 0) terminal.out('The message has no DKIM signature.\n');
    for (const { domain, selector, algorithm, result, comment, alignedWith } of signatures) {
      const verdict = paint(result === 'pass' ? 'green' : 'red', result.padEnd(9));
      const aligned = alignedWith === null ? 'not aligned with From' : 'aligned with From';
      terminal.out(`${verdict} d=${harmless(domain)} s=${harmless(selector)} a=${harmless(algorithm)}, ${aligned}`);
      terminal.out(comment === '' ? '\n' : ` (${harmless(comment)})\n`);
    }
  });
}

async function readMessage(file: string): Promise<Buffer> {
  const { readFile } = await import('node:fs/promises');
  try {
    return await readFile(file);
  } catch (error) {
    throw usage(`cannot read the message ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function systemResolver(server: string | undefined): Promise<(name: string) => Promise<string[][]>> {
  const { Resolver } = await import('node:dns/promises');
  const resolver = new Resolver({ timeout: 3000, tries: 2 });
  if (server !== undefined) {
    try {
      resolver.setServers([server]);
    } catch {
      throw new CommandFailure(
        exitCodes.usage,
        `--resolver ${server}: expected an IP address, with a port where it is not 53`,
      );
    }
  }
  return (name) => resolver.resolveTxt(name);
}

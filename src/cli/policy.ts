/** `keyturn policy`: how keys are made, how long they live, how carefully they change. */
import { Command } from 'commander';
import type { Policy } from '../lifecycle/policy.ts';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { refused, usage } from './exit.ts';
import { printNext } from './next.ts';
import { painter, printJson, table } from './output.ts';
import { accept, openSession, requireDomain, type Session } from './session.ts';

export function policyCommand(context: CommandContext): Command {
  const command = new Command('policy').description(
    'Show and change policies: named ones, and those of single domains and streams.',
  );
  command.addCommand(listCommand(context));
  command.addCommand(showCommand(context));
  command.addCommand(setCommand(context));
  command.addCommand(removeCommand(context));
  return command;
}

function listCommand(context: CommandContext): Command {
  const command = new Command('list').description('List the named policies.');
  return command.action(async () => {
    await using session = await openSession(context, command);
    const policies = await session.store.policies();
    if (session.json) return printJson(context.terminal, { policies });
    const { formatDuration } = await import('../settings/durations.ts');
    const { formatKeySpec } = await import('../control/config/policy-schema.ts');
    const rows = policies.map(({ name, policy, domains }) => [
      name,
      policy.keys.map(formatKeySpec).join(', '),
      formatDuration(policy.rotateEvery),
      formatDuration(policy.overlap),
      String(domains),
    ]);
    context.terminal.out(
      table(['POLICY', 'KEYS', 'ROTATES EVERY', 'OVERLAP', 'DOMAINS'], rows, painter(context.terminal)),
    );
  });
}

function showCommand(context: CommandContext): Command {
  const command = new Command('show').description('Show a named policy, or the one that a domain or stream follows.');
  target(command);
  withExamples(command, [
    ['keyturn policy show default', 'a named policy'],
    ['keyturn policy show --domain example.com', 'what a domain follows'],
  ]);
  return command.action(async (name: string | undefined, options: TargetOptions) => {
    await using session = await openSession(context, command);
    const { policy, from } = await find(session, name, options);
    await print(context, session, policy, from);
  });
}

function setCommand(context: CommandContext): Command {
  const command = new Command('set').description(
    'Change settings of a policy. Given a domain, it gets a policy of its own (with --stream: that stream).',
  );
  target(command);
  command
    .option(
      '--set <setting=value>',
      'one setting, such as rotateEvery=90d or keys=rsa-2048,ed25519; may be repeated',
      collect,
      [],
    )
    .option('--follow <name>', 'put the domain under this named policy')
    .option('--dry-run', 'show what would happen, do nothing', false);
  withExamples(command, [
    ['keyturn policy set default --set rotateEvery=90d', 'every domain that follows it'],
    ['keyturn policy set --domain example.com --set overlap=30d', 'a policy of its own for one domain'],
    ['keyturn policy set --domain example.com --follow strict', 'put a domain under a named policy'],
  ]);
  return command.action(
    async (name: string | undefined, options: TargetOptions & { set: string[]; follow?: string; dryRun: boolean }) => {
      await using session = await openSession(context, command);
      const operations = await import('../control/operations.ts');
      if (options.follow !== undefined) {
        if (options.domain === undefined || options.set.length > 0)
          throw usage('--follow goes with --domain and without --set');
        const { snapshot } = await requireDomain(session.store, options.domain);
        const result = await operations.followPolicy(session.operator, snapshot.domain.name, {
          kind: 'named',
          name: options.follow,
        });
        if (result.kind === 'no-such-policy')
          throw usage(`there is no policy "${options.follow}"; "keyturn policy list" shows those there are`);
        return printNext(
          context.terminal,
          session,
          accept(result, 'following a policy'),
          `${snapshot.domain.name} ${options.dryRun ? 'would follow' : 'follows'} ${options.follow}.`,
        );
      }
      if (options.set.length === 0) throw usage('nothing to change: give --set setting=value');
      const { policy: base } = await find(session, name, options, true);
      const policy = await changed(base, options.set);
      const { policyWarnings } = await import('../control/config/warnings.ts');
      for (const warning of policyWarnings(policy)) context.terminal.err(`warning: ${warning}\n`);
      if (options.domain !== undefined) {
        const { snapshot } = await requireDomain(session.store, options.domain);
        const { name: domain } = snapshot.domain;
        const result =
          options.stream === undefined
            ? await operations.followPolicy(session.operator, domain, { kind: 'own', policy })
            : await operations.mark(session.operator, domain, { kind: 'policy-set', stream: options.stream, policy });
        if (result.kind === 'no-such-policy') throw usage('there is no such policy');
        return printNext(
          context.terminal,
          session,
          accept(result, `changing the policy of ${domain}`),
          `${options.stream === undefined ? domain : `The stream ${options.stream} of ${domain}`} ${options.dryRun ? 'would have' : 'has'} a policy of its own.`,
        );
      }
      const named = name ?? 'default';
      if (Object.hasOwn(session.loaded.config.policies, named)) {
        throw refused(
          `the policy ${named} is set in ${session.loaded.file ?? 'the configuration'}: change it there and restart the server`,
        );
      }
      if (!options.dryRun) await operations.syncPolicies(session.operator, { [named]: policy }, policy);
      await print(
        context,
        session,
        policy,
        `policy ${named}${options.dryRun ? ' (dry run: nothing was done)' : ', from now on'}`,
      );
    },
  );
}

function removeCommand(context: CommandContext): Command {
  const command = new Command('remove').description('Remove a named policy that no domain follows.').argument('<name>');
  return command.action(async (name: string) => {
    await using session = await openSession(context, command);
    const { actor, clock } = session.operator;
    const event = {
      actor: actor.name,
      source: actor.source,
      domain: null,
      kind: 'policy-removed',
      details: { name },
      at: clock.now(),
    };
    const result = await session.store.removePolicy(name, [event]);
    if (result === 'missing') throw usage(`there is no policy "${name}"`);
    if (result === 'in-use') throw refused(`the policy ${name} is followed by domains; put them under another first`);
    if (session.json) printJson(context.terminal, { removed: name });
    else context.terminal.out(`The policy ${name} is removed.\n`);
  });
}

interface TargetOptions {
  readonly domain?: string;
  readonly stream?: string;
}

function target(command: Command): void {
  command
    .argument('[name]', 'a named policy (default: "default")')
    .option('--domain <domain>', 'the policy of this domain')
    .option('--stream <name>', 'of this stream of the domain');
}

/** The policy that is meant. `making`: a name that is not there yet begins as a copy of the defaults. */
async function find(
  session: Session,
  name: string | undefined,
  { domain, stream }: TargetOptions,
  making = false,
): Promise<{ policy: Policy; from: string }> {
  if (domain === undefined) {
    if (stream !== undefined) throw usage('--stream goes with --domain');
    const named = name ?? 'default';
    const policy = await session.store.policy(named);
    if (policy !== null) return { policy, from: `policy ${named}` };
    if (making) return { policy: (await import('../lifecycle/policy.ts')).defaultPolicy, from: '' };
    throw usage(`there is no policy "${named}"; "keyturn policy list" shows those there are`);
  }
  if (name !== undefined) throw usage('give the name of a policy or --domain, not both');
  const { snapshot, policy, policyRef } = await requireDomain(session.store, domain);
  const followed = policyRef.kind === 'named' ? `policy ${policyRef.name}` : `a policy of ${domain}'s own`;
  if (stream === undefined) return { policy, from: followed };
  const view = snapshot.streams.find((candidate) => candidate.name === stream);
  if (view === undefined) throw usage(`${domain} has no stream "${stream}"`);
  return view.policy === null
    ? { policy, from: followed }
    : { policy: view.policy, from: `a policy of the stream's own` };
}

async function changed(base: Policy, assignments: readonly string[]): Promise<Policy> {
  const { policySettings, changePolicy, policyProblems } = await import('../control/config/policy-schema.ts');
  const { nearest } = await import('../control/config/nearest.ts');
  const { parse } = await import('yaml');
  const yaml = (text: string, assignment: string): unknown => {
    try {
      return parse(text, { prettyErrors: false });
    } catch (error) {
      throw usage(`--set ${assignment}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const given: Record<string, unknown> = {};
  for (const assignment of assignments) {
    const [setting = '', ...rest] = assignment.split('=');
    if (rest.length === 0) throw usage(`--set ${assignment}: expected setting=value`);
    if (!Object.hasOwn(policySettings.shape, setting)) {
      const meant = nearest(setting, Object.keys(policySettings.shape));
      throw usage(`--set ${setting}: there is no such setting${meant === null ? '' : ` (did you mean ${meant}?)`}`);
    }
    const text = rest.join('=');
    given[setting] = setting === 'keys' && !text.startsWith('[') ? text.split(',') : yaml(text, assignment);
  }
  const result = policySettings.safeParse(given);
  if (!result.success)
    throw usage(result.error.issues.map((issue) => `--set ${issue.path.join('.')}: ${issue.message}`).join('\n'));
  const policy = changePolicy(base, result.data);
  const problems = policyProblems(policy);
  if (problems.length > 0) throw usage(`the policy would contradict itself: ${problems.join('; ')}`);
  return policy;
}

async function print({ terminal }: CommandContext, session: Session, policy: Policy, from: string): Promise<void> {
  if (session.json) return printJson(terminal, policy);
  const { readable } = await import('../control/config/show.ts');
  const { stringify } = await import('yaml');
  terminal.out(`# ${from}\n${stringify(readable(policy))}`);
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

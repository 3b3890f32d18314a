/** What commands that read or change the store need: the configuration, the open store, and who is acting. */
import type { Command } from 'commander';
import type { LoadedConfig } from '../control/config/load.ts';
import type { OperationResult, Operator } from '../control/operations.ts';
import type { Policy } from '../lifecycle/policy.ts';
import type { Snapshot } from '../lifecycle/types.ts';
import type { Store, StoredDomain } from '../store/store.ts';
import type { CommandContext } from './context.ts';
import { globals } from './context.ts';
import { refused, usage } from './exit.ts';

export interface Session extends AsyncDisposable {
  readonly loaded: LoadedConfig;
  readonly store: Store;
  readonly operator: Operator;
  readonly json: boolean;
}

/** Opens the store of the configuration in force; close it with `await using`. */
export async function openSession({ terminal }: CommandContext, command: Command): Promise<Session> {
  const { config, json } = globals(command);
  const [{ loadConfig }, { openStore }, { systemClock }] = await Promise.all([
    import('../control/config/load.ts'),
    import('../control/open-store.ts'),
    import('../lifecycle/clock.ts'),
  ]);
  const loaded = loadConfig(config, { env: terminal.env, workingFolder: process.cwd() });
  const actor = { name: await userName(), source: 'cli' } as const;
  const store = await openStore(loaded, { env: terminal.env, clock: systemClock, actor });
  const dryRun = command.optsWithGlobals<{ dryRun?: boolean }>().dryRun === true;
  return {
    loaded,
    store,
    json,
    operator: { store, clock: systemClock, actor, dryRun },
    [Symbol.asyncDispose]: () => store.close(),
  };
}

/** The operating system's name of whoever is at the keyboard: the user behind sudo where there is one. */
export async function userName(): Promise<string> {
  const { userInfo } = await import('node:os');
  const name = () => {
    try {
      return userInfo().username;
    } catch {
      return `uid ${process.getuid?.() ?? 'unknown'}`;
    }
  };
  const own = name();
  const behind = process.env.SUDO_USER;
  return own === 'root' && behind !== undefined && behind !== '' ? `${behind} (as root)` : own;
}

/** The domain's name in the form in which it is stored. */
export async function domainName(given: string): Promise<string> {
  const { isDomainName } = await import('../settings/values.ts');
  const name = given.toLowerCase().replace(/\.$/, '');
  if (isDomainName(name) && name.includes('.')) return name;
  throw usage(
    `"${given}" is not a domain name such as example.com (internationalized names are written in their xn-- form)`,
  );
}

export async function requireDomain(store: Store, given: string): Promise<StoredDomain> {
  const name = await domainName(given);
  const stored = await store.snapshot(name);
  if (stored !== null) return stored;
  throw usage(`there is no domain ${name} here; "keyturn domain list" shows those there are`);
}

const reasons: Readonly<Record<string, string>> = {
  'already-so': 'it is so already',
  'not-ours': 'the key belongs to somebody else',
  'wrong-state': "the key's state does not allow it",
  'unknown-key': 'there is no such key',
  'unknown-stream': 'there is no such stream',
  'unknown-signer': 'there is no such signer',
  'nothing-to-roll-back': 'no rotation is under way that could still be undone',
  'selector-taken': 'the selector has been used before; only slots of a policy are used again',
  removing: 'the domain is being removed',
  'signs-nothing': 'a shadow, or a stream that somebody else signs, does not sign with keys from here',
  'not-its-shadow': 'the one is no shadow of the other',
  'handed-over': 'its record belongs to another domain by now',
};

/** Why something was refused, as the end of a sentence. */
export function reasonOf(why: string): string {
  return reasons[why] ?? why;
}

/** What an operation made, or the failure that says why it was not done. */
export function accept(result: OperationResult, doing: string): { snapshot: Snapshot; policy: Policy } {
  if (result.kind === 'done') return result;
  if (result.kind === 'unknown-domain') throw usage(`${doing}: there is no such domain`);
  throw refused(`${doing}: nothing was done, ${reasonOf(result.why)}`);
}

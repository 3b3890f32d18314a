/** The signers of the configuration: which there are, what each is to sign, and how they are made and closed. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../lifecycle/clock.ts';
import { readSecret } from '../settings/secret.ts';
import type { SignerKind } from '../signers/kind.ts';
import { signerKinds } from '../signers/kinds.ts';
import type { Signer } from '../signers/signer.ts';
import { type Binding, bindToAll } from './bindings.ts';
import { ConfigError, type LoadedConfig, pathBeside } from './config/load.ts';
import type { Config } from './config/schema.ts';
import type { SignerConfig } from './config/signer-schema.ts';
import { errorText, type Log } from './log.ts';

/** What each signer of the configuration is to sign: the milter of this instance, and those that are listed. */
export function bindingsOf({ roles, instance, milter, signers }: Config): readonly Binding[] {
  const own = roles.milter ? [{ ...bindToAll(instance), ...milter.signs }] : [];
  return [
    ...own,
    ...signers.map((settings): Binding => {
      const kind = kindOf(settings);
      const abilities = kind.abilities(settings);
      const { domains, except, streams } = settings.signs;
      const signerId = idOf(settings, kind, instance);
      return { signerId, domains, except, streams, ...(abilities === undefined ? {} : { abilities }) };
    }),
  ];
}

/** The id of a listed signer in every domain's snapshot. */
function idOf({ name }: SignerConfig, { reach }: SignerKind, instance: string): string {
  return reach === 'instance' ? `${name}@${instance}` : name;
}

function kindOf({ kind }: SignerConfig): SignerKind {
  const found = signerKinds.find((each) => each.kind === kind);
  if (found === undefined) throw new Error(`there is no kind of signer called ${kind}`);
  return found;
}

export interface ListedSigners {
  readonly signers: ReadonlyMap<string, Signer>;
  /** Ids of those whose drift is put right without asking. */
  readonly restoring: ReadonlySet<string>;
  close(): Promise<void>;
}

/**
 * Makes the listed signers, or the one with the id `only`: others may hold sockets of a running server.
 * @throws ConfigError naming the signer that cannot work.
 */
export async function createSigners(
  { config, dataFolder, file }: LoadedConfig,
  {
    env,
    clock,
    log,
    only,
  }: {
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly clock: Clock;
    readonly log: Log;
    readonly only?: string;
  },
): Promise<ListedSigners> {
  const signers = new Map<string, Signer>();
  const restoring = new Set<string>();
  const close = async () => {
    for (const signer of signers.values()) await signer.close?.();
  };
  const path = (written: string) => pathBeside(file, written);
  let at: SignerConfig | undefined;
  try {
    for (const settings of config.signers) {
      at = settings;
      const kind = kindOf(settings);
      if (kind.reach === 'remote') continue;
      const id = idOf(settings, kind, config.instance);
      if (only !== undefined && id !== only) continue;
      const folder = join(dataFolder, 'signers', id);
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const made = await kind.create(settings, {
        id,
        clock,
        log: (level, event, fields) => log[level](event, { signer: id, ...fields }),
        folder,
        readSecret: (setting) => readSecret(setting, { path, env }),
        path,
      });
      signers.set(id, made);
      if (settings.onDrift === 'restore') restoring.add(id);
    }
  } catch (error) {
    await close();
    throw new ConfigError([`the signer ${at?.name ?? ''} (${at?.kind ?? ''}) cannot be used: ${errorText(error)}`]);
  }
  return { signers, restoring, close };
}

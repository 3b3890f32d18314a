/** A kind of signer: its settings in `keyturn.yaml`, and how one is made of them. */
import type { z } from 'zod';
import type { Clock } from '../lifecycle/clock.ts';
import type { SignerAbilities } from '../lifecycle/types.ts';
import type { SecretSetting } from '../settings/secret.ts';
import type { Signer } from './signer.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** What every signer is given when it is made. */
export interface SignerDependencies {
  /** The signer's id in every domain's snapshot. */
  readonly id: string;
  readonly clock: Clock;
  /** Fields are plain and hold no key material. */
  readonly log: (
    level: LogLevel,
    event: string,
    fields: Readonly<Record<string, string | number | boolean | null>>,
  ) => void;
  /** A folder of the signer's own, mode 0700, for what must outlive a restart; it exists. */
  readonly folder: string;
  /** @throws Error naming the file or variable, never the secret. */
  readonly readSecret: (secret: SecretSetting) => string;
  /** Absolute path of a file that the settings name (relative ones lie beside `keyturn.yaml`). */
  readonly path: (written: string) => string;
}

export interface SignerKind {
  readonly kind: string;
  /** Strict; with `kind` as a literal. */
  readonly settings: z.ZodObject;
  /**
   * `shared`: one thing in the world that any instance may drive, under the name in the settings. `instance`: lives in this process (or on
   * this machine's disk), so that each instance has one of its own and acknowledges for it alone: `name@instance`. `remote`: a program
   * elsewhere drives it under the name in the settings and answers for itself; no instance makes one.
   */
  readonly reach: 'shared' | 'instance' | 'remote';
  abilities(settings: unknown): SignerAbilities | undefined;
  /** @throws Error in words, where the settings cannot work. Must not fail for what may come back later (a server that is away). */
  create(settings: unknown, dependencies: SignerDependencies): Promise<Signer>;
}

/** Ties settings and maker together, so that the maker sees its own settings' type. */
export function defineSignerKind<S extends z.ZodObject>(definition: {
  readonly kind: string;
  readonly settings: S;
  readonly reach: 'shared' | 'instance' | 'remote';
  readonly abilities?: (settings: z.output<S>) => SignerAbilities | undefined;
  readonly create: (settings: z.output<S>, dependencies: SignerDependencies) => Promise<Signer> | Signer;
}): SignerKind {
  const { kind, settings, reach, abilities, create } = definition;
  return {
    kind,
    settings,
    reach,
    // What comes in was read by these very settings.
    abilities: (given) => abilities?.(given as z.output<S>),
    create: async (given, dependencies) => create(given as z.output<S>, dependencies),
  };
}

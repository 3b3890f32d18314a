/** The signers of this machine, as one: what is given goes to all that sign it, and is acknowledged when the last of them has it. */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../../lifecycle/clock.ts';
import type { SignerAbilities } from '../../../lifecycle/types.ts';
import { readSecret } from '../../../settings/secret.ts';
import type { Keyring, KeyringKey } from '../../../signers/keyring.ts';
import { signerKinds } from '../../../signers/kinds.ts';
import type { Signer } from '../../../signers/signer.ts';
import type { FeedKeyring } from '../../../store/keyring/feed.ts';
import { type Binding, boundStreams } from '../../bindings.ts';
import { ConfigError, pathBeside } from '../../config/load.ts';
import { errorText, type Log } from '../../log.ts';
import { startMilterOf } from '../../milter-role.ts';
import type { AgentConfig, LoadedAgentConfig } from './config.ts';

export type LocalDelivery =
  | { readonly kind: 'acknowledged'; readonly generation: number }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'drifted'; readonly message: string };

export type LocalInspection =
  | { readonly kind: 'as-delivered' | 'unknown' }
  | { readonly kind: 'lost' | 'changed'; readonly message: string };

export interface SeenSignature {
  readonly domain: string;
  readonly selector: string;
  /** By the control plane's clock as it was known then. */
  readonly at: number;
}

export interface LocalSigners {
  readonly names: ReadonlyArray<{ readonly name: string; readonly kind: string }>;
  /** What all of them can do. */
  readonly abilities: SignerAbilities;
  /** Where the built-in milter listens; empty before {@link open}, and where there is none. */
  readonly endpoints: readonly string[];
  /** Called once, with every keyring there is: sockets are opened when all are in place. @throws Error naming the socket. */
  open(records: Iterable<FeedKeyring>): Promise<void>;
  deliver(record: FeedKeyring): Promise<LocalDelivery>;
  forget(domain: string): Promise<void>;
  /** What is wrong with the key at one of them; null where all that can have signed with it. */
  test(record: FeedKeyring, stream: string, selector: string): Promise<string | null>;
  inspect(record: FeedKeyring): Promise<LocalInspection>;
  seen(): readonly SeenSignature[];
  close(): Promise<void>;
}

interface Local {
  readonly name: string;
  readonly kind: string;
  readonly binding: Binding;
  readonly restores: boolean;
  /** Null for the milter before it is open. */
  signer: Signer | null;
  /** Domains whose keys somebody changed by hand there. */
  readonly drifted: Set<string>;
}

export interface LocalOptions {
  readonly loaded: LoadedAgentConfig;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Makes the signers that `agent.yaml` lists. @throws ConfigError naming the one that cannot work. */
export async function createLocalSigners({ loaded, env, clock, log }: LocalOptions): Promise<LocalSigners> {
  const { config, dataFolder, file } = loaded;
  const locals: Local[] = [];
  const closers: Array<() => Promise<void>> = [];
  const path = (written: string) => pathBeside(file, written);
  let endpoints: readonly string[] = [];
  if (config.milter !== undefined) {
    const binding: Binding = { signerId: 'milter', ...config.milter.signs };
    locals.push({ name: 'milter', kind: 'milter', binding, restores: true, signer: null, drifted: new Set() });
  }
  for (const settings of config.signers) {
    const { name, kind } = settings;
    const made = signerKinds.find((each) => each.kind === kind);
    if (made === undefined) throw new ConfigError([`there is no kind of signer called ${kind}`]);
    const folder = join(dataFolder, 'signers', name);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const abilities = made.abilities(settings);
    try {
      const signer = await made.create(settings, {
        id: name,
        clock,
        log: (level, event, fields) => log[level](event, { signer: name, ...fields }),
        folder,
        readSecret: (setting) => readSecret(setting, { path, env }),
        path,
      });
      const binding = { signerId: name, ...settings.signs, ...(abilities === undefined ? {} : { abilities }) };
      locals.push({ name, kind, binding, restores: settings.onDrift === 'restore', signer, drifted: new Set() });
      closers.push(async () => signer.close?.());
    } catch (error) {
      for (const close of closers) await close();
      throw new ConfigError([`the signer ${name} (${kind}) cannot be used: ${errorText(error)}`]);
    }
  }

  /** The signers that have to do with the domain, and what of the keyring is theirs. */
  function partsOf(record: FeedKeyring): Array<{ local: Local; signer: Signer; keyring: Keyring }> {
    return locals.flatMap((local) => {
      const keyring = local.signer === null ? null : keyringFor(record, local);
      return local.signer === null || keyring === null ? [] : [{ local, signer: local.signer, keyring }];
    });
  }

  async function deliverTo({ local, signer, keyring }: ReturnType<typeof partsOf>[number]): Promise<LocalDelivery> {
    const { domain, overwrite } = keyring;
    const failed = (message: string): LocalDelivery => ({ kind: 'failed', message: `${local.name}: ${message}` });
    try {
      if (local.drifted.has(domain) && overwrite !== true && !local.restores) {
        // What somebody put there on purpose stays until a person has decided, or it is gone again.
        const now = await signer.inspect?.(keyring);
        if (now?.kind === 'changed') return { kind: 'drifted', message: `${local.name}: ${now.message}` };
      }
      const given = local.restores ? { ...keyring, overwrite: true } : keyring;
      const delivery = await signer.deliver(given);
      if (delivery.kind === 'drifted') {
        local.drifted.add(domain);
        return { kind: 'drifted', message: `${local.name}: ${delivery.message}` };
      }
      local.drifted.delete(domain);
      return delivery.kind === 'acknowledged' ? delivery : failed(delivery.message);
    } catch (error) {
      return failed(errorText(error));
    }
  }

  return {
    names: locals.map(({ name, kind }) => ({ name, kind })),
    abilities: abilitiesOf(config),
    get endpoints() {
      return endpoints;
    },
    async open(records) {
      const all = [...records];
      async function* of(local: Local): AsyncGenerator<Keyring> {
        for (const record of all) {
          const keyring = keyringFor(record, local);
          if (keyring !== null) yield keyring;
        }
      }
      for (const local of locals) {
        if (local.signer !== null) await local.signer.load?.(of(local));
        else if (config.milter !== undefined) {
          const milter = await startMilterOf(local.name, config.milter, of(local), { clock, log });
          closers.push(() => milter.stop());
          local.signer = milter.signer;
          endpoints = milter.server.endpoints;
        }
      }
    },
    async deliver(record) {
      const orphan = unsignedStream(record, locals);
      if (orphan !== null)
        return {
          kind: 'failed',
          message: `no signer in agent.yaml signs the stream ${orphan} of ${record.domain}: add it to \`signs\` of one there, or take it from this agent's \`signs\` in keyturn.yaml`,
        };
      const deliveries = await Promise.all(partsOf(record).map(deliverTo));
      return together(record.generation, deliveries);
    },
    async forget(domain) {
      for (const { signer, drifted } of locals) {
        await signer?.forget(domain);
        drifted.delete(domain);
      }
    },
    async test(record, stream, selector) {
      const key = record.streams[stream]?.find((each) => each.selector === selector);
      if (key === undefined) return `the key ${selector} is not among those that came here for the stream ${stream}`;
      const able = partsOf(record).filter(({ keyring }) =>
        keyring.streams[stream]?.some((each) => each.selector === selector),
      );
      if (able.length === 0)
        return `no signer in agent.yaml can sign with ${key.algorithm}: set \`algorithms\` of this agent in keyturn.yaml to what its signers can do`;
      for (const { local, signer } of able) {
        try {
          const test = await signer.selfTest(record.domain, stream, selector);
          if (test.kind === 'failed') return `${local.name}: ${test.message}`;
        } catch (error) {
          return `${local.name}: ${errorText(error)}`;
        }
      }
      return null;
    },
    async inspect(record) {
      let worst: LocalInspection = { kind: 'as-delivered' };
      for (const { local, signer, keyring } of partsOf(record)) {
        if (signer.inspect === undefined) continue;
        const found = await signer.inspect(keyring).catch((error: unknown) => {
          log.debug('signer-not-inspected', { domain: record.domain, signer: local.name, error: errorText(error) });
          return { kind: 'unknown' } as const;
        });
        if (found.kind === 'changed' && !local.restores) {
          local.drifted.add(record.domain);
          worst = { kind: 'changed', message: `${local.name}: ${found.message}` };
        } else if (found.kind === 'changed' || found.kind === 'lost') {
          if (worst.kind !== 'changed') worst = { kind: 'lost', message: `${local.name}: ${found.message}` };
        } else if (found.kind === 'unknown' && worst.kind === 'as-delivered')
          worst = found.kind === 'unknown' ? { kind: 'unknown' } : worst;
        if (found.kind === 'as-delivered') local.drifted.delete(record.domain);
      }
      return worst;
    },
    seen: () => locals.flatMap(({ signer }) => signer?.takeSignaturesSeen?.() ?? []),
    async close() {
      for (const close of closers.toReversed()) await close();
    },
  };
}

/** The keyring as one signer is to have it; null where the domain is not its business. */
export function keyringFor(record: FeedKeyring, { binding }: Pick<Local, 'binding'>): Keyring | null {
  const { domain, generation, mustSign, others, overwrite } = record;
  const names = boundStreams(binding, domain, Object.keys(record.streams));
  if (names.length === 0) return null;
  const algorithms = binding.abilities?.algorithms ?? ['rsa', 'ed25519'];
  const streams = names.map((stream) => {
    const keys = (record.streams[stream] ?? []).filter(({ algorithm }) =>
      algorithms.includes(algorithm === 'rsa-sha256' ? 'rsa' : 'ed25519'),
    );
    return [stream, keys.map(toKey)] as const;
  });
  return {
    domain,
    generation,
    mustSign,
    streams: Object.fromEntries(streams),
    ...(others === undefined ? {} : { others }),
    overwrite: overwrite === true,
  };
}

/** Parsed at its first use: most domains send nothing for long. */
function toKey({ selector, algorithm, entered, pkcs8 }: FeedKeyring['streams'][string][number]): KeyringKey {
  let parsed: KeyObject | null = null;
  return {
    selector,
    algorithm,
    entered,
    get privateKey() {
      parsed ??= createPrivateKey({
        key: Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.byteLength),
        format: 'der',
        type: 'pkcs8',
      });
      return parsed;
    },
  };
}

/** A stream with keys that no signer here signs. */
function unsignedStream({ domain, streams }: FeedKeyring, locals: readonly Local[]): string | null {
  const lone = Object.keys(streams).find((stream) =>
    locals.every(({ binding }) => boundStreams(binding, domain, [stream]).length === 0),
  );
  return lone ?? null;
}

function together(wanted: number, deliveries: readonly LocalDelivery[]): LocalDelivery {
  const bad = deliveries.find(({ kind }) => kind === 'drifted') ?? deliveries.find(({ kind }) => kind === 'failed');
  if (bad !== undefined) return bad;
  const generations = deliveries.map((each) => (each.kind === 'acknowledged' ? each.generation : 0));
  // One that is ahead signs by what this control plane never made: it has to hear of it, and to go on from there.
  const furthest = Math.max(wanted, ...generations);
  const generation = furthest > wanted ? furthest : Math.min(wanted, ...generations);
  return generation === wanted || generation > wanted
    ? { kind: 'acknowledged', generation }
    : { kind: 'failed', message: `a signer still has the generation ${generation}, and ${wanted} is wanted` };
}

/** What all signers of the configuration can do together. */
export function abilitiesOf({ milter, signers }: AgentConfig): SignerAbilities {
  const each = signers.map((settings) => signerKinds.find(({ kind }) => kind === settings.kind)?.abilities(settings));
  const all = milter === undefined ? each : [undefined, ...each];
  const algorithms = (['rsa', 'ed25519'] as const).filter((algorithm) =>
    all.some((abilities) => abilities?.algorithms.includes(algorithm) ?? true),
  );
  const limits = all.flatMap((abilities) => abilities?.atMost ?? []);
  return { algorithms, atMost: limits.length === 0 ? null : Math.min(...limits) };
}

/** The world as it is: DNS, publishers, signers and key pairs, put together from the configuration. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Prover } from '../dns/lookup/prove.ts';
import type { Clock } from '../lifecycle/clock.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import type { Binding } from './bindings.ts';
import { type LoadedConfig, pathBeside } from './config/load.ts';
import type { DnsRole } from './dns-role.ts';
import { createKeyPairSource } from './key-pairs.ts';
import { createConfiguredProver } from './prover.ts';
import { choosePublishers } from './publishers.ts';
import { recordText } from './records.ts';
import type { World } from './world.ts';

/** Reads files that the configuration names; relative paths are beside it. */
export function besideConfig(file: string | null): (path: string) => string {
  return (path) => readFileSync(pathBeside(file, path), 'utf8');
}

/** @throws ConfigError for publishers that cannot work. */
export function createWorld(
  { config, file }: LoadedConfig,
  {
    store,
    clock,
    signers,
    bindings,
    dns,
    restored = false,
  }: {
    store: Store;
    clock: Clock;
    signers: ReadonlyMap<string, Signer>;
    bindings: readonly Binding[];
    dns: DnsRole | null;
    /** The store was put back from a backup once: see {@link World.standsAt}. */
    restored?: boolean;
  },
): World {
  const prover = createConfiguredProver(config, { clock, builtin: dns?.endpoints ?? [] });
  const publisherOf = choosePublishers({
    config,
    store,
    clock,
    zoneChanged: async (change) => dns?.changed(change),
    readFile: besideConfig(file),
    findApex: async (name, signal) => {
      const found = await prover.findApex(name, signal);
      return found.kind === 'found' ? found.apex : null;
    },
  });
  const keyPairs = createKeyPairSource(store, clock, config.reconcile.keysAhead);
  return {
    publisherOf,
    prove: (name, expected, signal) => prover.prove(name, expected, { signal }),
    signers,
    bindings,
    keyPair: keyPairs.take,
    newKeyId: randomUUID,
    recordText,
    ...(restored ? { standsAt: (name, signal) => standingAt(prover, name, signal) } : {}),
  };
}

/** What the name's servers serve there and not (as a wildcard does) at any name beside it. */
async function standingAt(prover: Prover, name: string, signal: AbortSignal): Promise<string | null> {
  const beside = `keyturn-${randomUUID().slice(0, 8)}${name.slice(name.indexOf('.'))}`;
  const [here, there] = await Promise.all([name, beside].map((each) => prover.look(each, { signal })));
  const values = (look: typeof here) => new Set(look?.answers.flatMap((answer) => answer.values));
  const everywhere = values(there);
  return [...values(here)].find((value) => !everywhere.has(value)) ?? null;
}

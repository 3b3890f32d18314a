/** The world as it is: DNS, publishers, signers and key pairs, put together from the configuration. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createProver } from '../dns/lookup/prove.ts';
import type { Clock } from '../lifecycle/clock.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import type { Binding } from './bindings.ts';
import { type LoadedConfig, pathBeside } from './config/load.ts';
import type { DnsRole } from './dns-role.ts';
import { createKeyPairSource } from './key-pairs.ts';
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
  }: {
    store: Store;
    clock: Clock;
    signers: ReadonlyMap<string, Signer>;
    bindings: readonly Binding[];
    dns: DnsRole | null;
  },
): World {
  const { mode, resolvers, zones, builtin, timeout } = config.proof;
  const own = builtin && dns !== null ? config.dns.zones.map(({ apex }) => ({ apex, servers: dns.endpoints })) : [];
  const prover = createProver({
    mode,
    ...(resolvers.length > 0 ? { resolvers } : {}),
    zones: [...zones, ...own],
    timeoutMs: timeout,
    clock,
  });
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
  };
}

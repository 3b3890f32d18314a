/** The prover that the configuration asks for: for the server, and for commands that look at DNS as the server would. */
import { createProver, type Prover } from '../dns/lookup/prove.ts';
import type { ExplicitZone } from '../dns/lookup/zone-finder.ts';
import type { Clock } from '../lifecycle/clock.ts';
import type { Config } from './config/schema.ts';

/** `builtin`: where this process's own DNS server listens, for zones that are to be asked there. */
export function createConfiguredProver(
  { proof, dns }: Pick<Config, 'proof' | 'dns'>,
  { clock, builtin }: { readonly clock: Clock; readonly builtin: readonly string[] },
): Prover {
  const { mode, resolvers, zones, timeout } = proof;
  const own: ExplicitZone[] =
    proof.builtin && builtin.length > 0 ? dns.zones.map(({ apex }) => ({ apex, servers: builtin })) : [];
  return createProver({
    mode,
    ...(resolvers.length > 0 ? { resolvers } : {}),
    zones: [...zones, ...own],
    timeoutMs: timeout,
    clock,
  });
}

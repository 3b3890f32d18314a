/** DNS updates signed with TSIG (RFC 2136, RFC 8945): for BIND, Knot and whatever else takes them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../lifecycle/clock.ts';
import { type Endpoint, endpointText } from '../lookup/endpoint.ts';
import { isSubdomain } from '../wire/name.ts';
import { TransportError } from '../wire/transport.ts';
import type { TsigKey } from '../wire/tsig.ts';
import { beyondCapabilities, publisherCapabilities } from './capabilities.ts';
import type { Publisher, PublishResult, RecordChange } from './publisher.ts';
import { doing, type UpdateContext, type UpdateOutcome, updateFailure, updateOutcome } from './rfc2136-answers.ts';
import { decide, isDesired, type Seen, sameSeen, seenValues } from './rfc2136-change.ts';
import { createServerLinks, type ServerLinks } from './rfc2136-link.ts';
import { type Asked, readRecords, zoneAt } from './rfc2136-read.ts';

export interface Rfc2136Options {
  readonly name?: string;
  /** Primaries, tried in order; host names are resolved by `resolveHost`. */
  readonly servers: readonly Endpoint[];
  /** The zone to update. Without it: what `findApex` says, or else what the server says of the name. */
  readonly zone?: string;
  readonly key: TsigKey;
  /** Milliseconds for each exchange; 5,000 where left out. */
  readonly timeoutMs?: number;
}

export interface Rfc2136Dependencies {
  readonly clock: Clock;
  /** The apex of the zone that a name lies in; null where there is none. May throw. */
  readonly findApex?: (name: string, signal?: AbortSignal) => Promise<string | null>;
  /** The addresses of a host name. May throw. */
  readonly resolveHost: (host: string) => Promise<readonly string[]>;
}

/** One address of one configured server. */
interface Target extends Endpoint {
  readonly server: string;
}

/** Between looks at what was written: some servers answer the next query from a cache. Milliseconds. */
const readBackDelays = [100, 400, 1000];
/** How often a change that was overtaken by another is decided anew. */
const rounds = 4;

/**
 * A publisher that reads the name at the server, sends an update whose prerequisites make it a compare-and-set, and
 * reads back over TCP from the same server. Connections are kept for the next request, and changes of one zone that come together share a message. The next server is asked only when one could not be reached or failed;
 * a refusal or a conflict is an answer.
 */
export function createRfc2136Publisher(options: Rfc2136Options, dependencies: Rfc2136Dependencies): Publisher {
  const capabilities = publisherCapabilities.rfc2136;
  const { key, timeoutMs = 5000 } = options;
  const links = createServerLinks({ key, timeoutMs, now: () => seconds(dependencies.clock) });
  return {
    name: options.name ?? 'rfc2136',
    capabilities,
    async apply(change, signal) {
      const beyond = beyondCapabilities(capabilities, change.desired);
      if (beyond !== null) return { kind: 'refused', message: `Publishing ${change.name}: ${beyond}.` };
      if (options.zone !== undefined && !isSubdomain(change.name, options.zone)) {
        const message = `Publishing ${change.name}: it does not lie in ${options.zone}, the zone of this publisher.`;
        return { kind: 'refused', message };
      }
      const failures: string[] = [];
      for (const server of options.servers) {
        for await (const target of addresses(server, dependencies)) {
          if (typeof target === 'string') {
            failures.push(target);
            continue;
          }
          const result = await applyAt(target, change, options, dependencies, links, signal);
          if (result.kind !== 'failed') return result;
          failures.push(result.message);
          if (signal?.aborted) return { kind: 'failed', message: failures.join(' ') };
        }
      }
      return { kind: 'failed', message: failures.join(' ') };
    },
    async close() {
      links.close();
    },
  };
}

async function* addresses(
  server: Endpoint,
  { resolveHost }: Rfc2136Dependencies,
): AsyncGenerator<Target | string, void, undefined> {
  const text = endpointText(server);
  try {
    for (const address of await resolveHost(server.address)) {
      const resolved = { address, port: server.port };
      yield { ...resolved, server: address === server.address ? text : `${text} (${endpointText(resolved)})` };
    }
  } catch (error) {
    yield `The address of the server ${text} could not be found: ${errorText(error)}.`;
  }
}

async function applyAt(
  target: Target,
  change: RecordChange,
  options: Rfc2136Options,
  dependencies: Rfc2136Dependencies,
  links: ServerLinks,
  signal: AbortSignal | undefined,
): Promise<PublishResult> {
  const link = links.to(target);
  const asked: Asked = { ...target, query: link.query, ...(signal === undefined ? {} : { signal }) };
  const found = await findZone(asked, change.name, options, dependencies);
  if (found.kind !== 'zone') return found;
  const { zone } = found;
  const { clock } = dependencies;
  const { key } = options;
  const context: UpdateContext = { name: change.name, zone, server: target.server, key, now: seconds(clock) };
  let seen = await readRecords(asked, change.name);
  for (let round = 0; round < rounds; round++) {
    if (seen.kind !== 'seen') return seen;
    const decision = decide(zone, change, seen.seen);
    if (decision.kind === 'done') return { kind: 'done' };

    const outcome = await send(() => link.update(zone, change.name, decision.message, signal), context);
    if (outcome.kind === 'refused' || outcome.kind === 'failed') return outcome;
    if (outcome.kind === 'unsure') {
      seen = await readRecords(asked, change.name);
      continue;
    }
    if (outcome.kind === 'again' && decision.expectsNothing) return conflict(context, seen.seen);
    // Nothing of ours stands there: what is seen comes from a wildcard.
    if (outcome.kind === 'accepted' && decision.expectsNothing && change.desired === null) return { kind: 'done' };
    if (outcome.kind === 'again') {
      seen = await readRecords(asked, change.name);
      continue;
    }
    const before = seen.seen;
    seen = await readBack(asked, change, before);
    if (seen.kind === 'seen' && sameSeen(seen.seen, before)) {
      return stillShown(context, seen.seen, 'was accepted, but changed nothing');
    }
  }
  if (seen.kind !== 'seen') return seen;
  if (isDesired(seen.seen, change)) return { kind: 'done' };
  return stillShown(context, seen.seen, `was overtaken by other changes ${rounds} times`);
}

function stillShown(context: UpdateContext, seen: Seen, what: string): PublishResult {
  const values = seenValues(seen).map((value) => `"${value}"`);
  const ttl = seen.txt[0] === undefined ? '' : ` with TTL ${seen.txt[0].ttl}`;
  const message =
    `${doing(context)} ${what}: the server still shows ${values.join(', ') || 'nothing'}${ttl}. ` +
    'Look whether something else writes or caches there.';
  return { kind: 'failed', message };
}

type Zone = { readonly kind: 'zone'; readonly zone: string };

async function findZone(
  asked: Asked,
  name: string,
  { zone }: Rfc2136Options,
  { findApex }: Rfc2136Dependencies,
): Promise<Zone | Extract<PublishResult, { readonly kind: 'refused' | 'failed' }>> {
  if (zone !== undefined) return { kind: 'zone', zone };
  if (findApex === undefined) return zoneAt(asked, name);
  try {
    const apex = await findApex(name, asked.signal);
    if (apex !== null) return { kind: 'zone', zone: apex };
    return {
      kind: 'failed',
      message: `Publishing ${name}: no zone was found that it lies in. Set the publisher's zone.`,
    };
  } catch (error) {
    return { kind: 'failed', message: `Publishing ${name}: looking for its zone failed: ${errorText(error)}.` };
  }
}

/** `unsure`: the connection had been kept, and was closed before the answer: look what stands there now, and decide anew. */
async function send(
  exchange: () => Promise<Parameters<typeof updateOutcome>[0]>,
  context: UpdateContext,
): Promise<UpdateOutcome | { readonly kind: 'unsure' }> {
  try {
    return updateOutcome(await exchange(), context);
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    const { reused = false } = error.details;
    return reused && error.code === 'closed' ? { kind: 'unsure' } : updateFailure(error, context);
  }
}

/** Looks until something else is seen than before, or patience ends; answers the last look. */
async function readBack(asked: Asked, change: RecordChange, before: Seen): ReturnType<typeof readRecords> {
  let last = await readRecords(asked, change.name);
  for (const delay of readBackDelays) {
    if (last.kind !== 'seen' || !sameSeen(last.seen, before) || asked.signal?.aborted) break;
    await sleep(delay, undefined, asked.signal === undefined ? {} : { signal: asked.signal }).catch(() => undefined);
    last = await readRecords(asked, change.name);
  }
  return last;
}

function conflict(context: UpdateContext, seen: Seen): PublishResult {
  const found = seenValues(seen);
  const shown = found.map((value) => `"${value}"`).join(', ');
  const message =
    `${doing(context)} was not made: ${shown} stands there, which is not ours, and was left alone. ` +
    'Remove it if nobody needs it, or use another selector.';
  return { kind: 'conflict', found, message };
}

function seconds(clock: Clock): number {
  return Math.floor(clock.now() / 1000);
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What every authoritative server says about a name: zones, zone cuts, CNAMEs to other zones, each server by itself. */
import { isIPv6 } from 'node:net';
import type { ResourceRecord } from '../wire/message.ts';
import { txtValues } from '../wire/message.ts';
import { isSubdomain, nameKey } from '../wire/name.ts';
import { type Asked, ask, rcodeDetail } from './ask.ts';
import { LONGEST_CHAIN, negativeTtl, type Referral, readAnswer, readReferral } from './interpret.ts';
import { type ServerAddress, serverText, type ZoneServers } from './name-servers.ts';
import type { TtlCache } from './ttl-cache.ts';
import type { Located, ZoneFinder } from './zone-finder.ts';

export type Outcome =
  /** Joined TXT values; none: `detail` says whether it was NXDOMAIN or NODATA. TTL in seconds. */
  | {
      readonly kind: 'values';
      readonly values: readonly string[];
      readonly ttl: number | null;
      readonly detail?: string;
    }
  /** A CNAME that leads out of the zone: what counts is what stands there. */
  | { readonly kind: 'alias'; readonly target: string; readonly survey: Survey }
  | { readonly kind: 'loop'; readonly detail: string }
  /** `noRoute`: this machine has no way to addresses of that family, as far as it can tell. */
  | { readonly kind: 'unreachable'; readonly noRoute: boolean; readonly detail: string };

export interface Observation {
  readonly server: ServerAddress;
  readonly apex: string;
  readonly transport: 'udp' | 'tcp';
  readonly milliseconds: number;
  /** Targets followed, in the zones before as well as in this answer. */
  readonly cnames: readonly string[];
  readonly outcome: Outcome;
  /** Addresses of the same server that this machine cannot reach for want of a route. */
  readonly notCounted: readonly string[];
}

export interface Survey {
  readonly observations: readonly Observation[];
  /** Apexes passed, in order; the record's data lives in the last. */
  readonly apexes: readonly string[];
  /** Seconds: the largest of the zones on the way; null where no SOA was seen. */
  readonly negativeTtl: number | null;
  /** Why there was nobody to ask. */
  readonly failure: Extract<Located, { readonly kind: 'failed' }> | null;
}

export interface SurveyOptions {
  readonly finder: ZoneFinder;
  /** SOA records by apex. */
  readonly soas: TtlCache<ResourceRecord>;
  /** Milliseconds per question. */
  readonly timeoutMs: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** An SOA is believed no longer than this, in milliseconds. */
const SOA_KEPT = 600_000;

/** Asks every authoritative server for the TXT records at a name, whatever zones and CNAMEs lie on the way. */
export function survey(name: string, options: SurveyOptions): Promise<Survey> {
  return surveyName(name, [], options);
}

/** `cnames`: the targets that led here; `name` is the last of them. */
async function surveyName(name: string, cnames: readonly string[], options: SurveyOptions): Promise<Survey> {
  const located = await options.finder.locate(name, options.signal);
  if (located.kind === 'failed') return { observations: [], apexes: [], negativeTtl: null, failure: located };
  return surveyZone(located.zone, name, cnames, options);
}

async function surveyZone(
  zone: ZoneServers,
  name: string,
  cnames: readonly string[],
  options: SurveyOptions,
): Promise<Survey> {
  const { timeoutMs, signal } = options;
  const replies = await Promise.all(
    zone.servers.map(async (server) => ({ server, asked: await ask(server, name, 'TXT', { timeoutMs, signal }) })),
  );
  const readings = replies.map(({ server, asked }) => ({ server, asked, found: read(asked, server, zone, name) }));

  // Each zone and each target beyond is surveyed once, however many servers point there.
  const targets = new Map<string, Promise<Survey>>();
  const cuts = new Map<string, Promise<Survey>>();
  for (const { found } of readings) {
    if (found.kind === 'alias' && !targets.has(found.end) && !passed(name, cnames, found.cnames)) {
      targets.set(found.end, surveyName(found.end, [...cnames, ...found.cnames], options));
    }
    if (found.kind === 'referral' && !cuts.has(found.referral.apex)) {
      cuts.set(found.referral.apex, surveyCut(found.referral, name, cnames, options));
    }
  }
  const beyond = new Map<string, Survey>();
  for (const [target, pending] of targets) beyond.set(target, await pending);
  const below: Survey[] = [];
  for (const pending of cuts.values()) below.push(await pending);

  const own: Observation[] = [];
  let negative: number | null = null;
  for (const { server, asked, found } of readings) {
    if (found.kind === 'referral') continue;
    if ('soa' in found) negative = larger(negative, negativeTtl(found.soa));
    own.push({
      server,
      apex: zone.apex,
      transport: asked.transport,
      milliseconds: asked.milliseconds,
      cnames: [...cnames, ...('cnames' in found ? found.cnames : [])],
      outcome: outcomeOf(found, beyond),
      notCounted: [],
    });
  }
  for (const { host, why } of zone.lost) own.push(lostServer(host, why, zone, cnames));
  const counted = withoutUnroutable(own);
  const silent = counted.filter(({ outcome }) => outcome.kind === 'unreachable').map(({ server }) => server);
  if (silent.length > 0) options.finder.forget(zone.apex, silent);

  const usable = own.filter(({ outcome }) => outcome.kind !== 'unreachable').map(({ server }) => server);
  if (negative === null && usable.length > 0) negative = negativeTtl(await zoneSoa(zone.apex, usable, options));
  const further = [...beyond.values(), ...below];
  for (const { negativeTtl: ttl } of further) negative = larger(negative, ttl);
  return {
    observations: [...counted, ...further.flatMap(({ observations }) => observations)],
    apexes: [zone.apex, ...further.flatMap(({ apexes }) => apexes)],
    negativeTtl: negative,
    failure: below.find(({ failure }) => failure !== null)?.failure ?? null,
  };
}

async function surveyCut(
  referral: Referral,
  name: string,
  cnames: readonly string[],
  options: SurveyOptions,
): Promise<Survey> {
  const located = await options.finder.follow(referral, options.signal);
  if (located.kind === 'failed') return { observations: [], apexes: [], negativeTtl: null, failure: located };
  return surveyZone(located.zone, name, cnames, options);
}

type Found =
  | {
      readonly kind: 'values';
      readonly records: readonly ResourceRecord[];
      readonly cnames: readonly string[];
      readonly soa: ResourceRecord | null;
      readonly detail?: string;
    }
  | { readonly kind: 'alias'; readonly end: string; readonly cnames: readonly string[] }
  | { readonly kind: 'loop'; readonly cnames: readonly string[] }
  | { readonly kind: 'referral'; readonly referral: Referral }
  | { readonly kind: 'unreachable'; readonly noRoute: boolean; readonly detail: string };

function read(asked: Asked, server: ServerAddress, zone: ZoneServers, name: string): Found {
  if (asked.kind === 'failure') {
    return { kind: 'unreachable', noRoute: asked.code === 'unreachable', detail: asked.message };
  }
  const { message } = asked;
  const referral = readReferral(message, zone.apex, name);
  if (referral !== null) return { kind: 'referral', referral };
  if (message.rcode !== 'NOERROR' && message.rcode !== 'NXDOMAIN') {
    return { kind: 'unreachable', noRoute: false, detail: rcodeDetail(server, message) };
  }
  if (!message.flags.aa) {
    const detail = `${serverText(server)} answers without authority (no AA): it does not serve ${zone.apex}`;
    return { kind: 'unreachable', noRoute: false, detail };
  }
  const { records, cnames, end, loop, soa } = readAnswer(message, name, 'TXT');
  if (loop) return { kind: 'loop', cnames };
  // What a server adds about another zone is hearsay, and what it says about its own is final only with data or an SOA.
  const ownZone =
    isSubdomain(end, zone.apex) && (records.length > 0 || (soa !== null && nameKey(soa.name) === zone.apex));
  if (cnames.length > 0 && !ownZone) return { kind: 'alias', end, cnames };
  if (records.length > 0) return { kind: 'values', records, cnames, soa };
  const detail = message.rcode === 'NXDOMAIN' ? 'no such name (NXDOMAIN)' : 'the name has no TXT record (NODATA)';
  return { kind: 'values', records, cnames, soa, detail };
}

function outcomeOf(found: Exclude<Found, { kind: 'referral' }>, beyond: ReadonlyMap<string, Survey>): Outcome {
  switch (found.kind) {
    case 'values': {
      const ttl = found.records[0]?.ttl ?? null;
      const { detail } = found;
      return { kind: 'values', values: txtValues(found.records), ttl, ...(detail === undefined ? {} : { detail }) };
    }
    case 'alias': {
      const there = beyond.get(found.end);
      if (there === undefined) return loopOf(found.cnames);
      return { kind: 'alias', target: found.end, survey: there };
    }
    case 'loop':
      return loopOf(found.cnames);
    case 'unreachable':
      return found;
  }
}

function loopOf(cnames: readonly string[]): Outcome {
  return { kind: 'loop', detail: `the CNAMEs lead in a circle, or too far: ${cnames.join(' → ')}` };
}

/** Whether a chain comes back to a name that it has passed, or has grown too long. */
function passed(name: string, before: readonly string[], next: readonly string[]): boolean {
  if (before.length + next.length > LONGEST_CHAIN) return true;
  const seen = new Set([name, ...before].map(nameKey));
  return next.some((target) => seen.has(nameKey(target)));
}

/**
 * Where every address of a family failed for want of a route, the family says nothing about the servers: those that were
 * reached by their other addresses are judged by these.
 */
export function withoutUnroutable(observations: readonly Observation[]): readonly Observation[] {
  const stranded = (v6: boolean): boolean =>
    observations
      .filter(({ server }) => server.address !== '' && isIPv6(server.address) === v6)
      .every(({ outcome }) => outcome.kind === 'unreachable' && outcome.noRoute);
  const reached = new Set(
    observations.filter(({ outcome }) => outcome.kind !== 'unreachable').map(({ server }) => server.host),
  );
  const dropped = observations.filter(
    ({ server, outcome }) =>
      outcome.kind === 'unreachable' &&
      outcome.noRoute &&
      server.host !== null &&
      reached.has(server.host) &&
      stranded(isIPv6(server.address)),
  );
  return observations
    .filter((observation) => !dropped.includes(observation))
    .map((observation) => {
      const others = dropped.filter(({ server }) => server.host === observation.server.host);
      return others.length === 0
        ? observation
        : { ...observation, notCounted: others.map(({ server }) => server.address) };
    });
}

function lostServer(host: string, why: string, zone: ZoneServers, cnames: readonly string[]): Observation {
  return {
    server: { host, address: '', port: 53 },
    apex: zone.apex,
    transport: 'udp',
    milliseconds: 0,
    cnames,
    outcome: { kind: 'unreachable', noRoute: false, detail: why },
    notCounted: [],
  };
}

async function zoneSoa(
  apex: string,
  servers: readonly ServerAddress[],
  options: SurveyOptions,
): Promise<ResourceRecord | null> {
  const { soas, now, timeoutMs, signal } = options;
  const known = soas.get(apex, now());
  if (known !== undefined) return known;
  for (const server of servers) {
    const asked = await ask(server, apex, 'SOA', { timeoutMs, signal });
    if (asked.kind !== 'answer' || !asked.message.flags.aa) continue;
    const soa = readAnswer(asked.message, apex, 'SOA').records[0];
    if (soa === undefined) continue;
    soas.set(apex, soa, now(), Math.min(soa.ttl * 1000, SOA_KEPT));
    return soa;
  }
  return null;
}

function larger(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.max(a, b);
}

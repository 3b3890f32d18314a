/**
 * The built-in DNS server's role: zones of the configuration, filled from the store, whoever changed it. The store's serial is what
 * is served, so every instance on one store serves the same zone under the same serial.
 */

import { addSerial, isNewer, startSerial } from '../dns/serve/serial.ts';
import { type AuthoritativeServer, createAuthoritativeServer, type TransferRules } from '../dns/serve/server.ts';
import type { RecordData } from '../dns/serve/zone.ts';
import { createZoneStore, type NewZone, type ZoneStore } from '../dns/serve/zone-store.ts';
import type { TsigKey } from '../dns/wire/tsig.ts';
import type { Clock } from '../lifecycle/clock.ts';
import { splitAddress } from '../settings/values.ts';
import type { Store } from '../store/store.ts';
import type { StoredZone } from '../store/zones.ts';
import type { Config } from './config/schema.ts';
import { errorText, type Log } from './log.ts';

export interface DnsRole {
  /** `address:port`, with the ports that were really taken. */
  readonly endpoints: readonly string[];
  /** Takes over what has changed in the store. */
  refresh(): Promise<void>;
  /** Takes over one change that this process has just stored, without reading the zone again. */
  changed(change: ZoneChange): Promise<void>;
  stop(): Promise<void>;
}

/** One change of the store's zones, and the serial that it got. */
export interface ZoneChange {
  readonly apex: string;
  readonly name: string;
  readonly desired: { readonly value: string; readonly ttl: number } | null;
  readonly serial: number;
}

export interface DnsRoleContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly keys: readonly TsigKey[];
}

/** Starts to serve the configured zones; resolves when every address is bound. @throws Error naming the address that could not be bound. */
export async function startDnsRole(
  config: Config['dns'],
  { store, clock, log, keys }: DnsRoleContext,
): Promise<DnsRole> {
  const zones = createZoneStore();
  const served = new Map<string, ServedZone>();
  for (const zone of config.zones) {
    await store.zones.ensure(zone.apex, startSerial(null, clock.now()));
    await load(zone, zones, store, served);
  }
  // One at a time: what was read before another change must not be served after it.
  let last: Promise<void> = Promise.resolve();
  const inTurn = (task: () => Promise<void>): Promise<void> => {
    const turn = last.then(task);
    last = turn.catch(() => undefined);
    return turn;
  };
  const server = await createAuthoritativeServer({
    zones,
    listen: config.listen.map(addressOf),
    keys,
    transfers: (apex) =>
      transferRules(
        config.zones.find((zone) => zone.apex === apex),
        keys,
      ),
    rateLimit: config.rateLimit === 0 ? false : { responsesPerSecond: config.rateLimit },
    now: () => clock.now(),
    onNotify: (event) => {
      const fields = { zone: event.apex, serial: event.serial, secondary: event.secondary.address };
      if (event.kind === 'notified') log.info('secondary-notified', fields);
      else log.warn('secondary-not-notified', { ...fields, error: event.message });
    },
    onError: (error) => log.error('dns-error', { error: errorText(error) }),
  });

  const refresh = async () => {
    const serials = await store.zones.serials();
    for (const zone of config.zones) {
      const serial = serials.get(zone.apex);
      if (serial !== undefined && serial !== served.get(zone.apex)?.serial) await load(zone, zones, store, served);
    }
  };
  const changed = async ({ apex, name, desired, serial }: ZoneChange) => {
    const zone = served.get(apex);
    if (zone === undefined || addSerial(zone.serial) !== serial) return refresh();
    zones.set(name, desired, { serial });
    zone.serial = serial;
    if (desired === null) zone.records.delete(name);
    else zone.records.set(name, desired);
  };
  return {
    endpoints: endpointsOf(server),
    refresh: () => inTurn(refresh),
    changed: (change) => inTurn(() => changed(change)),
    stop: () => server.close(),
  };
}

/** What is served of the store's records. */
interface ServedZone {
  serial: number;
  readonly records: Map<string, { readonly value: string; readonly ttl: number }>;
}

/**
 * Brings the served zone to what the store holds. A change of one name is served as such, so that secondaries can fetch just that; anything
 * else (the start, several changes at once, a store that was restored and is older than what was served) replaces the zone.
 */
async function load(
  config: Config['dns']['zones'][number],
  zones: ZoneStore,
  store: Store,
  served: Map<string, ServedZone>,
): Promise<void> {
  const stored = await store.zones.zone(config.apex);
  if (stored === null) return;
  const before = served.get(config.apex);
  const records = new Map(stored.records.map(({ name, value, ttl }) => [name, { value, ttl }]));
  const names = before !== undefined && isNewer(stored.serial, before.serial) ? differing(before.records, records) : [];
  const [only] = names;
  if (names.length === 1 && only !== undefined) zones.set(only, records.get(only) ?? null, { serial: stored.serial });
  else zones.addZone(wholeZone(config, stored));
  served.set(config.apex, { serial: stored.serial, records });
}

function differing(before: ServedZone['records'], after: ServedZone['records']): string[] {
  const same = (name: string) => {
    const [old, now] = [before.get(name), after.get(name)];
    return old?.value === now?.value && old?.ttl === now?.ttl;
  };
  return [...new Set([...before.keys(), ...after.keys()])].filter((name) => !same(name));
}

function wholeZone(config: Config['dns']['zones'][number], stored: StoredZone): NewZone {
  const addresses = Object.entries(config.addresses).map(([name, list]): [string, RecordData[]] => [
    name,
    list.map((address) => ({ type: address.includes(':') ? 'AAAA' : 'A', address, ttl: seconds(config.ttl) })),
  ]);
  return {
    apex: config.apex,
    nameServers: config.nameservers,
    ...(config.hostmaster === undefined ? {} : { hostmaster: config.hostmaster }),
    ttl: seconds(config.ttl),
    negativeTtl: seconds(config.negativeTtl),
    serial: stored.serial,
    records: [
      ...addresses,
      ...stored.records.map(({ name, value, ttl }): [string, { value: string; ttl: number }] => [name, { value, ttl }]),
    ],
  };
}

function transferRules(zone: Config['dns']['zones'][number] | undefined, keys: readonly TsigKey[]): TransferRules {
  if (zone === undefined) return {};
  const secondaries = zone.secondaries.map(({ address, key: name }) => {
    const key = keys.find((candidate) => candidate.name === name);
    return { ...addressOf(address), ...(key === undefined ? {} : { key }) };
  });
  return { secondaries, networks: zone.allowTransfer };
}

function addressOf(text: string): { address: string; port: number } {
  const parsed = splitAddress(text, 53);
  if (parsed === null) throw new Error(`"${text}" is not an address`);
  return { address: parsed.host, port: parsed.port };
}

function endpointsOf(server: AuthoritativeServer): string[] {
  return server.endpoints.map(({ address, port }) =>
    address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`,
  );
}

function seconds(milliseconds: number): number {
  return Math.max(0, Math.round(milliseconds / 1000));
}

/** Which publisher writes which domain's records, from the configuration. */
import { createPublisher, type PublisherDependencies } from '../dns/publish/create.ts';
import type { Publisher } from '../dns/publish/publisher.ts';
import type { Store } from '../store/store.ts';
import { ConfigError } from './config/load.ts';
import type { Config } from './config/schema.ts';
import type { ZoneChange } from './dns-role.ts';
import { errorText } from './log.ts';

export interface PublisherContext extends Omit<PublisherDependencies, 'records'> {
  readonly config: Config;
  readonly store: Store;
  /** Called after each change of a built-in zone, so that a server in this process serves it before the change is called done. */
  readonly zoneChanged: (change: ZoneChange) => Promise<void>;
}

/**
 * The longest zone that contains the domain decides. Zones of the built-in server are its own unless a publisher claims them; a publisher
 * without zones takes whatever no other one does, and where there is none, a person is asked to set the records.
 *
 * @throws ConfigError for settings that cannot work.
 */
export function choosePublishers({
  config,
  store,
  zoneChanged,
  ...dependencies
}: PublisherContext): (domain: string) => Publisher {
  const records: PublisherDependencies['records'] = {
    apexes: async () => (await store.zones.serials()).keys(),
    set: async (change) => {
      const result = await store.zones.set(change);
      if (result.kind === 'done' && result.changed) await zoneChanged({ ...change, serial: result.serial });
      return result;
    },
  };
  const create = (settings: Parameters<typeof createPublisher>[0]): Publisher => {
    try {
      return createPublisher(settings, { ...dependencies, records });
    } catch (error) {
      throw new ConfigError([`the publisher ${settings.name} cannot be used: ${errorText(error)}`]);
    }
  };
  const byZone = new Map<string, Publisher>();
  let otherwise: Publisher | null = null;
  if (config.dns.zones.length > 0) {
    const builtin = create({ kind: 'builtin', name: 'builtin' });
    for (const { apex } of config.dns.zones) byZone.set(apex, builtin);
  }
  for (const { zones, ...settings } of config.publishers) {
    const publisher = create(settings);
    for (const zone of zones) byZone.set(zone, publisher);
    if (zones.length === 0) otherwise ??= publisher;
  }
  const manual = create({ kind: 'manual', name: 'manual' });
  return (domain) => {
    for (const zone of selfAndParents(domain)) {
      const publisher = byZone.get(zone);
      if (publisher !== undefined) return publisher;
    }
    return otherwise ?? manual;
  };
}

function* selfAndParents(domain: string): Generator<string> {
  let name = domain;
  while (name !== '') {
    yield name;
    const dot = name.indexOf('.');
    name = dot < 0 ? '' : name.slice(dot + 1);
  }
}

/** Which publisher writes which domain's records, from the configuration. */
import { createPublisher, type PublisherDependencies } from '../dns/publish/create.ts';
import type { Publisher } from '../dns/publish/publisher.ts';
import { type AliasLines, aliasLines, behindAliases } from '../dns/publish/target.ts';
import type { Store } from '../store/store.ts';
import { ConfigError } from './config/load.ts';
import type { Config, PublisherConfig } from './config/schema.ts';
import type { ZoneChange } from './dns-role.ts';
import { errorText } from './log.ts';

export interface PublisherContext extends Omit<PublisherDependencies, 'records'> {
  readonly config: Config;
  readonly store: Store;
  /** Called after each change of a built-in zone, so that a server in this process serves it before the change is called done. */
  readonly zoneChanged: (change: ZoneChange) => Promise<void>;
}

/** The built-in server's own zones, and what nobody claims, have publishers that no setting names. */
const implied = {
  builtin: { kind: 'builtin', name: 'builtin', zones: [] },
  manual: { kind: 'manual', name: 'manual', zones: [] },
} as const satisfies Record<string, PublisherConfig>;

/**
 * Whose settings hold for a domain. The longest zone that contains it decides, a zone of its keys alone (`_domainkey.D`) before the
 * domain's own. Zones of the built-in server are its own unless a publisher claims them; a publisher without zones takes whatever no
 * other one does, and where there is none, a person is asked to set the records.
 */
function chooseSettings({ dns, publishers }: Config): (domain: string) => PublisherConfig {
  const byZone = new Map<string, PublisherConfig>(dns.zones.map(({ apex }) => [apex, implied.builtin]));
  for (const settings of publishers) for (const zone of settings.zones) byZone.set(zone, settings);
  const otherwise = publishers.find(({ zones }) => zones.length === 0) ?? implied.manual;
  return (domain) => {
    for (const zone of selfAndParents(`_domainkey.${domain}`)) {
      const settings = byZone.get(zone);
      if (settings !== undefined) return settings;
    }
    return otherwise;
  };
}

/** What the domain's own DNS must hold, once, where its keys are written behind aliases; null where they are not. */
export function aliasesOf(config: Config, domain: string, selectors: readonly string[]): AliasLines | null {
  const settings = chooseSettings(config)(domain);
  const target = settings.kind === 'manual' ? undefined : settings.target;
  return target === undefined ? null : aliasLines(domain, target, selectors);
}

/**
 * Who writes each domain's records.
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
  const create = (settings: PublisherConfig): Publisher => {
    try {
      const publisher = createPublisher(settings, { ...dependencies, records });
      const target = settings.kind === 'manual' ? undefined : settings.target;
      return target === undefined ? publisher : behindAliases(publisher, target);
    } catch (error) {
      throw new ConfigError([`the publisher ${settings.name} cannot be used: ${errorText(error)}`]);
    }
  };
  const all = [...Object.values(implied), ...config.publishers];
  const publishers = new Map(all.map((settings) => [settings, create(settings)]));
  const settingsOf = chooseSettings(config);
  const manual = create(implied.manual);
  return (domain) => publishers.get(settingsOf(domain)) ?? manual;
}

function* selfAndParents(domain: string): Generator<string> {
  let name = domain;
  while (name !== '') {
    yield name;
    const dot = name.indexOf('.');
    name = dot < 0 ? '' : name.slice(dot + 1);
  }
}

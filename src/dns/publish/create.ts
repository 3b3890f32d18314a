/** From settings to a publisher. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Clock } from '../../lifecycle/clock.ts';
import { parseEndpoint } from '../lookup/endpoint.ts';
import { createBuiltinPublisher, type RecordStore } from './builtin.ts';
import { loadTsigKey, type TsigKeySettings } from './config.ts';
import { createManualPublisher } from './manual.ts';
import type { Publisher } from './publisher.ts';
import { createRfc2136Publisher, type Rfc2136Dependencies } from './rfc2136.ts';

/** What `publisherConfig` brings forth, less what only the choice of a publisher needs. */
export type PublisherSettings =
  | { readonly kind: 'builtin'; readonly name: string }
  | { readonly kind: 'manual'; readonly name: string }
  | {
      readonly kind: 'rfc2136';
      readonly name: string;
      readonly servers: readonly string[];
      readonly port?: number | undefined;
      readonly zone?: string | undefined;
      readonly key: TsigKeySettings;
      /** Milliseconds. */
      readonly timeout?: number | undefined;
    };

export interface PublisherDependencies {
  readonly clock: Clock;
  /** Needed by `builtin`. */
  readonly records?: RecordStore;
  readonly findApex?: Rfc2136Dependencies['findApex'];
  readonly resolveHost?: Rfc2136Dependencies['resolveHost'];
  readonly readFile?: (path: string) => string;
}

/** Throws an Error that says what to correct when the settings cannot work: a secret that cannot be read, a missing store. */
export function createPublisher(settings: PublisherSettings, dependencies: PublisherDependencies): Publisher {
  switch (settings.kind) {
    case 'manual':
      return createManualPublisher(settings.name);
    case 'builtin':
      if (dependencies.records === undefined) {
        throw new Error(
          `The publisher "${settings.name}" writes for the built-in name server, which is not at hand here.`,
        );
      }
      return createBuiltinPublisher(dependencies.records, settings.name);
    case 'rfc2136': {
      const { name, zone, timeout, port = 53 } = settings;
      const { clock, findApex, resolveHost = addressesOf, readFile } = dependencies;
      return createRfc2136Publisher(
        {
          name,
          servers: settings.servers.map((server) => parseEndpoint(server, port)),
          key: loadTsigKey(settings.key, readFile),
          ...(zone === undefined ? {} : { zone }),
          ...(timeout === undefined ? {} : { timeoutMs: timeout }),
        },
        { clock, resolveHost, ...(findApex === undefined ? {} : { findApex }) },
      );
    }
  }
}

async function addressesOf(host: string): Promise<string[]> {
  if (isIP(host) !== 0) return [host];
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

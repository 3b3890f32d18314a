/** Redis, the keyrings' key and the layout, as the configuration names them. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { readSecret, type SecretSetting } from '../../settings/secret.ts';
import { splitAddress } from '../../settings/values.ts';
import { loadKeyringKeys } from '../../store/keyring/keyring-key.ts';
import { connectRedis, type RedisLink, type RedisSettings } from '../../store/keyring/redis-connection.ts';
import { type RedisLayout, redisLayout } from '../../store/keyring/redis-layout.ts';
import { createRecordSealer, type RecordSealer } from '../../store/keyring/sealed-record.ts';
import type { RedisConfig } from '../config/keyrings-schema.ts';
import { ConfigError, type LoadedConfig, pathBeside } from '../config/load.ts';
import { errorText } from '../log.ts';

export interface KeyringRedis {
  readonly link: RedisLink;
  readonly layout: RedisLayout;
  readonly sealer: RecordSealer;
  readonly host: string;
}

/**
 * Connects in the background. Null where no Redis is configured.
 * @throws ConfigError for a password or certificate that cannot be read, StoreError for a key that cannot be used.
 */
export function openKeyringRedis(
  loaded: LoadedConfig,
  { env, mayMakeKey }: { readonly env: Readonly<Record<string, string | undefined>>; readonly mayMakeKey: boolean },
): KeyringRedis | null {
  const { redis, keyFile } = loaded.config.keyrings;
  if (redis === undefined) return null;
  const path = (written: string) => pathBeside(loaded.file, written);
  const file = keyFile === undefined ? join(loaded.dataFolder, 'keyrings.key') : path(keyFile);
  const keks = loadKeyringKeys({ file, mayMake: mayMakeKey, environment: env });
  try {
    return {
      link: connectRedis(settingsOf(redis, path, env)),
      layout: redisLayout(redis.prefix),
      sealer: createRecordSealer(keks),
      host: hostname(),
    };
  } catch (error) {
    throw new ConfigError([`keyrings.redis cannot be used: ${errorText(error)}`]);
  }
}

function settingsOf(
  { servers, cluster, sentinel, username, password, database, tls, timeout }: RedisConfig,
  path: (written: string) => string,
  env: Readonly<Record<string, string | undefined>>,
): RedisSettings {
  const secretOf = (setting: SecretSetting | undefined) =>
    setting === undefined ? {} : { password: readSecret(setting, { path, env }) };
  const named = (name: string | undefined) => (name === undefined ? {} : { username: name });
  const files = tls === false || tls === true ? {} : tls;
  return {
    servers: servers.map((server) => splitAddress(server, sentinel === undefined ? 6379 : 26_379) ?? fail(server)),
    cluster,
    database,
    timeout,
    ...named(username),
    ...secretOf(password),
    ...(sentinel === undefined
      ? {}
      : { sentinel: { name: sentinel.name, ...named(sentinel.username), ...secretOf(sentinel.password) } }),
    ...(tls === false
      ? {}
      : {
          tls: {
            ...(files.ca === undefined ? {} : { ca: path(files.ca) }),
            ...(files.cert === undefined ? {} : { cert: path(files.cert) }),
            ...(files.key === undefined ? {} : { key: path(files.key) }),
            ...(files.serverName === undefined ? {} : { serverName: files.serverName }),
          },
        }),
  };
}

function fail(server: string): never {
  throw new Error(`${server} is no address of a server`);
}

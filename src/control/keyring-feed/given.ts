/** The configuration of a milter that follows Redis and is told everything on its command line. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { ConfigError, type LoadedConfig } from '../config/load.ts';
import { configSchema } from '../config/schema.ts';

export interface GivenMilter {
  /** HOST:PORT. */
  readonly redis: string;
  readonly name: string;
  readonly data?: string;
  readonly keyFile?: string;
  readonly listen: readonly string[];
  readonly internal: readonly string[];
  readonly allow: readonly string[];
  readonly onFailure: 'tempfail' | 'reject' | 'pass';
  readonly signSubdomains: boolean;
}

/** @throws ConfigError naming what is wrong. Relative paths are those of the working folder. */
export function configOf(given: GivenMilter): LoadedConfig {
  const { redis, name, data, keyFile, listen, internal, allow, onFailure, signSubdomains } = given;
  const systemFolder = '/var/lib/keyturn';
  const dataFolder = resolve(data ?? (existsSync(systemFolder) ? systemFolder : '.keyturn'));
  const parsed = configSchema.safeParse({
    instance: name,
    roles: { milter: true, reconcile: false, dns: false },
    keyrings: { redis: { servers: [redis] }, ...(keyFile === undefined ? {} : { keyFile: resolve(keyFile) }) },
    milter: {
      ...(listen.length > 0 ? { listen } : {}),
      ...(internal.length > 0 ? { internal } : {}),
      ...(allow.length > 0 ? { allow } : {}),
      onFailure,
      signSubdomains,
    },
  });
  if (!parsed.success) throw new ConfigError([z.prettifyError(parsed.error)]);
  return { file: null, config: parsed.data, dataFolder, kekFile: resolve(dataFolder, 'kek') };
}

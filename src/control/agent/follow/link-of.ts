/** The link that a configuration describes. */
import { readSecret } from '../../../settings/secret.ts';
import { ConfigError, pathBeside } from '../../config/load.ts';
import { errorText } from '../../log.ts';
import type { LoadedAgentConfig } from './config.ts';
import { type Link, openLink } from './link.ts';

/** Nothing is said yet. @throws ConfigError where the token cannot be read */
export function linkOf(
  { config: { control }, file }: LoadedAgentConfig,
  env: Readonly<Record<string, string | undefined>>,
  { boot, now, onTime }: Pick<Parameters<typeof openLink>[0], 'boot' | 'now' | 'onTime'>,
): Link {
  const path = (written: string) => pathBeside(file, written);
  let token: string | null = null;
  try {
    token = control.token === undefined ? null : readSecret(control.token, { path, env });
  } catch (error) {
    throw new ConfigError([`control.token: ${errorText(error)}`]);
  }
  return openLink({
    urls: control.url,
    token,
    pins: control.pin ?? null,
    ca: control.ca === undefined ? null : path(control.ca),
    cert: control.cert === undefined ? null : path(control.cert),
    key: control.key === undefined ? null : path(control.key),
    boot,
    now,
    onTime,
  });
}

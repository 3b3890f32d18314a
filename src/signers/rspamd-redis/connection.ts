/** The Redis from which rspamd takes its keys: one server, or the primary that Sentinels name. Commands end within a time. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { secret } from '../../settings/secret.ts';
import { durationBetween, socketAddress, splitAddress } from '../../settings/values.ts';
import type { SignerDependencies } from '../kind.ts';

/** `redis:` of the kinds that write there. */
export const redisSettings = z
  .strictObject({
    /** The primary, or the Sentinels where `sentinel` is given. */
    servers: z.array(socketAddress).min(1).default(['127.0.0.1:6379']),
    sentinel: z.strictObject({ name: z.string().min(1), password: secret.optional() }).optional(),
    username: z.string().min(1).optional(),
    password: secret.optional(),
    database: z.int().min(0).max(65_535).default(0),
    /** Files of PEM; `{}` for TLS by the system's authorities. */
    tls: z
      .strictObject({
        ca: z.string().min(1).optional(),
        cert: z.string().min(1).optional(),
        key: z.string().min(1).optional(),
        /** The name in the server's certificate, where it is not that of `servers`. */
        serverName: z.string().min(1).optional(),
      })
      .optional(),
    timeout: durationBetween(100, 60_000).prefault('5s'),
  })
  .prefault({});

export type RedisSettings = z.output<typeof redisSettings>;

export interface RedisConnection {
  /** @throws Error in words: where, and what came back. Never with what was to be written. */
  call(command: string, ...args: readonly (string | number)[]): Promise<unknown>;
  readonly name: string;
  close(): void;
}

/** Connects in the background, and again whenever the connection is lost. @throws Error for files or secrets that cannot be read. */
export function connectRedis(
  settings: RedisSettings,
  { readSecret, path }: Pick<SignerDependencies, 'readSecret' | 'path'>,
): RedisConnection {
  const { sentinel, username, password, database, timeout } = settings;
  const servers = settings.servers.map(
    (server) => splitAddress(server, sentinel === undefined ? 6379 : 26_379) ?? { host: server, port: 6379 },
  );
  const tls = tlsOptions(settings, servers[0]?.host ?? '', path);
  const retryStrategy = (times: number) => Math.min(1000, 50 * 2 ** Math.min(times, 5));
  const client = new Redis({
    ...(sentinel === undefined
      ? servers[0]
      : {
          sentinels: servers,
          name: sentinel.name,
          sentinelRetryStrategy: retryStrategy,
          ...(sentinel.password === undefined ? {} : { sentinelPassword: readSecret(sentinel.password) }),
          ...(tls === null ? {} : { enableTLSForSentinelMode: true, sentinelTLS: tls }),
        }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: readSecret(password) }),
    ...(tls === null ? {} : { tls }),
    db: database,
    connectTimeout: timeout,
    commandTimeout: timeout,
    retryStrategy,
    // A command of a lost connection is ours to repeat.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    disableClientInfo: true,
    protocol: 2,
    // After a failover the connection is one to a server that only reads now.
    reconnectOnError: (error) => sentinel !== undefined && error.message.startsWith('READONLY'),
  });
  const name = settings.servers.join(', ');
  let trouble = 'no connection yet';
  client.on('error', (error: Error) => {
    trouble = error.message;
  });
  return {
    name,
    async call(command, ...args) {
      try {
        return await client.call(command, ...args);
      } catch (error) {
        // ioredis puts the command with all it carried into its errors: only the words are taken.
        const text = error instanceof Error ? error.message : String(error);
        throw new Error(explain(name, isReply(text) ? text : client.status === 'ready' ? text : trouble));
      }
    },
    close: () => client.disconnect(),
  };
}

function tlsOptions({ tls }: RedisSettings, host: string, path: (written: string) => string): ConnectionOptions | null {
  if (tls === undefined) return null;
  const file = (written: string | undefined) => (written === undefined ? undefined : readFileSync(path(written)));
  const { ca, cert, key, serverName } = tls;
  return {
    ca: file(ca),
    cert: file(cert),
    key: file(key),
    servername: serverName ?? (isIP(host) === 0 ? host : undefined),
  };
}

/** Replies of Redis begin with a code in capitals. */
function isReply(text: string): boolean {
  return /^[A-Z]{3,} /.test(text) && !/^(?:ECONN|ETIMEDOUT|ENOTFOUND|EPIPE|EHOST|ENET)/.test(text);
}

function explain(name: string, why: string): string {
  return isReply(why) ? `Redis at ${name} answers: ${why}${nextStep(why)}` : `Redis at ${name} is not reached: ${why}`;
}

function nextStep(reply: string): string {
  if (/^NOPERM|can't run this command/.test(reply))
    return '. Give its user the rights that the page of this signer lists.';
  if (/^(?:NOAUTH|WRONGPASS)/.test(reply)) return '. See to `redis.username` and `redis.password`.';
  if (reply.startsWith('OOM')) return '. Raise its `maxmemory`.';
  if (/^(?:READONLY|NOREPLICAS)/.test(reply)) return '. It takes no writes: name its primary, or a Sentinel.';
  if (reply.startsWith('MISCONF')) return '. It cannot write its own files; see to its disk.';
  return '';
}

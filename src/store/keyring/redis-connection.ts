/** A connection to Redis: one server, a Sentinel's, or a cluster. Commands end within a time, whatever becomes of the server. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { Cluster, Redis } from 'ioredis';
import { FeedError } from './feed.ts';

export interface RedisSettings {
  /** The server; the Sentinels, where `sentinel` is given; some nodes, where `cluster` is. */
  readonly servers: ReadonlyArray<{ readonly host: string; readonly port: number }>;
  readonly cluster: boolean;
  readonly sentinel?: { readonly name: string; readonly username?: string; readonly password?: string };
  readonly username?: string;
  readonly password?: string;
  readonly database: number;
  /** Files of PEM. `serverName`: the name in the server's certificate, where it is not that of `servers`. */
  readonly tls?: {
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
    readonly serverName?: string;
  };
  /** How long a command may take, milliseconds. */
  readonly timeout: number;
}

export type RedisArgument = string | number | Buffer;

export interface RedisLink {
  /** The reply, texts as Buffers. @throws FeedError `away` or `refused`. */
  call(command: string, ...args: RedisArgument[]): Promise<unknown>;
  /** A connection of its own for commands that wait: they may take so much longer than others. */
  blocking(): RedisLink;
  /** Grows with each connection that is made: what was written before it may be gone. */
  readonly connections: number;
  readonly name: string;
  close(): Promise<void>;
}

const longestPause = 1000;

/** Connects in the background, and again whenever the connection is lost. @throws Error for a file of TLS that cannot be read. */
export function connectRedis(settings: RedisSettings): RedisLink {
  return link(settings, readTls(settings), false);
}

function link(settings: RedisSettings, tls: ConnectionOptions | undefined, blocks: boolean): RedisLink {
  const client = open(settings, tls, blocks);
  const name = settings.servers.map(({ host, port }) => `${host}:${port}`).join(', ');
  const links: RedisLink[] = [];
  let connections = 0;
  let trouble = 'no connection yet';
  client.on('ready', () => {
    connections += 1;
  });
  client.on('error', (error: Error & { lastNodeError?: Error }) => {
    trouble = error.lastNodeError?.message ?? error.message;
  });
  return {
    name,
    get connections() {
      return connections;
    },
    async call(command, ...args) {
      try {
        return await client.callBuffer(command, args);
      } catch (error) {
        throw explained(error, name, trouble, client.status);
      }
    },
    blocking() {
      const made = link(settings, tls, true);
      links.push(made);
      return made;
    },
    async close() {
      for (const each of links) await each.close();
      client.disconnect();
    },
  };
}

function open(settings: RedisSettings, tls: ConnectionOptions | undefined, blocks: boolean): Redis | Cluster {
  const { servers, cluster, sentinel, username, password, database, timeout } = settings;
  const options = {
    protocol: 2 as const,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
    connectTimeout: timeout,
    ...(blocks ? {} : { commandTimeout: timeout }),
    // A command of a lost connection is ours to repeat: whoever asked decides.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    disableClientInfo: true,
    // A failover leaves connections to a server that only reads now.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY') && sentinel !== undefined,
  };
  const retryStrategy = (times: number) => Math.min(longestPause, 50 * 2 ** Math.min(times, 5));
  if (cluster) {
    return new Cluster([...servers], {
      redisOptions: options,
      clusterRetryStrategy: retryStrategy,
      slotsRefreshTimeout: timeout,
    });
  }
  if (sentinel !== undefined) {
    return new Redis({
      ...options,
      db: database,
      retryStrategy,
      sentinels: [...servers],
      name: sentinel.name,
      sentinelRetryStrategy: retryStrategy,
      ...(tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: tls }),
      ...(sentinel.username === undefined ? {} : { sentinelUsername: sentinel.username }),
      ...(sentinel.password === undefined ? {} : { sentinelPassword: sentinel.password }),
    });
  }
  return new Redis({ ...options, ...servers[0], db: database, retryStrategy });
}

function readTls({ tls, servers }: RedisSettings): ConnectionOptions | undefined {
  if (tls === undefined) return undefined;
  const { ca, cert, key, serverName } = tls;
  const host = servers[0]?.host ?? '';
  const servername = serverName ?? (isIP(host) === 0 ? host : undefined);
  return {
    ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
    ...(cert === undefined ? {} : { cert: readFileSync(cert) }),
    ...(key === undefined ? {} : { key: readFileSync(key) }),
    ...(servername === undefined ? {} : { servername }),
  };
}

/** Replies of Redis begin with a code in capitals; everything else is the connection's trouble. */
function explained(error: unknown, name: string, trouble: string, status: string): FeedError {
  const text = error instanceof Error ? error.message : String(error);
  const isReply =
    /^(?:-)?[A-Z]{3,}[A-Z]*\b/.test(text) && !/^(?:ECONN|ETIMEDOUT|ENOTFOUND|EPIPE|EHOST|ENET)/.test(text);
  if (isReply) return new FeedError('refused', `Redis at ${name} answers: ${text}${nextStep(text)}`, error);
  const why = status === 'ready' ? text : trouble;
  return new FeedError('away', `Redis at ${name} is not reached: ${why}`, error);
}

function nextStep(reply: string): string {
  if (reply.startsWith('NOPERM')) return '. Give its user the rights that docs/redis.md lists.';
  if (/^(?:NOAUTH|WRONGPASS)/.test(reply)) return '. See to `username` and `password` of `keyrings.redis`.';
  if (reply.startsWith('OOM')) return '. Raise its `maxmemory`.';
  if (/^(?:READONLY|NOREPLICAS)/.test(reply)) return '. It takes no writes now: name its master, or a Sentinel.';
  if (reply.startsWith('MISCONF')) return '. It cannot write its own files; see to its disk.';
  return '';
}

/** Redis of our own: alone, with a password and TLS, with a replica under Sentinel, or as a cluster. Everything lies in a folder that goes. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { freePort, freePorts } from './ports.ts';
import { type RunningServer, runOk, spawnServer, waitFor } from './processes.ts';
import { type TempDir, tempDir } from './temp.ts';

export interface RedisServerOptions {
  /** Of the user `default`. */
  readonly password?: string;
  /** Speaks TLS alone, with a certificate of an authority of its own. */
  readonly tls?: boolean;
  /** Writes an append-only file with every command, so that a restart finds everything again. */
  readonly persistent?: boolean;
  /** Further lines of `redis.conf`. */
  readonly lines?: readonly string[];
  readonly port?: number;
}

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly password?: string;
  readonly tls?: { readonly ca: Buffer; readonly servername: string };
}

export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  readonly folder: string;
  /** Files of the certificate authority and the client's certificate; null without TLS. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string } | null;
  /** How to reach it with ioredis. */
  readonly options: RedisAddress;
  /** A connection for the test itself; closed with the server. */
  readonly client: Redis;
  isRunning(): boolean;
  /** SIGKILL: what is not on disk is gone. */
  kill(): Promise<void>;
  stop(): Promise<void>;
  /** Again on the same port and folder; without `persistent` it comes back empty. */
  start(): Promise<void>;
  restart(): Promise<void>;
  flush(): Promise<void>;
  /** Answers nothing for so many milliseconds. */
  pause(milliseconds: number): Promise<void>;
  /** Stopped by SIGSTOP: it accepts connections and says nothing. */
  freeze(): void;
  thaw(): void;
  /** Every octet that it wrote to disk. */
  onDisk(): Buffer;
}

/** Starts `redis-server`. @throws Error with its output where it does not come up. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const dir = tempDir('redis');
  try {
    const port = options.port ?? (await freePort());
    const tls = options.tls === true ? await makeCertificates(dir) : null;
    mkdirSync(dir.join('data'));
    writeFileSync(dir.join('redis.conf'), configuration(options, port, dir, tls));
    return await started(dir, port, options, tls);
  } catch (error) {
    dir.remove();
    throw error;
  }
}

async function started(
  dir: TempDir,
  port: number,
  { password }: RedisServerOptions,
  tls: RedisServer['tls'],
): Promise<RedisServer> {
  const options: RedisAddress = {
    host: '127.0.0.1',
    port,
    ...(password === undefined ? {} : { password }),
    ...(tls === null ? {} : { tls: { ca: readFileSync(tls.ca), servername: 'localhost' } }),
  };
  const spawn = () =>
    spawnServer({
      name: 'redis-server',
      command: 'redis-server',
      args: [dir.join('redis.conf')],
      cwd: dir.path,
      ready: (output) => output().includes('Ready to accept connections'),
    });
  let server: RunningServer = await spawn();
  const client = new Redis({ ...options, lazyConnect: true, retryStrategy: () => 50, maxRetriesPerRequest: null });
  client.on('error', () => undefined);
  const end = async (signal: NodeJS.Signals) => {
    server.kill('SIGCONT');
    server.kill(signal);
    await server.exited;
  };
  const redis: RedisServer = {
    port,
    folder: dir.path,
    tls,
    options,
    client,
    isRunning: () => server.isRunning(),
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    async start() {
      server = await spawn();
    },
    async restart() {
      await redis.stop();
      await redis.start();
    },
    async flush() {
      await client.flushall();
    },
    async pause(milliseconds) {
      await client.call('CLIENT', 'PAUSE', milliseconds, 'ALL');
    },
    freeze: () => server.kill('SIGSTOP'),
    thaw: () => server.kill('SIGCONT'),
    onDisk: () => Buffer.concat(filesBelow(dir.join('data')).map((file) => readFileSync(file))),
    async [Symbol.asyncDispose]() {
      client.disconnect();
      if (server.isRunning()) await end('SIGKILL');
      dir.remove();
    },
  };
  return redis;
}

function configuration(
  { password, persistent = false, lines = [] }: RedisServerOptions,
  port: number,
  dir: TempDir,
  tls: RedisServer['tls'],
): string {
  const persistence = persistent ? ['appendonly yes', 'appendfsync always', 'save ""'] : ['appendonly no', 'save ""'];
  const sockets =
    tls === null
      ? [`port ${port}`]
      : [
          'port 0',
          `tls-port ${port}`,
          `tls-cert-file ${tls.cert}`,
          `tls-key-file ${tls.key}`,
          `tls-ca-cert-file ${tls.ca}`,
          'tls-auth-clients optional',
        ];
  return [
    'bind 127.0.0.1',
    ...sockets,
    `dir ${dir.join('data')}`,
    'daemonize no',
    ...persistence,
    ...(password === undefined ? [] : [`requirepass ${password}`]),
    ...lines,
    '',
  ].join('\n');
}

async function makeCertificates(dir: TempDir): Promise<{ ca: string; cert: string; key: string }> {
  const [ca, caKey, cert, key, request] = ['ca.pem', 'ca.key', 'server.pem', 'server.key', 'server.csr'].map((name) =>
    dir.join(name),
  ) as [string, string, string, string, string];
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const subject = (name: string) => ['-subj', `/CN=${name}`];
  await runOk('openssl', ['req', '-x509', ...ec, '-keyout', caKey, '-out', ca, '-days', '2', ...subject('test-ca')]);
  await runOk('openssl', ['req', ...ec, '-keyout', key, '-out', request, ...subject('localhost')]);
  writeFileSync(dir.join('san.cnf'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
  const authority = ['-CA', ca, '-CAkey', caKey, '-CAcreateserial'];
  await runOk('openssl', [
    'x509',
    '-req',
    '-in',
    request,
    ...authority,
    '-out',
    cert,
    '-days',
    '2',
    '-extfile',
    dir.join('san.cnf'),
  ]);
  return { ca, cert, key };
}

export interface RedisReplicas extends AsyncDisposable {
  readonly sentinel: { readonly host: string; readonly port: number };
  readonly name: string;
  readonly master: RedisServer;
  readonly replica: RedisServer;
}

/** A master with one replica, and one Sentinel that makes the replica the master half a second after the master went. */
export async function startRedisReplicas(): Promise<RedisReplicas> {
  const master = await startRedis();
  const replica = await startRedis({ lines: [`replicaof 127.0.0.1 ${master.port}`, 'repl-diskless-sync-delay 0'] });
  const dir = tempDir('sentinel');
  const port = await freePort();
  const name = 'keyturn';
  writeFileSync(
    dir.join('sentinel.conf'),
    [
      'bind 127.0.0.1',
      `port ${port}`,
      `dir ${dir.path}`,
      `sentinel monitor ${name} 127.0.0.1 ${master.port} 1`,
      `sentinel down-after-milliseconds ${name} 500`,
      `sentinel failover-timeout ${name} 3000`,
      '',
    ].join('\n'),
  );
  const sentinel = await spawnServer({
    name: 'redis-sentinel',
    command: 'redis-server',
    args: [dir.join('sentinel.conf'), '--sentinel'],
    cwd: dir.path,
    ready: (output) => output().includes('+monitor'),
  });
  const asked = new Redis({ port, host: '127.0.0.1' });
  await waitFor(async () => ((await asked.call('SENTINEL', 'replicas', name)) as unknown[]).length > 0, {
    what: 'the Sentinel to know the replica',
  });
  asked.disconnect();
  await waitFor(async () => (await replica.client.info('replication')).includes('master_link_status:up'), {
    what: 'the replica to be in step',
  });
  return {
    sentinel: { host: '127.0.0.1', port },
    name,
    master,
    replica,
    async [Symbol.asyncDispose]() {
      await sentinel.stop();
      await replica[Symbol.asyncDispose]();
      await master[Symbol.asyncDispose]();
      dir.remove();
    },
  };
}

export interface RedisCluster extends AsyncDisposable {
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly servers: readonly RedisServer[];
}

/** Three masters without replicas that share the slots. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const ports = await freePorts(3);
  const servers: RedisServer[] = [];
  for (const port of ports) {
    // The bus's port is the other one and 10,000 by default, which may be above the last there is.
    const lines = ['cluster-enabled yes', 'cluster-node-timeout 2000', `cluster-port ${await freePort()}`];
    servers.push(await startRedis({ port, lines }));
  }
  // Slots and meetings are told to each node: redis-cli's own way takes seconds longer.
  const share = Math.ceil(16_384 / servers.length);
  for (const [index, { client }] of servers.entries()) {
    await client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
    await client.call('CLUSTER', 'ADDSLOTSRANGE', index * share, Math.min(16_384, (index + 1) * share) - 1);
  }
  for (const { client } of servers.slice(1)) {
    const bus = String(await servers[0]?.client.call('CONFIG', 'GET', 'cluster-port')).split(',')[1] ?? '';
    await client.call('CLUSTER', 'MEET', '127.0.0.1', servers[0]?.port ?? 0, bus);
  }
  for (const { client } of servers) {
    await waitFor(async () => String(await client.call('CLUSTER', 'INFO')).includes('cluster_state:ok'), {
      what: 'the cluster to form',
    });
  }
  return {
    nodes: ports.map((port) => ({ host: '127.0.0.1', port })),
    servers,
    async [Symbol.asyncDispose]() {
      for (const server of servers) await server[Symbol.asyncDispose]();
    },
  };
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`);
}

/** The agents' side of `keyturn serve`: an HTTPS server for those whom `signers:` names, and for nobody else. */
import { readFileSync, statSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, isIP } from 'node:net';
import type { Clock } from '../../../lifecycle/clock.ts';
import { readSecret, type SecretSetting } from '../../../settings/secret.ts';
import { splitAddress } from '../../../settings/values.ts';
import type { Store } from '../../../store/store.ts';
import type { Binding } from '../../bindings.ts';
import { AGENT_PORT } from '../../config/agent-schema.ts';
import { ConfigError, type LoadedConfig, pathBeside } from '../../config/load.ts';
import { errorText, type Log } from '../../log.ts';
import { startRepeating } from '../../repeating.ts';
import { hashToken, type KnownAgent } from './authenticate.ts';
import { type CallsOptions, createCalls } from './calls.ts';
import { createClaims } from './claims.ts';

export interface AgentsRole {
  /** With the ports that were really taken. */
  readonly endpoints: readonly string[];
  stop(): Promise<void>;
}

export interface AgentsRoleOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly bindings: readonly Binding[];
  /** The store is the one that is known; asked for each call. */
  readonly mayServe?: () => boolean;
}

const mostConnections = 2000;
const lookAtFilesEvery = 30_000;

/** Null where no agent is to be served from here. @throws ConfigError, or Error naming the address that cannot be listened on. */
export async function startAgentsRole(
  loaded: LoadedConfig,
  { store, clock, log, env, bindings, mayServe = () => true }: AgentsRoleOptions,
): Promise<AgentsRole | null> {
  const { config, file } = loaded;
  const { listen, lease, tls, plainHttp } = config.agents;
  const agents = knownAgents(loaded, env, bindings);
  if (listen.length === 0) return null;
  const addresses = listen.map((text) => {
    const address = splitAddress(text, AGENT_PORT);
    if (address === null) throw new ConfigError([`agents.listen: ${text} is no address`]);
    return address;
  });
  if (!plainHttp && tls === undefined)
    throw new ConfigError([
      'agents.tls: the agents take private keys from here: give a certificate and its key (cert, key)',
    ]);
  const open = plainHttp ? addresses.find(({ host }) => !isLoopback(host)) : undefined;
  if (open !== undefined)
    throw new ConfigError([
      `agents.plainHttp: private keys would cross the network at ${open.host}: only loopback addresses may be listened on without TLS`,
    ]);

  const stopping = new AbortController();
  const options: CallsOptions = {
    agents,
    store,
    clock,
    log,
    claims: createClaims({ store, clock, lease, elapsed: () => performance.now() }),
    lease,
    interval: Math.min(config.reconcile.interval, 500),
    stopping: stopping.signal,
    mayServe,
  };
  const calls = createCalls(options);
  const limits = {
    headersTimeout: 10_000,
    requestTimeout: 60_000,
    keepAliveTimeout: 65_000,
    maxHeaderSize: 16 * 1024,
  };
  const path = (written: string) => pathBeside(file, written);
  const certificates = plainHttp || tls === undefined ? null : watchCertificates(tls, path);
  const servers: Server[] = [];
  const endpoints: string[] = [];
  const stop = async () => {
    stopping.abort();
    await reread?.();
    await Promise.all(
      servers.map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve());
            server.closeIdleConnections();
            setTimeout(() => server.closeAllConnections(), 2000).unref();
          }),
      ),
    );
  };
  let reread: (() => Promise<void>) | undefined;
  try {
    for (const { host, port } of addresses) {
      const server =
        certificates === null
          ? createHttpServer(limits)
          : createHttpsServer({
              ...limits,
              ...certificates.read(),
              minVersion: 'TLSv1.2',
              // Asked for, and judged with each request: an agent that shows none may have a token.
              requestCert: true,
              rejectUnauthorized: false,
            });
      server.maxConnections = mostConnections;
      server.on('request', (request, response) => void calls(request, response));
      server.on('clientError', (_error, socket) => socket.destroy());
      server.on('tlsClientError', (error: Error) => log.debug('agent-tls-failed', { error: errorText(error) }));
      await listenOn(server, host, port);
      const address = server.address() as AddressInfo;
      const shown = isIP(address.address) === 6 ? `[${address.address}]` : address.address;
      endpoints.push(`${certificates === null ? 'http' : 'https'}://${shown}:${address.port}`);
      servers.push(server);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  if (certificates !== null) {
    const look = async () => {
      const fresh = certificates.changed();
      if (fresh === null) return;
      for (const server of servers)
        if ('setSecureContext' in server) (server as ReturnType<typeof createHttpsServer>).setSecureContext(fresh);
      log.info('agents-certificate-read', {});
    };
    reread = startRepeating(
      lookAtFilesEvery,
      look,
      (error) =>
        log.error('agents-certificate-not-read', {
          error: errorText(error),
          advice: 'the one before goes on being shown',
        }),
      lookAtFilesEvery,
    );
  }
  return { endpoints, stop };
}

/** The agents of the configuration. @throws ConfigError for one that could not be told from others. */
export function knownAgents(
  { config, file }: LoadedConfig,
  env: Readonly<Record<string, string | undefined>>,
  bindings: readonly Binding[],
): KnownAgent[] {
  const path = (written: string) => pathBeside(file, written);
  return config.signers.flatMap((entry): KnownAgent[] => {
    const binding = bindings.find(({ signerId }) => signerId === entry.name);
    if (entry.kind !== 'agent' || binding === undefined) return [];
    const settings = entry as unknown as {
      token?: SecretSetting;
      tokenHash?: string;
      certificate?: { fingerprint?: string; name?: string };
    };
    const { token, tokenHash, certificate } = settings;
    const wrong = (why: string) => new ConfigError([`the signer ${entry.name} (agent) cannot be used: ${why}`]);
    if (token === undefined && tokenHash === undefined && certificate === undefined)
      throw wrong(
        'give it a token, a tokenHash or a certificate, by which it is known; `keyturn agent enroll` makes one',
      );
    if (token !== undefined && tokenHash !== undefined) throw wrong('token and tokenHash say the same: keep one');
    if (certificate?.name !== undefined && config.agents.tls?.clientCa === undefined)
      throw wrong('certificate.name is only worth something with agents.tls.clientCa');
    let hash: Buffer | null = tokenHash === undefined ? null : Buffer.from(tokenHash.slice('sha256:'.length), 'hex');
    if (token !== undefined) {
      let given: string;
      try {
        given = readSecret(token, { path, env });
      } catch (error) {
        throw wrong(errorText(error));
      }
      if (given.length < 20) throw wrong('its token is shorter than 20 characters: it could be guessed');
      hash = hashToken(given);
    }
    return [
      {
        name: entry.name,
        binding,
        restores: entry.onDrift === 'restore',
        tokenHash: hash,
        certificate: certificate ?? null,
      },
    ];
  });
}

interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string | undefined;
}

function watchCertificates(files: TlsFiles, path: (written: string) => string) {
  const named = [files.cert, files.key, ...(files.clientCa === undefined ? [] : [files.clientCa])].map(path);
  const stamp = () =>
    named
      .map((name) => statSync(name))
      .map(({ mtimeMs, ino, size }) => `${mtimeMs} ${ino} ${size}`)
      .join();
  let read = '';
  const load = () => {
    try {
      const before = stamp();
      const context = {
        cert: readFileSync(path(files.cert)),
        key: readFileSync(path(files.key)),
        ...(files.clientCa === undefined ? {} : { ca: readFileSync(path(files.clientCa)) }),
      };
      read = before;
      return context;
    } catch (error) {
      throw new ConfigError([`agents.tls: ${errorText(error)}`]);
    }
  };
  return { read: load, changed: () => (stamp() === read ? null : load()) };
}

function listenOn(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => reject(new Error(`Listening for agents on ${host}:${port}: ${error.message}`));
    server.once('error', failed);
    server.listen({ host, port }, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}

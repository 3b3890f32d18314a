/** The milter's sockets: who may connect, how many, for how long; and an end that finishes what is on its way. */
import { createServer, type Server, type Socket } from 'node:net';
import { prepareSigner, type SignerOptions } from '../../dkim/sign.ts';
import { type Clock, systemClock } from '../../lifecycle/clock.ts';
import type { KeyringLookup } from '../keyring-book.ts';
import type { MilterCore } from './core.ts';
import type { OnFailure } from './decide.ts';
import { type Endpoint, formatEndpoint, parseEndpoint } from './endpoint.ts';
import { type MilterLog, silentLog } from './log.ts';
import { createMetrics, type MilterMetrics } from './metrics.ts';
import { type NetworkList, networkList } from './networks.ts';
import { type StreamRule, streamChooser } from './rules.ts';
import { serveStream } from './serve-stream.ts';
import type { MilterSession } from './session.ts';
import { listenUnix } from './unix-socket.ts';

export interface MilterOptions {
  /** `inet:HOST:PORT` or `unix:PATH`, at least one. Port 0 takes a free one. */
  readonly listen: readonly string[];
  readonly keyrings: KeyringLookup;
  /** Mode of UNIX sockets; 0o660 by default. */
  readonly socketMode?: number | undefined;
  readonly socketGroup?: string | undefined;
  /** MTAs that may connect over TCP; the loopback addresses by default. */
  readonly allow?: readonly string[] | undefined;
  /** Networks whose mail is outbound; the loopback addresses by default. */
  readonly internal?: readonly string[] | undefined;
  /** Names of MTA daemons whose mail is outbound. */
  readonly daemons?: readonly string[] | undefined;
  readonly signSubdomains?: boolean | undefined;
  readonly onFailure?: OnFailure | undefined;
  readonly streams?: readonly StreamRule[] | undefined;
  /** Header lists, canonicalization, expiry. */
  readonly sign?: Omit<SignerOptions, 'lineEnd'> | undefined;
  readonly maxConnections?: number | undefined;
  /** Milliseconds without a word from the MTA until the connection is closed; libmilter's 7210 s by default. */
  readonly idleTimeout?: number | undefined;
  /** Octets of header kept of one message; beyond, it cannot be signed. */
  readonly maxHeaderBytes?: number | undefined;
  /** Spares the MTA sending bodies that are not signed, for one more round trip a message: for hosts with much large inbound mail. */
  readonly answerHeaders?: boolean | undefined;
  readonly clock?: Clock | undefined;
  readonly log?: MilterLog | undefined;
}

export interface MilterServer extends AsyncDisposable {
  /** As MTAs are told, with the ports that were really taken. */
  readonly endpoints: readonly string[];
  readonly core: MilterCore;
  readonly metrics: MilterMetrics;
  /** Takes no more connections, lets messages on their way finish for this many milliseconds, and ends. */
  stop(grace?: number): Promise<void>;
}

const loopback: readonly string[] = ['127.0.0.0/8', '::1/128'];

/** @throws Error saying which socket could not be listened on, and why; none is left open then. */
export async function startMilter(options: MilterOptions): Promise<MilterServer> {
  if (options.listen.length === 0) throw new Error('The milter needs at least one socket to listen on');
  const core = createCore(options);
  const { counters } = core.metrics;
  const allow = networkList(options.allow ?? loopback);
  const maxConnections = options.maxConnections ?? 1000;
  const idleTimeout = options.idleTimeout ?? 7_210_000;
  const connections = new Map<Socket, MilterSession>();
  const listeners: { readonly server: Server; readonly endpoint: string; readonly remove: () => Promise<void> }[] = [];
  let stopping = false;

  function accept(socket: Socket, endpoint: Endpoint): void {
    const name = endpoint.kind === 'unix' ? endpoint.path : `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort}`;
    const refusal = refuse(socket, endpoint);
    if (refusal !== null) {
      counters.refusedConnections += 1;
      core.log('warn', `Connection of ${name} refused: ${refusal}`);
      socket.destroy();
      return;
    }
    counters.connections += 1;
    counters.openConnections += 1;
    const session = serve(socket, name, core, idleTimeout);
    connections.set(socket, session);
    socket.once('close', () => {
      connections.delete(socket);
      counters.openConnections -= 1;
    });
  }

  function refuse(socket: Socket, endpoint: Endpoint): string | null {
    if (stopping) return 'the milter is stopping';
    if (endpoint.kind === 'tcp' && !isAllowed(socket, allow))
      return 'its address is not among those allowed to connect';
    return connections.size >= maxConnections ? `${maxConnections} connections are open, the most allowed` : null;
  }

  async function stop(grace = 10_000): Promise<void> {
    stopping = true;
    const closed = listeners.map(({ server }) => new Promise<void>((resolve) => server.close(() => resolve())));
    await Promise.all(listeners.map(({ remove }) => remove()));
    const gone = [...connections.keys()].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const session of connections.values()) session.drain();
    const timer = setTimeout(() => {
      for (const socket of connections.keys()) socket.destroy();
    }, grace);
    await Promise.all([...closed, ...gone]);
    clearTimeout(timer);
  }

  try {
    for (const text of options.listen) {
      const endpoint = parseEndpoint(text);
      // Without keep-alive an MTA's host that vanished would hold its connections for hours.
      const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };
      const server = createServer(socketOptions, (socket) => accept(socket, endpoint));
      const remove = await open(server, endpoint, options);
      // After listening, errors are of accepting (no more file handles): the next connection may do better.
      server.on('error', (error) => core.log('error', `Accepting on ${text}: ${error.message}`));
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      listeners.push({
        server,
        endpoint: formatEndpoint(endpoint.kind === 'unix' ? endpoint : { ...endpoint, port }),
        remove,
      });
    }
  } catch (error) {
    await stop(0);
    throw error;
  }
  return {
    endpoints: listeners.map(({ endpoint }) => endpoint),
    core,
    metrics: core.metrics,
    stop,
    [Symbol.asyncDispose]: () => stop(0),
  };
}

function createCore(options: MilterOptions): MilterCore {
  return {
    keyrings: options.keyrings,
    settings: {
      internal: networkList(options.internal ?? loopback),
      daemons: new Set(options.daemons ?? []),
      signSubdomains: options.signSubdomains ?? false,
      streams: streamChooser(options.streams ?? []),
    },
    onFailure: options.onFailure ?? 'tempfail',
    signer: prepareSigner({ ...options.sign, lineEnd: 'lf' }),
    clock: options.clock ?? systemClock,
    metrics: createMetrics(),
    log: options.log ?? silentLog,
    maxHeaderBytes: options.maxHeaderBytes ?? 2 * 1024 * 1024,
    answerHeaders: options.answerHeaders ?? false,
  };
}

async function open(server: Server, endpoint: Endpoint, options: MilterOptions): Promise<() => Promise<void>> {
  if (endpoint.kind === 'unix') {
    return listenUnix(server, { path: endpoint.path, mode: options.socketMode ?? 0o660, group: options.socketGroup });
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new Error(`Listening on ${formatEndpoint(endpoint)}: ${error.message}`)));
    server.listen({ host: endpoint.host, port: endpoint.port }, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
  return async () => undefined;
}

function isAllowed(socket: Socket, allow: NetworkList): boolean {
  return socket.remoteAddress !== undefined && allow.contains(socket.remoteAddress);
}

/** A connection with its time-out. */
function serve(socket: Socket, name: string, core: MilterCore, idleTimeout: number): MilterSession {
  socket.setTimeout(idleTimeout, () => {
    core.metrics.counters.timeouts += 1;
    core.log('warn', `Connection of ${name} closed: nothing came for ${Math.round(idleTimeout / 1000)} s`);
    socket.destroy();
  });
  return serveStream(socket, name, core, () => socket.destroySoon());
}

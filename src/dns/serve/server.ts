/** The built-in authoritative server: UDP and TCP on the same ports, answers from zones, transfers to secondaries. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6, type Server } from 'node:net';
import type { TsigKey } from '../wire/tsig.ts';
import { createAddressList, plainAddress } from './access.ts';
import { type Connections, createConnections } from './connections.ts';
import { createNotifier, type NotifyEvent, type Secondary } from './notify.ts';
import { createRateLimiter, type RateLimitOptions } from './rate-limit.ts';
import { createResponder, truncated } from './respond.ts';
import type { ZoneSource } from './zone-store.ts';

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Who else serves a zone. */
export interface TransferRules {
  /** Told of each change; they may transfer the zone, by their address where they have no key. */
  readonly secondaries?: readonly Secondary[];
  /** Addresses and networks that may transfer the zone without a key. */
  readonly networks?: readonly string[];
}

export interface AuthoritativeServerOptions {
  readonly zones: ZoneSource;
  /**
   * Where to listen; port 0 takes a free one. On machines with several addresses list each of them: an answer that is
   * sent from a wildcard address may leave with another address than the one that was asked.
   */
  readonly listen: readonly Endpoint[];
  /** TSIG keys that requests may be signed with; whoever has one may transfer every zone. */
  readonly keys?: readonly TsigKey[];
  /** Nobody without a key, and nobody is told, by default. Asked when a zone changes or is transferred. */
  readonly transfers?: (apex: string) => TransferRules;
  /** `false` switches rate limiting off; the default is 50 equal answers a second to one network. */
  readonly rateLimit?: RateLimitOptions | false;
  readonly tcp?: {
    readonly connections?: number;
    readonly connectionsPerNetwork?: number;
    /** Milliseconds. */
    readonly idle?: number;
  };
  /** Epoch milliseconds, for signatures. Default: the system's clock. */
  readonly now?: () => number;
  readonly onNotify?: (event: NotifyEvent) => void;
  /** Errors of sockets, and of the program itself where answering went wrong. */
  readonly onError?: (error: Error) => void;
}

export interface ServerStatistics {
  readonly udpRequests: number;
  readonly tcpRequests: number;
  /** Answers that rate limiting dropped, or sent truncated. */
  readonly dropped: number;
  readonly truncated: number;
  readonly transfers: number;
  readonly connections: number;
}

export interface AuthoritativeServer extends AsyncDisposable {
  /** Where it listens, with the ports that it was given. */
  readonly endpoints: readonly Endpoint[];
  statistics(): ServerStatistics;
  /** Stops at once; repeating it does no harm. */
  close(): Promise<void>;
}

/**
 * Starts to serve; resolves when every address is bound.
 *
 * @example
 * const zones = createZoneStore([{ apex: 'keys.example.net', nameServers: ['ns1.example.net'] }]);
 * await using server = await createAuthoritativeServer({ zones, listen: [{ address: '127.0.0.1', port: 0 }] });
 * zones.set('s1._domainkey.keys.example.net', { value: 'v=DKIM1; p=…', ttl: 300 });
 *
 * @throws Error naming the address that could not be bound, and why; nothing is left open then
 */
export async function createAuthoritativeServer(options: AuthoritativeServerOptions): Promise<AuthoritativeServer> {
  const { zones, keys = [], transfers = (): TransferRules => ({}), now = () => Date.now() } = options;
  const counts = { udpRequests: 0, tcpRequests: 0, dropped: 0, truncated: 0, transfers: 0 };
  const respond = createResponder({
    zones: () => zones.current(),
    keys,
    mayTransfer: (apex, address) => {
      const { secondaries = [], networks = [] } = transfers(apex);
      // A secondary that has a key must use it.
      const keyless = secondaries.filter((secondary) => secondary.key === undefined);
      return createAddressList([...keyless.map((secondary) => secondary.address), ...networks]).has(address);
    },
    now,
  });
  const limiter = options.rateLimit === false ? null : createRateLimiter(options.rateLimit);
  const report = (error: unknown): void => {
    options.onError?.(error instanceof Error ? error : new Error(String(error)));
  };

  const connections = createConnections({
    most: options.tcp?.connections ?? 500,
    mostPerNetwork: options.tcp?.connectionsPerNetwork ?? 50,
    idle: options.tcp?.idle ?? 10_000,
    respond: (bytes, address) => {
      counts.tcpRequests += 1;
      const response = respond(bytes, address, 'tcp');
      if (response.kind === 'stream') counts.transfers += 1;
      return response;
    },
  });

  const answerUdp = (socket: UdpSocket, bytes: Uint8Array, from: Endpoint): void => {
    counts.udpRequests += 1;
    // A port of 0 cannot be answered, and sending to it throws.
    if (from.port === 0) return;
    const response = respond(bytes, from.address, 'udp');
    if (response.kind !== 'message') return;
    const limit = limiter?.check(from.address, response.alike, performance.now()) ?? 'send';
    if (limit === 'drop') {
      counts.dropped += 1;
      return;
    }
    if (limit === 'truncate') counts.truncated += 1;
    const reply = limit === 'send' ? response.bytes : truncated(bytes);
    // A client that cannot be reached is no error of ours.
    if (reply !== null) socket.send(reply, from.port, from.address, () => undefined);
  };

  const open: Listener[] = [];
  try {
    for (const endpoint of options.listen) {
      open.push(await listen(endpoint, { answerUdp, connections, report }));
    }
  } catch (error) {
    await Promise.all(open.map((listener) => listener.close()));
    connections.close();
    throw error;
  }

  const notifier = createNotifier({
    zone: (apex) => zones.current().get(apex),
    secondaries: (apex) => transfers(apex).secondaries ?? [],
    now,
    onEvent: options.onNotify,
  });
  const unsubscribe = zones.subscribe((apex, zone) => {
    if (zone !== null) notifier.changed(apex);
  });
  // Whatever changed while nobody served is news to the secondaries.
  for (const apex of zones.current().keys()) notifier.changed(apex);

  const shutDown = async (): Promise<void> => {
    unsubscribe();
    connections.close();
    await Promise.all([notifier.close(), ...open.map((listener) => listener.close())]);
  };
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= shutDown();
    return closing;
  };
  return {
    endpoints: open.map((listener) => listener.endpoint),
    statistics: () => ({ ...counts, connections: connections.size }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface Listener {
  readonly endpoint: Endpoint;
  close(): Promise<void>;
}

interface Handlers {
  readonly answerUdp: (socket: UdpSocket, bytes: Uint8Array, from: Endpoint) => void;
  readonly connections: Connections;
  readonly report: (error: unknown) => void;
}

/** Free ports that TCP has and UDP has not are tried no more often than this. */
const PORT_ATTEMPTS = 20;

async function listen(endpoint: Endpoint, handlers: Handlers): Promise<Listener> {
  for (let attempt = 1; ; attempt += 1) {
    const tcp = await listenTcp(endpoint, handlers);
    const bound = tcp.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : endpoint.port;
    try {
      const udp = await listenUdp({ ...endpoint, port }, handlers);
      return {
        endpoint: { address: endpoint.address, port },
        close: async () => {
          await Promise.all([closed(tcp), closed(udp)]);
        },
      };
    } catch (error) {
      await closed(tcp);
      if (endpoint.port !== 0 || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

async function listenTcp({ address, port }: Endpoint, handlers: Handlers): Promise<Server> {
  // Half-open: a client that has sent its last request still gets its answers.
  const server = createServer({ allowHalfOpen: true }, (socket) => handlers.connections.accept(socket));
  await bind(`TCP ${address} port ${port}`, server, () => {
    server.listen({ host: address, port, ipv6Only: isIPv6(address), backlog: 512 });
  });
  server.on('error', handlers.report);
  return server;
}

async function listenUdp({ address, port }: Endpoint, handlers: Handlers): Promise<UdpSocket> {
  const v6 = isIPv6(address);
  // A larger buffer rides out bursts while the thread is busy; the kernel may grant less.
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', ipv6Only: v6, recvBufferSize: 1024 * 1024 });
  await bind(`UDP ${address} port ${port}`, socket, () => socket.bind({ address, port }));
  socket.on('error', handlers.report);
  socket.on('message', (bytes, from) => {
    try {
      handlers.answerUdp(socket, bytes, { address: plainAddress(from.address), port: from.port });
    } catch (error) {
      handlers.report(error);
    }
  });
  return socket;
}

async function bind(what: string, target: Server | UdpSocket, start: () => void): Promise<void> {
  const listening = once(target, 'listening');
  start();
  try {
    await listening;
  } catch (error) {
    target.close();
    const why = error instanceof Error ? error.message : String(error);
    const hint = why.includes('EACCES') ? ' (ports under 1024 need the right CAP_NET_BIND_SERVICE)' : '';
    throw new Error(`Listening for DNS on ${what}: ${why}${hint}`, { cause: error });
  }
}

function closed(target: Server | UdpSocket): Promise<void> {
  return new Promise((resolve) => {
    target.close(() => resolve());
  });
}

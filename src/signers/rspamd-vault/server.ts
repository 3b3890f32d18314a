/** The HTTP server that speaks as much of Vault's API as DKIM signers ask for: reading keys, with a token. */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Endpoint, formatEndpoint, parseEndpoint } from '../milter/endpoint.ts';
import { listenUnix } from '../milter/unix-socket.ts';
import type { Answers } from './answers.ts';
import type { Readers } from './readers.ts';
import { readVaultRequest } from './request.ts';

/** How requests were answered, since the start. */
export interface VaultCounters {
  keys: number;
  foreign: number;
  unknown: number;
  /** The domain must sign, and there is no key: its mail leaves unsigned unless rspamd is told otherwise. */
  failed: number;
  refused: number;
  malformed: number;
}

export interface VaultServer {
  /** With the ports that were really taken. */
  readonly endpoints: readonly string[];
  stop(): Promise<void>;
}

export interface VaultServerOptions {
  readonly listen: readonly string[];
  readonly socketMode: number;
  readonly socketGroup?: string | undefined;
  readonly tls: { readonly cert: Buffer; readonly key: Buffer } | null;
}

export interface VaultService {
  readonly answers: Answers;
  readonly readers: Readers;
  /** Path → stream. */
  readonly paths: ReadonlyMap<string, string>;
  readonly counters: VaultCounters;
  /** Told of each domain that is asked for, with when it was. */
  readonly asked: (domain: string) => void;
  readonly refused: (address: string) => void;
}

export function createCounters(): VaultCounters {
  return { keys: 0, foreign: 0, unknown: 0, failed: 0, refused: 0, malformed: 0 };
}

/**
 * rspamd keeps a connection for a minute and does not ask again where it finds it closed: the mail would leave unsigned. So it must be
 * the one who closes.
 */
const keepAlive = 600_000;

/** @throws Error saying which socket could not be listened on, and why; none is left open then. */
export async function startVaultServer(options: VaultServerOptions, service: VaultService): Promise<VaultServer> {
  const open: { readonly server: Server; readonly endpoint: string; readonly remove: () => Promise<void> }[] = [];
  const stop = async () => {
    await Promise.all(
      open.splice(0).map(async ({ server, remove }) => {
        await remove();
        const closed = new Promise((resolve) => server.close(resolve));
        server.closeIdleConnections();
        // Answers come from memory: what is not out by then has no reader.
        const timer = setTimeout(() => server.closeAllConnections(), 1000);
        await closed;
        clearTimeout(timer);
      }),
    );
  };
  try {
    for (const text of options.listen) {
      const server = create(options.tls, (request, response) => answer(request, response, service));
      server.keepAliveTimeout = keepAlive;
      server.headersTimeout = 10_000;
      server.requestTimeout = 10_000;
      server.maxHeadersCount = 50;
      open.push({ server, ...(await listen(server, parseEndpoint(text), options)) });
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { endpoints: open.map(({ endpoint }) => endpoint), stop };
}

function create(tls: VaultServerOptions['tls'], listener: RequestListener): Server {
  const limits = { maxHeaderSize: 8192 };
  return tls === null
    ? createServer(limits, listener)
    : createTlsServer({ ...limits, ...tls, minVersion: 'TLSv1.2' }, listener);
}

async function listen(
  server: Server,
  endpoint: Endpoint,
  { socketMode, socketGroup }: VaultServerOptions,
): Promise<{ endpoint: string; remove: () => Promise<void> }> {
  if (endpoint.kind === 'unix') {
    const remove = await listenUnix(server, { path: endpoint.path, mode: socketMode, group: socketGroup });
    return { endpoint: formatEndpoint(endpoint), remove };
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new Error(`Listening on ${formatEndpoint(endpoint)}: ${error.message}`)));
    server.listen({ host: endpoint.host, port: endpoint.port }, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return { endpoint: formatEndpoint({ ...endpoint, port }), remove: async () => undefined };
}

const refusal = Buffer.from('{"errors":["permission denied"]}');
const nothing = Buffer.from('{"errors":[]}');
const failure = Buffer.from('{"errors":["there is no key at hand for this domain, whose mail must be signed"]}');
const healthy = Buffer.from('{"initialized":true,"sealed":false,"standby":false}');

function answer(request: IncomingMessage, response: ServerResponse, service: VaultService): void {
  // What a body holds is nobody's business.
  request.resume();
  const [status, body] = decide(request, service);
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
    ...(status === 405 ? { Allow: 'GET, HEAD' } : {}),
  });
  response.end(body);
}

function decide({ method, url = '', headers, socket }: IncomingMessage, service: VaultService): [number, Buffer] {
  const { readers, answers, paths, counters } = service;
  if (method !== 'GET' && method !== 'HEAD') return [405, nothing];
  if (url === '/v1/sys/health') return [200, healthy];
  const token = headers['x-vault-token'];
  const reader = readers.find(typeof token === 'string' ? token : undefined);
  if (reader === null) {
    counters.refused += 1;
    service.refused(socket.remoteAddress ?? 'a UNIX socket');
    return [403, refusal];
  }
  const asked = readVaultRequest(url, paths);
  if (asked === null) {
    counters.malformed += 1;
    return [404, nothing];
  }
  // What the reader may not have is answered as what nobody has.
  const found = answers.of(reader.may(asked.domain) ? asked : { ...asked, domain: '' });
  counters[found.kind] += 1;
  if (found.kind === 'unknown') return [404, nothing];
  if (found.kind !== 'foreign') service.asked(asked.domain);
  return found.kind === 'failed' ? [503, failure] : [200, found.body];
}

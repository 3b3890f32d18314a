/** TCP connections that are kept for the next request (RFC 7766 §6.2): several requests are under way on each, told apart by their ids. */
import { randomInt } from 'node:crypto';
import { createConnection, type Socket } from 'node:net';
import type { Message } from './message.ts';
import { frameMessage, StreamReader } from './stream.ts';
import { type Exchange, type ExchangeOptions, type Judged, prepare } from './transport.ts';
import { TransportError, transportErrorCode } from './transport-error.ts';

export interface ConnectionsOptions {
  /** A connection without a request for so long is closed, milliseconds: before servers do (BIND: 30 s, Knot: 10 s). */
  readonly idleMs?: number;
  /** Connections to one server at most; more requests share them. */
  readonly perServer?: number;
}

export interface Connections {
  /**
   * Like `exchange` over TCP, on a connection that may have carried others. Where one of those is closed before the answer has come, the
   * error's `reused` is true: the server may have closed it before it ever saw the request.
   */
  exchange(request: Message, options: Omit<ExchangeOptions, 'transport' | 'attempts'>): Promise<Exchange>;
  /** Closes what is open; requests that are under way fail. It can be used again. */
  close(): void;
}

interface Pending {
  readonly judge: (bytes: Uint8Array) => Judged | TransportError;
  readonly settle: (result: Judged | TransportError) => void;
  readonly what: string;
}

interface Connection {
  readonly socket: Socket;
  readonly pending: Map<number, Pending>;
  /** Answers that have come. */
  answered: number;
  connected: boolean;
  /** Takes nothing more: it is closed when the last answer has come. */
  retired: boolean;
}

const transport = 'tcp';
/** A connection with so many requests under way gets company, where another is allowed. */
const crowded = 8;

export function createConnections({ idleMs = 5000, perServer = 3 }: ConnectionsOptions = {}): Connections {
  const servers = new Map<string, Set<Connection>>();

  function open(server: string, address: string, port: number): Connection {
    const socket = createConnection({ host: address, port, noDelay: true });
    const connection: Connection = { socket, pending: new Map(), answered: 0, connected: false, retired: false };
    const all = servers.get(server) ?? new Set();
    servers.set(server, all.add(connection));
    const reader = new StreamReader();
    const leave = () => {
      all.delete(connection);
      if (all.size === 0 && servers.get(server) === all) servers.delete(server);
    };
    const fail = (make: (pending: Pending) => TransportError) => {
      leave();
      connection.retired = true;
      for (const pending of [...connection.pending.values()]) pending.settle(make(pending));
    };
    const details = (cause?: unknown) => ({
      sent: connection.connected,
      transport: 'tcp' as const,
      ...(connection.answered > 0 ? { reused: true } : {}),
      ...(cause === undefined ? {} : { cause }),
    });
    socket.once('connect', () => {
      connection.connected = true;
    });
    socket.on('data', (chunk) => {
      for (const bytes of reader.push(chunk)) {
        if (bytes.length < 12) return void socket.destroy(new Error('what came is too short for a DNS message'));
        const id = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
        // An answer that came after its time, or to nothing that was asked, is nobody's.
        const pending = connection.pending.get(id);
        if (pending === undefined) continue;
        connection.answered++;
        pending.settle(pending.judge(bytes));
      }
    });
    socket.once('error', (error) =>
      fail(
        ({ what }) =>
          new TransportError(transportErrorCode(error), `${what} failed over TCP: ${error.message}`, details(error)),
      ),
    );
    socket.once('close', () =>
      fail(
        ({ what }) =>
          new TransportError('closed', `${what}: the server closed the connection without an answer`, details()),
      ),
    );
    // A server that says that it is done will answer nothing more: `close` follows.
    socket.once('end', () => {
      leave();
      connection.retired = true;
    });
    socket.setTimeout(idleMs).on('timeout', () => {
      if (connection.pending.size > 0) return;
      // Between this and its `close` nobody is to choose it.
      connection.retired = true;
      socket.destroy();
    });
    return connection;
  }

  function choose(address: string, port: number): Connection {
    const server = `${address} ${port}`;
    const usable = [...(servers.get(server) ?? [])].filter(({ retired }) => !retired);
    const [least] = usable.sort((a, b) => a.pending.size - b.pending.size);
    if (least !== undefined && (least.pending.size < crowded || usable.length >= perServer)) return least;
    return open(server, address, port);
  }

  return {
    async exchange(request, options) {
      const { address, port = 53, timeoutMs = 5000, signal } = options;
      const start = performance.now();
      const connection = choose(address, port);
      let id = randomInt(0x10000);
      while (connection.pending.has(id)) id = randomInt(0x10000);
      const prepared = prepare(request, options, id);
      const { what } = prepared;
      const { socket, pending } = connection;
      if (signal?.aborted) {
        throw new TransportError('aborted', `${what} was called off before it was sent`, { sent: false });
      }
      const result = await new Promise<Judged | TransportError>((resolve) => {
        const settle = (settled: Judged | TransportError) => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', onAbort);
          pending.delete(id);
          resolve(settled);
          if (pending.size > 0) return;
          if (connection.retired) socket.destroy();
          // What waits for nothing keeps no process alive.
          else socket.unref();
        };
        const sent = () => ({ sent: connection.connected, transport: 'tcp' as const });
        const onAbort = () => settle(new TransportError('aborted', `${what} was called off`, sent()));
        const timer = setTimeout(() => {
          // The others on it may yet be answered, but nobody else is to wait for it.
          connection.retired = true;
          settle(new TransportError('timeout', `${what} had no answer over TCP within ${timeoutMs} ms`, sent()));
        }, timeoutMs);
        signal?.addEventListener('abort', onAbort, { once: true });
        pending.set(id, { judge: (bytes) => prepared.judge(bytes, transport), settle, what });
        socket.ref();
        // Before the connection stands, Node keeps it.
        socket.write(frameMessage(prepared.bytes));
      });
      if (result instanceof TransportError) throw result;
      return { ...result, transport, milliseconds: performance.now() - start };
    },
    close() {
      for (const connection of [...servers.values()].flatMap((all) => [...all])) {
        connection.retired = true;
        connection.socket.destroy();
      }
    },
  };
}

/** TCP clients (RFC 7766): pipelined requests, answers in order, limits on how many, how long, and how much is buffered. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { frameMessage, StreamReader } from '../wire/stream.ts';
import { plainAddress } from './access.ts';
import { network } from './rate-limit.ts';
import type { Response } from './respond.ts';

export interface ConnectionOptions {
  readonly respond: (bytes: Uint8Array, address: string) => Response;
  /** Connections at once; beyond, the one that has been idle longest goes. */
  readonly most: number;
  /** Connections at once from one network (/24 or /56). */
  readonly mostPerNetwork: number;
  /** Milliseconds without a whole request, or without taking what was sent. */
  readonly idle: number;
}

export interface Connections {
  readonly size: number;
  accept(socket: Socket): void;
  close(): void;
}

/** Bytes that may wait for a slow client before nothing more is read from it. */
const MOST_UNSENT = 256 * 1024;

interface Connection {
  readonly socket: Socket;
  readonly network: string;
  /** When it last got somewhere: a whole request, or bytes that the client took. Dribbled bytes do not count. */
  lastProgress: number;
}

export function createConnections(options: ConnectionOptions): Connections {
  const open = new Set<Connection>();
  const perNetwork = new Map<string, number>();
  const sweep = setInterval(
    () => {
      const limit = performance.now() - options.idle;
      for (const connection of open) if (connection.lastProgress < limit) connection.socket.destroy();
    },
    Math.max(50, options.idle / 4),
  );
  sweep.unref();

  const admit = (socket: Socket): Connection | null => {
    const from = network(socket.remoteAddress ?? '0.0.0.0');
    const count = perNetwork.get(from) ?? 0;
    if (count >= options.mostPerNetwork) return null;
    if (open.size >= options.most) longestIdle(open)?.socket.destroy();
    const connection = { socket, network: from, lastProgress: performance.now() };
    open.add(connection);
    perNetwork.set(from, count + 1);
    return connection;
  };

  const leave = (connection: Connection): void => {
    if (!open.delete(connection)) return;
    const left = (perNetwork.get(connection.network) ?? 1) - 1;
    if (left > 0) perNetwork.set(connection.network, left);
    else perNetwork.delete(connection.network);
  };

  return {
    get size() {
      return open.size;
    },
    accept(socket) {
      socket.on('error', () => socket.destroy());
      const connection = admit(socket);
      if (connection === null) {
        socket.destroy();
        return;
      }
      socket.once('close', () => leave(connection));
      socket.setNoDelay(true);
      serve(connection, options.respond).then(
        () => socket.end(),
        () => socket.destroy(),
      );
    },
    close() {
      clearInterval(sweep);
      for (const { socket } of open) socket.destroy();
    },
  };
}

async function serve(connection: Connection, respond: ConnectionOptions['respond']): Promise<void> {
  const { socket } = connection;
  const address = plainAddress(socket.remoteAddress ?? '0.0.0.0');
  const reader = new StreamReader();
  // A slow client holds up only itself: nothing is read while its answers wait.
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    for (const request of reader.push(chunk)) {
      connection.lastProgress = performance.now();
      const response = respond(request, address);
      // Over TCP silence would leave the client waiting: the connection ends instead.
      if (response.kind === 'silence') return;
      const messages = response.kind === 'stream' ? response.messages : [response.bytes];
      for (const message of messages) await send(connection, message);
    }
  }
}

async function send(connection: Connection, message: Uint8Array): Promise<void> {
  const { socket } = connection;
  if (socket.destroyed) throw new Error('the client is gone');
  socket.write(frameMessage(message));
  if (socket.writableLength <= MOST_UNSENT) return;
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  socket.once('close', onClose);
  try {
    await once(socket, 'drain', { signal: gone.signal });
    connection.lastProgress = performance.now();
  } finally {
    socket.off('close', onClose);
  }
}

function longestIdle(open: Iterable<Connection>): Connection | undefined {
  let oldest: Connection | undefined;
  for (const connection of open) {
    if (oldest === undefined || connection.lastProgress < oldest.lastProgress) oldest = connection;
  }
  return oldest;
}

import { createConnection, type Socket } from 'node:net';
import { frameMessage, StreamReader } from './stream.ts';
import type { ExchangeOptions, Judged, Prepared } from './transport.ts';
import { TransportError, transportErrorCode } from './transport-error.ts';

const transport = 'tcp';

/** Asks over a connection of its own until `deadline` (of `performance.now()`). Anything but the answer ends it. */
export async function askTcp(prepared: Prepared, options: ExchangeOptions, deadline: number): Promise<Judged> {
  for await (const bytes of messagesOverTcp(prepared, options, deadline)) {
    const judged = prepared.judge(bytes, transport);
    if (judged instanceof TransportError) throw judged;
    return judged;
  }
  throw new TransportError('closed', `${prepared.what}: the server closed the connection without an answer`, {
    sent: true,
    transport,
  });
}

/**
 * Sends the request and yields every message that comes back, until the peer closes or the caller stops.
 * Throws {@link TransportError} when the connection breaks, is closed within a message, or time is up.
 */
export async function* messagesOverTcp(
  prepared: Prepared,
  options: ExchangeOptions,
  deadline: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { address, port = 53, signal } = options;
  const left = Math.max(0, deadline - performance.now());
  const { what } = prepared;
  const socket = createConnection({ host: address, port, noDelay: true });
  let sent = false;
  let reason: TransportError | null = null;
  const end = (error: TransportError): void => {
    reason ??= error;
    socket.destroy(reason);
  };
  const onAbort = (): void => end(new TransportError('aborted', `${what} was called off`, { sent, transport }));
  const timeout = setTimeout(
    () =>
      end(
        new TransportError('timeout', `${what} had no answer over TCP within ${Math.round(left)} ms`, {
          sent,
          transport,
        }),
      ),
    left,
  );
  signal?.addEventListener('abort', onAbort, { once: true });
  socket.once('connect', () => {
    sent = true;
    socket.write(frameMessage(prepared.bytes));
  });
  try {
    yield* readMessages(socket, what);
  } catch (error) {
    if (error instanceof TransportError) throw error;
    const text = error instanceof Error ? error.message : String(error);
    throw new TransportError(transportErrorCode(error), `${what} failed over TCP: ${text}`, {
      sent,
      transport,
      cause: error,
    });
  } finally {
    clearTimeout(timeout);
    signal?.removeEventListener('abort', onAbort);
    socket.destroy();
  }
}

async function* readMessages(socket: Socket, what: string): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = new StreamReader();
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    for (const message of reader.push(chunk)) yield message;
  }
  if (!reader.idle) {
    throw new TransportError('closed', `${what}: the server closed the connection within a message`, {
      sent: true,
      transport,
    });
  }
}

import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { ExchangeOptions, Judged, Prepared } from './transport.ts';
import { TransportError, transportErrorCode } from './transport-error.ts';

/**
 * Asks over UDP until `deadline` (of `performance.now()`). The socket is connected, so that the kernel lets only the
 * server's own address and port through; whatever else comes from there is ignored, and remembered for the error.
 */
export function askUdp(prepared: Prepared, options: ExchangeOptions, deadline: number): Promise<Judged> {
  const { address, port = 53, attempts = 2, signal } = options;
  const { promise, resolve, reject } = Promise.withResolvers<Judged>();
  const transport = 'udp';
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  const left = Math.max(0, deadline - performance.now());
  let lastProblem: TransportError | null = null;
  let sent = false;

  const fail = (error: TransportError): void => finish(() => reject(error));
  const failSystem = (error: Error): void => {
    const code = transportErrorCode(error);
    fail(
      new TransportError(code, `${prepared.what} failed over UDP: ${error.message}`, { sent, transport, cause: error }),
    );
  };
  const onAbort = (): void =>
    fail(new TransportError('aborted', `${prepared.what} was called off`, { sent, transport }));
  const onTimeout = (): void => {
    const silence = `${prepared.what} had no answer over UDP within ${Math.round(left)} ms`;
    fail(lastProblem ?? new TransportError('timeout', silence, { sent, transport }));
  };
  const send = (): void => {
    sent = true;
    socket.send(prepared.bytes, (error) => {
      if (error !== null) failSystem(error);
    });
  };

  const timeout = setTimeout(onTimeout, left);
  let resend: NodeJS.Timeout | undefined;
  let finished = false;
  function finish(settle: () => void): void {
    if (finished) return;
    finished = true;
    clearTimeout(timeout);
    clearInterval(resend);
    signal?.removeEventListener('abort', onAbort);
    socket.close();
    settle();
  }

  signal?.addEventListener('abort', onAbort, { once: true });
  socket.on('error', failSystem);
  socket.on('message', (bytes) => {
    const judged = prepared.judge(bytes, transport);
    if (judged instanceof TransportError) lastProblem = judged;
    else finish(() => resolve(judged));
  });
  socket.on('connect', () => {
    if (finished) return;
    send();
    if (attempts > 1) resend = setInterval(send, left / attempts);
  });
  socket.connect(port, address);
  return promise;
}

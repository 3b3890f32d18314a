/** Asks over connections that stay open, one request at a time on each, as rspamd does. Plain sockets: a client of Node's own would be the limit. */
import { connect, type Socket } from 'node:net';

export interface Measured {
  readonly requests: number;
  /** Seconds. */
  readonly elapsed: number;
  /** Milliseconds of each request, ascending. */
  readonly times: Float64Array;
}

export async function load(options: {
  readonly port: number;
  readonly connections: number;
  readonly token: string;
  readonly domains: number;
  readonly requests: number;
}): Promise<Measured> {
  const times = new Float64Array(options.requests);
  let next = 0;
  let done = 0;
  const started = performance.now();
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket: Socket = connect({ port: options.port, host: '127.0.0.1', noDelay: true });
      let began = 0;
      let missing = -1;
      const ask = () => {
        if (next >= options.requests) {
          socket.destroy();
          return resolve();
        }
        // All domains in turn, none near the last one.
        const domain = `d${(next * 7919) % options.domains}.example`;
        next += 1;
        missing = -1;
        began = performance.now();
        socket.write(
          `GET /v1/dkim/${domain} HTTP/1.1\r\nConnection: keep-alive\r\nHost: 127.0.0.1\r\nX-Vault-Token: ${options.token}\r\nUser-Agent: rspamd-3.4\r\n\r\n`,
        );
      };
      socket.once('connect', ask);
      socket.once('error', reject);
      socket.on('data', (chunk) => {
        if (missing < 0) {
          const head = chunk.indexOf('\r\n\r\n');
          const text = chunk.toString('latin1', 0, head);
          const length = Number(/^content-length: (\d+)/im.exec(text)?.[1]);
          if (!text.startsWith('HTTP/1.1 200') || !(length > 1000)) {
            return reject(new Error(`Not the answer that was asked for: ${text.split('\r\n')[0]}`));
          }
          missing = length - (chunk.length - head - 4);
        } else missing -= chunk.length;
        if (missing > 0) return;
        times[done] = performance.now() - began;
        done += 1;
        ask();
      });
    });
  await Promise.all(Array.from({ length: options.connections }, one));
  return { requests: done, elapsed: (performance.now() - started) / 1000, times: times.subarray(0, done).toSorted() };
}

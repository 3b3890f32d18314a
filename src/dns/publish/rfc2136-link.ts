/** What is kept between changes: connections to each server, the batch of each of its zones, and whether it takes signed queries. */
import { type Connections, createConnections } from '../wire/connections.ts';
import type { Message } from '../wire/message.ts';
import { type Exchange, TransportError } from '../wire/transport.ts';
import type { TsigKey } from '../wire/tsig.ts';
import { createUpdateBatch, type UpdateBatch } from './rfc2136-batch.ts';

export interface ServerLink {
  /** @throws TransportError */
  query(message: Message, signal: AbortSignal | undefined): Promise<Exchange>;
  /**
   * Sends an update of one name, with others of the zone where some come together.
   *
   * @throws TransportError
   */
  update(zone: string, name: string, message: Message, signal: AbortSignal | undefined): Promise<Exchange>;
}

export interface ServerLinks {
  to(server: { readonly address: string; readonly port: number }): ServerLink;
  close(): void;
}

interface LinkOptions {
  readonly key: TsigKey;
  readonly timeoutMs: number;
  /** Epoch seconds. */
  readonly now: () => number;
}

/** A server that would not take a signed query is asked without signature for so long, seconds. */
const unsignedFor = 600;

export function createServerLinks({ key, timeoutMs, now }: LinkOptions): ServerLinks {
  const connections = createConnections();
  const links = new Map<string, ServerLink>();
  return {
    to({ address, port }) {
      const name = `${address} ${port}`;
      const known = links.get(name);
      if (known !== undefined) return known;
      const link = createLink({ address, port }, connections, { key, timeoutMs, now });
      links.set(name, link);
      return link;
    },
    close: () => connections.close(),
  };
}

function createLink(
  server: { readonly address: string; readonly port: number },
  connections: Connections,
  { key, timeoutMs, now }: LinkOptions,
): ServerLink {
  const tsig = { key, now };
  const batches = new Map<string, UpdateBatch<Exchange>>();
  let unsignedUntil = Number.NEGATIVE_INFINITY;

  /** A query may be sent twice without harm: once more where the kept connection had been closed. */
  async function ask(message: Message, signal: AbortSignal | undefined, signed: boolean): Promise<Exchange> {
    const options = {
      ...server,
      timeoutMs,
      ...(signal === undefined ? {} : { signal }),
      ...(signed ? { tsig } : {}),
    };
    try {
      return await connections.exchange(message, options);
    } catch (error) {
      if (!(error instanceof TransportError) || error.code !== 'closed' || error.details.reused !== true) throw error;
      return connections.exchange(message, options);
    }
  }

  return {
    async query(message, signal) {
      if (now() < unsignedUntil && unsignedUntil - now() <= unsignedFor) return ask(message, signal, false);
      try {
        const answer = await ask(message, signal, true);
        if (answer.verification?.reported === 0) return answer;
      } catch (error) {
        if (!(error instanceof TransportError) || error.code !== 'tsig') throw error;
      }
      // What is wrong with the key shows at the update, and is told there.
      const answer = await ask(message, signal, false);
      unsignedUntil = now() + unsignedFor;
      return answer;
    },
    update(zone, name, message, signal) {
      const batch =
        batches.get(zone) ??
        createUpdateBatch<Exchange>({
          send: (together) => connections.exchange(together, { ...server, timeoutMs, tsig }),
          isRefusal: (answer) => answer.message.rcode !== 'NOERROR',
          // Zones are many, and each is written seldom.
          onIdle: () => batches.delete(zone),
        });
      batches.set(zone, batch);
      const done = batch.submit(name, message, signal);
      return signal === undefined ? done : orAborted(done, signal, `the UPDATE of ${name}`);
    },
  };
}

/** Who calls off waits no longer; what was sent for many takes its course. */
function orAborted<T>(done: Promise<T>, signal: AbortSignal, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(new TransportError('aborted', `${what} was called off`, { sent: true }));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    done.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

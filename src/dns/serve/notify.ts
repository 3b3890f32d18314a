/** Telling secondaries that a zone has changed (RFC 1996), until they answer or are given up. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createMessage } from '../wire/message.ts';
import { exchange } from '../wire/transport.ts';
import type { TsigKey } from '../wire/tsig.ts';
import type { Zone } from './zone.ts';

export interface Secondary {
  readonly address: string;
  /** Default 53. */
  readonly port?: number;
  /** Signs the NOTIFY. */
  readonly key?: TsigKey;
}

export type NotifyEvent =
  | { readonly kind: 'notified'; readonly apex: string; readonly serial: number; readonly secondary: Secondary }
  /** It did not answer or would not have it; the secondary still finds out by its own refresh. */
  | {
      readonly kind: 'not-notified';
      readonly apex: string;
      readonly serial: number;
      readonly secondary: Secondary;
      readonly message: string;
    };

export interface NotifierOptions {
  readonly zone: (apex: string) => Zone | undefined;
  readonly secondaries: (apex: string) => readonly Secondary[];
  /** Epoch milliseconds, for signatures. */
  readonly now: () => number;
  readonly onEvent?: ((event: NotifyEvent) => void) | undefined;
  /** Milliseconds; changes that follow one another so closely share one NOTIFY. */
  readonly gather?: number;
  /** Milliseconds to wait for an answer, doubled with each attempt. */
  readonly patience?: number;
  readonly attempts?: number;
}

export interface Notifier {
  /** The zone has changed (or the server has started). Returns at once. */
  changed(apex: string): void;
  close(): Promise<void>;
}

/** Exchanges under way at once with one secondary: a start with thousands of zones must not be a flood. */
const SIDE_BY_SIDE = 8;

/** What is to be told to one secondary; one that is silent holds up nobody else. */
interface Queue {
  /** Apexes, in order. */
  readonly waiting: Set<string>;
  /** Ends what is being told of a zone when there is newer news. */
  readonly underWay: Map<string, AbortController>;
  workers: number;
}

export function createNotifier(options: NotifierOptions): Notifier {
  const { gather = 20, patience = 1000, attempts = 5 } = options;
  const stop = new AbortController();
  const queues = new Map<string, Queue>();
  const running = new Set<Promise<void>>();

  const tell = async (zone: Zone, secondary: Secondary, signal: AbortSignal): Promise<void> => {
    const about = { apex: zone.apex, serial: zone.serial, secondary };
    let last = '';
    for (let attempt = 0; attempt < attempts && !signal.aborted; attempt += 1) {
      const timeoutMs = patience * 2 ** attempt;
      const start = performance.now();
      const answer = await notifyOnce(zone, secondary, timeoutMs, signal, options.now);
      if (answer === null) {
        options.onEvent?.({ kind: 'notified', ...about });
        return;
      }
      last = answer;
      // Where the answer came at once (nothing listens, refused), the next attempt still waits its turn.
      const rest = timeoutMs - (performance.now() - start);
      if (attempt < attempts - 1 && rest > 0) await pause(rest, signal);
    }
    if (!signal.aborted) options.onEvent?.({ kind: 'not-notified', ...about, message: last });
  };

  const work = async (queue: Queue, id: string): Promise<void> => {
    await pause(gather, stop.signal);
    for (;;) {
      const [apex] = queue.waiting;
      if (apex === undefined || stop.signal.aborted) return;
      queue.waiting.delete(apex);
      const zone = options.zone(apex);
      const secondary = options.secondaries(apex).find((each) => idOf(each) === id);
      if (zone === undefined || secondary === undefined) continue;
      const newer = new AbortController();
      queue.underWay.set(apex, newer);
      await tell(zone, secondary, AbortSignal.any([stop.signal, newer.signal]));
      if (queue.underWay.get(apex) === newer) queue.underWay.delete(apex);
    }
  };

  return {
    changed(apex) {
      if (stop.signal.aborted) return;
      for (const secondary of options.secondaries(apex)) {
        const id = idOf(secondary);
        const queue = queues.get(id) ?? { waiting: new Set(), underWay: new Map(), workers: 0 };
        queues.set(id, queue);
        queue.underWay.get(apex)?.abort();
        queue.waiting.add(apex);
        if (queue.workers >= SIDE_BY_SIDE) continue;
        queue.workers += 1;
        const worker = work(queue, id).finally(() => {
          queue.workers -= 1;
          running.delete(worker);
        });
        running.add(worker);
      }
    },
    async close() {
      stop.abort();
      await Promise.all(running);
    },
  };
}

function idOf({ address, port = 53 }: Secondary): string {
  return `${address} ${port}`;
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => undefined);
}

/** Null when the secondary has taken it; otherwise why not. */
async function notifyOnce(
  zone: Zone,
  { address, port = 53, key }: Secondary,
  timeoutMs: number,
  signal: AbortSignal,
  now: () => number,
): Promise<string | null> {
  const tsig = key === undefined ? {} : { tsig: { key, now: () => Math.floor(now() / 1000) } };
  try {
    const { message } = await exchange(notification(zone), {
      address,
      port,
      transport: 'udp',
      attempts: 1,
      timeoutMs,
      signal,
      ...tsig,
    });
    if (message.rcode === 'NOERROR') return null;
    return `it answered ${message.rcode}: does it know the zone, and take NOTIFY from this server?`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** RFC 1996 section 3.7: the new SOA goes along as a hint. */
function notification(zone: Zone): ReturnType<typeof createMessage> {
  return createMessage({
    opcode: 'NOTIFY',
    flags: { aa: true },
    questions: [{ name: zone.apex, type: 'SOA', class: 'IN' }],
    answers: [zone.soa],
  });
}

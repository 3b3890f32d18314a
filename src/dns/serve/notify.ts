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

/** Exchanges under way at once, over all zones: a start with thousands of zones must not be a flood. */
const SIDE_BY_SIDE = 16;

export function createNotifier(options: NotifierOptions): Notifier {
  const { gather = 20, patience = 1000, attempts = 5 } = options;
  const stop = new AbortController();
  /** Apexes that wait to be told of, in order. */
  const waiting = new Set<string>();
  /** Ends what is being told of a zone when there is newer news. */
  const underWay = new Map<string, AbortController>();
  const workers = new Set<Promise<void>>();

  const tell = async (zone: Zone, secondary: Secondary, signal: AbortSignal): Promise<void> => {
    const about = { apex: zone.apex, serial: zone.serial, secondary };
    let last = '';
    for (let attempt = 0; attempt < attempts && !signal.aborted; attempt += 1) {
      const timeoutMs = patience * 2 ** attempt;
      const start = performance.now();
      try {
        const { message } = await exchange(notification(zone), {
          address: secondary.address,
          port: secondary.port ?? 53,
          transport: 'udp',
          attempts: 1,
          timeoutMs,
          signal,
          ...(secondary.key === undefined
            ? {}
            : { tsig: { key: secondary.key, now: () => Math.floor(options.now() / 1000) } }),
        });
        if (message.rcode === 'NOERROR') {
          options.onEvent?.({ kind: 'notified', ...about });
          return;
        }
        last = `it answered ${message.rcode}: does it know the zone, and take NOTIFY from this server?`;
      } catch (error) {
        last = error instanceof Error ? error.message : String(error);
      }
      // Where the answer came at once (nothing listens, refused), the next attempt still waits its turn.
      const rest = timeoutMs - (performance.now() - start);
      if (attempt < attempts - 1 && rest > 0) await sleep(rest, undefined, { signal }).catch(() => undefined);
    }
    if (!signal.aborted) options.onEvent?.({ kind: 'not-notified', ...about, message: last });
  };

  const work = async (): Promise<void> => {
    await sleep(gather, undefined, { signal: stop.signal }).catch(() => undefined);
    for (;;) {
      const [apex] = waiting;
      if (apex === undefined || stop.signal.aborted) return;
      waiting.delete(apex);
      const zone = options.zone(apex);
      if (zone === undefined) continue;
      const newer = new AbortController();
      underWay.set(apex, newer);
      const signal = AbortSignal.any([stop.signal, newer.signal]);
      await Promise.all(options.secondaries(apex).map((secondary) => tell(zone, secondary, signal)));
      if (underWay.get(apex) === newer) underWay.delete(apex);
    }
  };

  return {
    changed(apex) {
      if (stop.signal.aborted || options.secondaries(apex).length === 0) return;
      underWay.get(apex)?.abort();
      waiting.add(apex);
      if (workers.size >= SIDE_BY_SIDE) return;
      const worker = work();
      workers.add(worker);
      void worker.finally(() => workers.delete(worker));
    },
    async close() {
      stop.abort();
      await Promise.all(workers);
    },
  };
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

/**
 * Steady mail for rehearsals: a mail server that hands each message to the milter, and a receiver that verifies it at once and again later, with
 * mailauth, through a resolver that remembers answers and their absence for as long as real ones do. Where the milter cannot be
 * reached or puts a message off, the mail server tries again, as Postfix has its clients do; where DNS cannot be reached, the receiver does.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CachingResolver } from '../../dns/lookup/cache.ts';
import { connectMilter, type MilterClient } from '../../signers/milter/client.ts';
import { verifyMessage } from '../verify-message.ts';
import { receivedMessage, rehearsalMessage } from './message.ts';

export interface TrafficOptions {
  /** The milter, as `inet:HOST:PORT` or `unix:PATH`. */
  readonly socket: string;
  readonly domain: string;
  /** Messages go to the receivers in turn; each has a cache of its own. */
  readonly receivers: readonly CachingResolver[];
  /** Milliseconds from one message to the next. */
  readonly every: number;
  /** Each message is verified again this many milliseconds after it was received; less than the policy's overlap. */
  readonly againAfter: number;
  /** Algorithms that every message must be signed with. */
  readonly algorithms: readonly string[];
  /** A connection for each message: milters such as OpenDKIM go on signing one connection's mail by what they had when it began. */
  readonly connectAnew?: boolean;
  /** Keys declared compromised: receivers are meant to refuse their signatures, and another one of the message must hold. */
  readonly excused?: (selector: string) => boolean;
}

export interface TrafficCounts {
  readonly messages: number;
  readonly signed: number;
  /** Signatures found good, at once and later. */
  readonly verified: number;
  /** Messages that went out without the signatures that they must have. */
  readonly unsigned: number;
  /** Messages one of whose signatures did not verify, at once or later. */
  readonly unverifiable: number;
  /** Times that a message was put off and sent again. */
  readonly putOff: number;
  /** Signatures of compromised keys that receivers refused, as they should. */
  readonly refused: number;
}

export interface Traffic {
  counts(): TrafficCounts;
  /** What went wrong, for people: the first fifty. */
  readonly failures: readonly string[];
  /** Selectors that have signed, with the number of messages. */
  readonly selectors: ReadonlyMap<string, number>;
  /** Sends no more, and waits until what was sent has been verified again. */
  stop(): Promise<TrafficCounts>;
}

/** How long a message is put off at most, and how long a receiver tries to reach DNS, milliseconds. */
const patience = 30_000;

export function startTraffic(options: TrafficOptions): Traffic {
  const counts = { messages: 0, signed: 0, verified: 0, unsigned: 0, unverifiable: 0, putOff: 0, refused: 0 };
  const failures: string[] = [];
  const selectors = new Map<string, number>();
  const later = new Set<Promise<void>>();
  let stopping = false;
  let client: MilterClient | null = null;

  const fail = (kind: 'unsigned' | 'unverifiable', what: string) => {
    counts[kind]++;
    if (failures.length < 50) failures.push(`${new Date().toISOString()} ${what}`);
  };

  /** Hands one message over, as often as it takes; null where the time for that is up. */
  const send = async (number: number): Promise<Buffer | null> => {
    const message = rehearsalMessage(options.domain, number, Date.now());
    for (const start = performance.now(); performance.now() - start < patience; counts.putOff++) {
      try {
        client ??= await connectMilter(options.socket);
        const outcome = await client.deliver(message);
        if (options.connectAnew === true) {
          client.quit();
          client[Symbol.dispose]();
          client = null;
        }
        if (outcome.verdict === 'accepted') return receivedMessage(message, outcome.added);
      } catch {
        client?.[Symbol.dispose]();
        client = null;
      }
      await sleep(25);
    }
    return null;
  };

  /** The receiver's judgement; what DNS cannot answer for now is asked again. */
  const judge = async (message: Buffer, number: number, when: string): Promise<boolean> => {
    // The second judgement is another receiver's: one that may have to ask DNS now.
    const turn = when === 'at once' ? number : number + 1;
    const receiver = options.receivers[turn % options.receivers.length];
    if (receiver === undefined) throw new Error('traffic needs at least one receiver');
    for (const start = performance.now(); ; await sleep(50)) {
      const signatures = await verifyMessage(message, receiver.resolveTxt);
      if (signatures.some(({ result }) => result === 'temperror') && performance.now() - start < patience) continue;
      const missing = options.algorithms.filter((wanted) => !signatures.some(({ algorithm }) => algorithm === wanted));
      if (missing.length > 0) {
        fail('unsigned', `message ${number} has no ${missing.join(' and no ')} signature`);
        return false;
      }
      const failed = signatures.filter(({ result }) => result !== 'pass');
      const bad =
        failed.length < signatures.length
          ? failed.filter(({ selector }) => options.excused?.(selector) !== true)
          : failed;
      counts.refused += failed.length - bad.length;
      if (bad.length > 0) {
        fail(
          'unverifiable',
          `message ${number}, ${when}: ${bad.map((s) => `${s.selector} ${s.result} ${s.comment}`).join(', ')}`,
        );
        return false;
      }
      if (when === 'at once') {
        for (const { selector } of signatures) selectors.set(selector, (selectors.get(selector) ?? 0) + 1);
      }
      counts.verified++;
      return true;
    }
  };

  const run = async () => {
    let next = performance.now();
    while (!stopping) {
      const number = ++counts.messages;
      const message = await send(number);
      if (message === null) fail('unsigned', `message ${number} could not be handed over`);
      else {
        const again = (async () => {
          if (!(await judge(message, number, 'at once'))) return;
          counts.signed++;
          await sleep(options.againAfter);
          await judge(message, number, 'later');
        })().finally(() => later.delete(again));
        later.add(again);
      }
      next = Math.max(next + options.every, performance.now());
      await sleep(Math.max(0, next - performance.now()));
    }
    client?.quit();
    client?.[Symbol.dispose]();
  };
  const done = run();
  // Whoever stops the traffic hears of its end; until then a failure must not end the program.
  done.catch(() => undefined);

  return {
    counts: () => ({ ...counts }),
    failures,
    selectors,
    async stop() {
      stopping = true;
      await done;
      await Promise.all(later);
      return { ...counts };
    },
  };
}

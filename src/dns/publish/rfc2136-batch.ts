/**
 * Changes of one zone that come together go out in one UPDATE: a server writes its journal once a message, and takes the updates of one zone
 * one after the other anyhow. A message takes effect whole or not at all (RFC 2136 §3.4), so that each name keeps the prerequisites
 * that make its own change a compare-and-set; where one of many does not hold, each is sent alone, and only it is held up.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createMessage, encodeMessage, type Message } from '../wire/message.ts';

/** Sends one message. Must answer for failures by throwing. */
export type SendUpdate<T> = (message: Message) => Promise<T>;

export interface BatchOptions<T> {
  /** Messages for the same place (server and zone) may be put together. */
  readonly send: SendUpdate<T>;
  /** True where the answer to many does not speak for each of them: they are sent one by one. */
  readonly isRefusal: (answer: T) => boolean;
  /** How long the first of a batch waits for others, milliseconds. */
  readonly gatherMs?: number;
  /** Names in one message at most. */
  readonly most?: number;
  /** Called each time when nothing waits or is under way any more. */
  readonly onIdle?: () => void;
}

interface Waiting<T> {
  readonly name: string;
  readonly message: Message;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (answer: T) => void;
  readonly reject: (error: unknown) => void;
}

export interface UpdateBatch<T> {
  /** The answer to the message, alone or with others. `signal` takes it back only while it has not been sent. */
  submit(name: string, message: Message, signal?: AbortSignal): Promise<T>;
}

const mostNames = 50;
/** Of the 64 KiB that a message may have; one name's change may be as long as it is. */
const mostBytes = 32 * 1024;

/** Of the updates of one zone at one server one message is under way at a time; what comes meanwhile makes up the next. */
export function createUpdateBatch<T>({
  send,
  isRefusal,
  gatherMs = 2,
  most = mostNames,
  onIdle,
}: BatchOptions<T>): UpdateBatch<T> {
  let waiting: Waiting<T>[] = [];
  let running = false;

  async function run(): Promise<void> {
    running = true;
    try {
      // Those that were decided in the same moment.
      await sleep(gatherMs);
      while (waiting.length > 0) await sendSome(take());
    } finally {
      running = false;
      onIdle?.();
    }
  }

  /** The next ones that fit into one message: no name twice, for the second was decided on what the first changes. */
  function take(): Waiting<T>[] {
    const taken = new Map<string, Waiting<T>>();
    const left: Waiting<T>[] = [];
    let bytes = 0;
    for (const each of waiting) {
      if (each.signal?.aborted) {
        each.reject(each.signal.reason);
        continue;
      }
      const length = encodeMessage(each.message).length;
      const fits = taken.size === 0 || (taken.size < most && bytes + length <= mostBytes);
      if (!fits || taken.has(each.name)) {
        left.push(each);
        continue;
      }
      bytes += length;
      taken.set(each.name, each);
    }
    waiting = left;
    return [...taken.values()];
  }

  async function sendSome(batch: readonly Waiting<T>[]): Promise<void> {
    const [first, ...others] = batch;
    if (first === undefined) return;
    if (others.length === 0) return sendAlone(first);
    try {
      const answer = await send(together(batch.map(({ message }) => message)));
      if (!isRefusal(answer)) for (const { resolve } of batch) resolve(answer);
      else await Promise.all(batch.map(sendAlone));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  async function sendAlone({ message, resolve, reject }: Waiting<T>): Promise<void> {
    try {
      resolve(await send(message));
    } catch (error) {
      reject(error);
    }
  }

  return {
    submit: (name, message, signal) =>
      new Promise((resolve, reject) => {
        waiting.push({ name, message, signal, resolve, reject });
        if (!running) void run();
      }),
  };
}

/** One UPDATE with the prerequisites and changes of all, which name the same zone. */
export function together(messages: readonly Message[]): Message {
  return createMessage({
    opcode: 'UPDATE',
    questions: messages[0]?.questions ?? [],
    answers: messages.flatMap(({ answers }) => answers),
    authorities: messages.flatMap(({ authorities }) => authorities),
  });
}

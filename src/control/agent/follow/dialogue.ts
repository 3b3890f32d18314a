/** What the agent and the control plane say to one another: a greeting, everything, then what changes, and reports all the while. */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorText, type Log } from '../../log.ts';
import { changesAnswer, helloAnswer, MOST_REPORTS, missingAnswer, pageAnswer, reportsAnswer } from '../wire.ts';
import type { Connection } from './connection.ts';
import type { Holdings, LoadingTurn } from './holdings.ts';
import { type Link, LinkError } from './link.ts';
import type { LocalSigners } from './local-signers.ts';
import type { Outbox } from './outbox.ts';
import type { StateFile } from './state.ts';

/** Another agent runs under this one's name, here or elsewhere. */
export class AgentTaken extends Error {
  override readonly name = 'AgentTaken';
}

/** A socket of a signer cannot be opened: without it the agent is of no use. */
export class SocketError extends Error {
  override readonly name = 'SocketError';
}

export interface DialogueOptions {
  readonly link: Link;
  readonly connection: Connection;
  readonly holdings: Holdings;
  readonly outbox: Outbox;
  readonly signers: LocalSigners;
  readonly state: StateFile;
  readonly log: Log;
  readonly version: string;
  /** In [0, 1). */
  readonly random: () => number;
  readonly elapsed: () => number;
  readonly stopping: AbortSignal;
  /** Called when every keyring is there. @throws SocketError */
  readonly openSockets: () => Promise<void>;
}

export interface Dialogue {
  /** Until it is stopped. @throws AgentTaken, SocketError */
  follow(): Promise<void>;
  /** Everything that is to be told, where the control plane is heard. */
  sendReports(): Promise<void>;
  /** Gives the name back, where the control plane is heard. */
  sayGoodbye(): Promise<void>;
}

/** How long the control plane is asked to wait for news, milliseconds. */
const wait = 25_000;
/** How often everything is compared with the control plane, milliseconds. */
const compareEvery = 3_600_000;
/** Refusals that another instance would answer with as well. */
const staying = new Set<string>(['name-taken', 'not-greeted', 'position-unknown']);
const byeAnswer = changesAnswer.pick({ time: true });

export function createDialogue(options: DialogueOptions): Dialogue {
  const { link, connection, holdings, outbox, signers, state, log, version, random, elapsed, stopping, openSockets } =
    options;

  /** Reports wait until the control plane is heard: the loop below says what is the matter. */
  async function sendReports(): Promise<void> {
    if (!connection.isUp) return;
    for (let letters = outbox.take(); letters !== null; letters = outbox.take()) {
      try {
        const body = { reports: letters.reports };
        const { refused } = await link.call({ method: 'POST', path: 'reports', body, answer: reportsAnswer });
        letters.settle();
        if (refused > 0) log.debug('reports-refused', { count: refused });
      } catch (error) {
        if (!(error instanceof LinkError) || (error.problem !== 'bad-request' && error.problem !== 'too-large')) return;
        // What is not understood would stand in the way of all that comes after it for ever.
        letters.settle();
        log.error('reports-not-understood', { count: letters.reports.length, why: error.message });
      }
    }
  }

  /** Everything, page by page; where to follow from. */
  async function loadAll(): Promise<string> {
    let position: string | null = null;
    let after: string | null = null;
    const named = new Set<string>();
    const turn = await holdings.loading();
    try {
      do {
        const query: string = after === null ? '' : `?after=${encodeURIComponent(after)}`;
        const path = `keyrings${query}`;
        const page = await link.call({
          method: 'GET',
          path,
          answer: pageAnswer,
          timeout: 60_000,
          signal: stopping,
        });
        position ??= page.position;
        for (const { domain } of page.items) named.add(domain);
        await turn.add(page.items);
        after = page.next;
      } while (after !== null);
      await askForMissing(named, turn);
    } catch (error) {
      await turn.abandon();
      throw error;
    }
    await turn.finish();
    return position ?? '0.';
  }

  /** Domains that were not named are asked for one by one: that a list is short is no reason to stop signing. */
  async function askForMissing(named: ReadonlySet<string>, turn: LoadingTurn): Promise<void> {
    const missing = holdings.domains().filter((domain) => !named.has(domain));
    for (let i = 0; i < missing.length; i += MOST_REPORTS) {
      const domains = missing.slice(i, i + MOST_REPORTS);
      const { items, unknown } = await link.call({
        method: 'POST',
        path: 'missing',
        body: { domains },
        answer: missingAnswer,
        timeout: 60_000,
        signal: stopping,
      });
      await turn.add(items);
      if (unknown.length > 0)
        log.warn('domains-unknown', {
          count: unknown.length,
          domains: unknown.slice(0, 10),
          advice:
            'the control plane has neither keys for them nor a record of their leaving (is it the right one, and whole?): they go on being signed with the keys that are here',
        });
    }
  }

  async function followOnce(): Promise<void> {
    const { abilities, names } = signers;
    const hello = await link.call({
      method: 'POST',
      path: 'hello',
      answer: helloAnswer,
      signal: stopping,
      body: { version, install: state.value.install, host: hostname(), signers: names, ...abilities },
    });
    connection.greeted(hello);
    warnOfAbilities(signers, hello, log);
    let position = await loadAll();
    state.setTaken(false);
    connection.up();
    if (!holdings.isOpen) await openSockets();
    const loadedAt = elapsed();
    while (!stopping.aborted && elapsed() - loadedAt < compareEvery) {
      const path = `changes?since=${position}&wait=${wait}`;
      const changes = await link.call({
        method: 'GET',
        path,
        answer: changesAnswer,
        timeout: wait + 15_000,
        signal: stopping,
      });
      await holdings.apply(changes.items);
      position = changes.position;
      connection.heard();
    }
  }

  async function follow(): Promise<void> {
    while (!stopping.aborted) {
      try {
        await followOnce();
      } catch (error) {
        if (stopping.aborted) return;
        if (error instanceof SocketError) throw error;
        const pause = connection.lost(error);
        if (pause === null) {
          state.setTaken(true);
          throw new AgentTaken(errorText(error));
        }
        if (!(error instanceof LinkError) || !staying.has(error.problem ?? '')) link.next();
        await sleep(pause * (0.5 + random() / 2), undefined, { signal: stopping }).catch(() => undefined);
      }
    }
  }

  return {
    follow,
    sendReports,
    async sayGoodbye() {
      if (!connection.isUp) return;
      await sendReports();
      await link
        .call({ method: 'POST', path: 'bye', answer: byeAnswer, timeout: 1000 })
        .catch((error: unknown) => log.debug('goodbye-not-heard', { why: errorText(error) }));
    },
  };
}

function warnOfAbilities(
  { abilities }: LocalSigners,
  hello: { algorithms: readonly string[]; atMost: number | null; name: string },
  log: Log,
): void {
  const lacking = hello.algorithms.filter((algorithm) => !abilities.algorithms.some((each) => each === algorithm));
  if (lacking.length > 0)
    log.warn('abilities-differ', {
      lacking,
      advice: `no signer here signs with ${lacking.join(' or ')}: say \`algorithms: [${abilities.algorithms.join(', ')}]\` for ${hello.name} in keyturn.yaml, or its keys are waited for in vain`,
    });
  if (abilities.atMost !== null && (hello.atMost === null || hello.atMost > abilities.atMost))
    log.warn('abilities-differ', {
      advice: `a signer here signs with ${abilities.atMost} keys of a stream at most: say \`atMost: ${abilities.atMost}\` for ${hello.name} in keyturn.yaml`,
    });
}

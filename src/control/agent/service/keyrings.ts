/** What an agent is given: the keyrings of its domains, all of them or those that changed since a place in the journal. */
import { hasDrifted } from '../../../lifecycle/facts.ts';
import type { Snapshot } from '../../../lifecycle/types.ts';
import { StoreError } from '../../../store/errors.ts';
import type { JournalEvent } from '../../../store/journal.ts';
import type { Store, StoredKeyring } from '../../../store/store.ts';
import { boundStreams, isForSigner, signerOutcomes } from '../../bindings.ts';
import type { Actor } from '../../events.ts';
import { toSignerKeyring } from '../../keyring.ts';
import { errorText, type Log } from '../../log.ts';
import { type Operator, operate } from '../../operations.ts';
import type { Item, KeyringItem } from '../wire.ts';
import type { KnownAgent } from './authenticate.ts';
import type { JournalTail } from './tail.ts';

export interface KeyringSource {
  readonly store: Store;
  readonly operator: (agent: KnownAgent) => Operator;
  readonly tail: JournalTail;
  readonly log: Log;
}

const domainsPerPage = 100;
const eventsPerRead = 1000;
/** Domains in one answer of changes. */
const mostChanges = 200;

/** Events after which nothing of a keyring has changed: looks repeat them, and agents have made them. */
const silent = new Set([
  'proved',
  'record-written',
  'record-not-written',
  'condition-raised',
  'condition-cleared',
  'acknowledged',
  'not-acknowledged',
  'first-signature-seen',
  'self-test-failed',
  'signer-changed',
  'signer-lost',
]);

export function agentActor({ name }: KnownAgent): Actor {
  return { name, source: 'agent' };
}

/** One page of all that the agent is to have, in order of name. Domains that did not count on it yet do from here on. */
export async function pageOf(
  agent: KnownAgent,
  after: string | null,
  source: KeyringSource,
): Promise<{ position: string; items: Item[]; next: string | null }> {
  const { store } = source;
  // Before the first keyring is read: what changes meanwhile comes again as a change.
  const position = positionAfter(await newest(store));
  const items: Item[] = [];
  let next: string | null = after;
  do {
    const page: Awaited<ReturnType<Store['listDomains']>> = await store.listDomains(
      { kind: 'mail' },
      { limit: domainsPerPage, after: next },
    );
    const bound = page.items.filter(
      ({ name }) => boundStreams({ ...agent.binding, streams: ['*'] }, name, ['any']).length > 0,
    );
    items.push(
      ...(await itemsOf(
        agent,
        bound.map(({ name }) => name),
        source,
      )),
    );
    next = page.next;
  } while (next !== null && items.length < domainsPerPage);
  return { position, items, next };
}

/** What changed after `position`, as soon as there is something; an empty answer when `signal` ends the waiting. Null: no such place. */
export async function changesOf(
  agent: KnownAgent,
  position: string,
  source: KeyringSource,
  signal: AbortSignal,
): Promise<{ position: string; items: Item[] } | null> {
  const { store, tail } = source;
  let last = await entryAt(store, position);
  if (last === null) return null;
  for (;;) {
    const { items: events } = await store.journal.list(
      { order: 'oldest' },
      { limit: eventsPerRead, after: String(last.seq) },
    );
    const named = new Set<string>();
    for (const event of events) {
      if (event.domain !== null && isNews(event, agent)) named.add(event.domain);
      last = event;
      if (named.size >= mostChanges) break;
    }
    const items = await itemsOf(agent, [...named], source);
    if (items.length > 0 || signal.aborted) return { position: positionAfter(last), items };
    if (events.length === 0) await tail.grown(last.seq, signal);
  }
}

/** What has become of domains that the agent has and was not given: a list that is short is never a reason to forget. */
export async function missingOf(
  agent: KnownAgent,
  domains: readonly string[],
  source: KeyringSource,
): Promise<{ items: Item[]; unknown: string[] }> {
  const items = await itemsOf(agent, domains, source);
  const answered = new Set(items.map(({ domain }) => domain));
  return { items, unknown: domains.filter((domain) => !answered.has(domain)) };
}

function isNews({ kind, source, actor }: JournalEvent, agent: KnownAgent): boolean {
  if (silent.has(kind)) return false;
  // What this agent has reported comes back to it only where it changes what it is to do.
  return source !== 'agent' || actor !== agent.name || kind === 'generation-raised' || kind === 'drift-restored';
}

/** Items for those of the domains that are, or were, the agent's. What is written for them goes into few transactions. */
async function itemsOf(agent: KnownAgent, domains: readonly string[], source: KeyringSource): Promise<Item[]> {
  const { store, operator } = source;
  const stored = await store.snapshots(domains);
  const items = domains.map(async (name) => {
    let snapshot = stored.get(name)?.snapshot;
    if (snapshot !== undefined && signerOutcomes(snapshot, [agent.binding], 0).length > 0) {
      // No mail is signed by an agent that the domain does not wait for.
      const joined = await operate(operator(agent), name, (now, at) =>
        signerOutcomes(now.snapshot, [agent.binding], at),
      );
      if (joined.kind === 'done') snapshot = joined.snapshot;
    }
    return snapshot === undefined ? formerItem(agent, name, store) : itemOf(agent, snapshot, source);
  });
  return (await Promise.all(items)).filter((item) => item !== null);
}

async function itemOf(agent: KnownAgent, snapshot: Snapshot, { store, log }: KeyringSource): Promise<Item | null> {
  const { name, removingAt, generation } = snapshot.domain;
  const known = snapshot.signers.find(({ id }) => id === agent.name);
  if (known === undefined) return formerItem(agent, name, store);
  if (removingAt !== null && !snapshot.keys.some((key) => key.state === 'active'))
    return { kind: 'forget', domain: name, generation };
  try {
    const stored = await store.keyring(name);
    return stored === null ? null : toItem(agent, stored, snapshot);
  } catch (error) {
    // One domain's trouble is not the others'; a store that is away is everybody's.
    if (error instanceof StoreError && error.code !== 'unsealed' && error.code !== 'wrong-kek') throw error;
    log.error('keyring-not-given', { domain: name, agent: agent.name, error: errorText(error) });
    return { kind: 'damaged', domain: name, mustSign: snapshot.domain.firstActiveAt !== null };
  }
}

/** A domain that is not the agent's: to be forgotten where the journal says that it has left, or that the agent was removed from it. */
async function formerItem(agent: KnownAgent, domain: string, store: Store): Promise<Item | null> {
  let after: string | null = null;
  do {
    const page: Awaited<ReturnType<Store['journal']['list']>> = await store.journal.list(
      { domain, order: 'newest' },
      { limit: 200, after },
    );
    for (const { kind, details } of page.items) {
      const signerId =
        typeof details === 'object' && details !== null && 'signerId' in details ? details.signerId : undefined;
      if (kind === 'domain-removed' || (kind === 'signer-removed' && signerId === agent.name))
        return { kind: 'forget', domain, generation: null };
      if (kind === 'domain-added') return null;
    }
    after = page.next;
  } while (after !== null);
  return null;
}

function toItem(agent: KnownAgent, stored: StoredKeyring, snapshot: Snapshot): KeyringItem {
  const keyring = toSignerKeyring(stored, snapshot, agent.name);
  const known = snapshot.signers.find(({ id }) => id === agent.name);
  const private_ = new Map(stored.streams.flatMap(({ keys }) => keys.map(({ selector, pkcs8 }) => [selector, pkcs8])));
  const streams = Object.entries(keyring.streams).map(([stream, keys]) => {
    const its = keys.flatMap(({ selector, algorithm, entered = stored.generation }) => {
      const pkcs8 = private_.get(selector) ?? null;
      return pkcs8 === null ? [] : [{ selector, algorithm, pkcs8: Buffer.from(pkcs8).toString('base64'), entered }];
    });
    return [stream, its] as const;
  });
  const tests = snapshot.keys.filter(
    ({ state, stream, algorithm, signaturesSeen }) =>
      state === 'active' &&
      known !== undefined &&
      isForSigner(known, stream, algorithm) &&
      signaturesSeen[known.id] === undefined,
  );
  return {
    kind: 'keyring',
    domain: keyring.domain,
    born: snapshot.domain.createdAt,
    generation: keyring.generation,
    mustSign: keyring.mustSign,
    streams: Object.fromEntries(streams),
    others: (keyring.others ?? []).map((other) => ({ ...other })),
    overwrite: keyring.overwrite === true,
    drifted: known !== undefined && hasDrifted(known),
    acknowledged: known?.acknowledgedGeneration ?? 0,
    tests: tests.map(({ stream, selector, enteredGeneration }) => ({
      stream,
      selector,
      entered: enteredGeneration ?? keyring.generation,
    })),
  };
}

async function newest(store: Store): Promise<{ seq: number; hash: string } | null> {
  const { items } = await store.journal.list({ order: 'newest' }, { limit: 1 });
  return items[0] ?? null;
}

/** The number of an entry and the beginning of its hash: a journal that was put back from a backup has another entry there, or none. */
function positionAfter(entry: { readonly seq: number; readonly hash: string } | null): string {
  return entry === null || entry.seq === 0 ? '0.' : `${entry.seq}.${entry.hash.slice(0, 16)}`;
}

async function entryAt(store: Store, position: string): Promise<{ seq: number; hash: string } | null> {
  const [seq, hash] = position.split('.');
  if (Number(seq) === 0) return { seq: 0, hash: '' };
  const { items } = await store.journal.list({ order: 'oldest' }, { limit: 1, after: String(Number(seq) - 1) });
  const entry = items[0];
  return entry !== undefined && entry.seq === Number(seq) && entry.hash.startsWith(hash ?? '') ? entry : null;
}

/**
 * The control plane's side of followers: it waits for each one before its mail counts, takes what they report into the store, and asks them for
 * what is missing. One instance collects at a time; two that do it at once fold the same reports, and the second changes nothing.
 */
import type { Clock } from '../../lifecycle/clock.ts';
import type { Snapshot } from '../../lifecycle/types.ts';
import { FeedError } from '../../store/keyring/feed.ts';
import type { KnownFollower, ReadReport, RedisFollowers } from '../../store/keyring/redis-followers.ts';
import type { Store } from '../../store/store.ts';
import { type Binding, isForSigner, signerOutcomes } from '../bindings.ts';
import { fold } from '../fold.ts';
import { errorText, type Log } from '../log.ts';
import { operate } from '../operations.ts';
import { reportOutcomes } from './report-outcomes.ts';

export interface FollowerCollector {
  /** One turn. Throws nothing for what Redis does. */
  tick(signal: AbortSignal): Promise<void>;
  /** Followers that are known, as of the last turn. */
  followers(): readonly KnownFollower[];
  /** Lets another instance collect at once. */
  release(): Promise<void>;
}

const leaseMs = 10_000;
const domainsAtOnce = 100;
/** How often every domain is gone through for what a follower has not told, milliseconds; at once when it starts. */
const settleEvery = 5 * 60_000;

export function createFollowerCollector({
  store,
  followers,
  clock,
  log,
  instance,
  bindings,
}: {
  readonly store: Store;
  readonly followers: RedisFollowers;
  readonly clock: Clock;
  readonly log: Log;
  readonly instance: string;
  /** What each signer is to sign: followers are added to it as they come, so that looks and new domains know of them. */
  readonly bindings: Binding[];
}): FollowerCollector {
  const operator = { store, clock, actor: { name: 'keyturn', source: 'milter' } } as const;
  /** Which start of each follower everything was gone through with, and when. */
  const settled = new Map<string, { readonly boot: string; readonly at: number }>();
  let known: readonly KnownFollower[] = [];
  let trouble: string | null = null;

  /** Domains that come now are to know the followers that are there. One that is away is waited for where it is known, and nowhere else. */
  function bind({ name, signs, isThere }: KnownFollower): void {
    const binding: Binding = { signerId: name, ...signs };
    const at = bindings.findIndex(({ signerId }) => signerId === name);
    if (!isThere) {
      if (at >= 0) bindings.splice(at, 1);
    } else if (at < 0) bindings.push(binding);
    else if (JSON.stringify(bindings[at]) !== JSON.stringify(binding)) bindings[at] = binding;
  }

  /** Every domain learns of the follower; it is asked for what it has not told of. @throws what the store throws */
  async function settle(follower: KnownFollower, binding: Binding, signal: AbortSignal): Promise<void> {
    let after: string | null = null;
    do {
      const page: Awaited<ReturnType<Store['listDomains']>> = await store.listDomains(
        { kind: 'mail' },
        { limit: domainsAtOnce, after },
      );
      const domains = await store.snapshots(page.items.map(({ name }) => name));
      const toAsk: string[] = [];
      for (const [name, { snapshot }] of domains) {
        signal.throwIfAborted();
        if (signerOutcomes(snapshot, [binding], clock.now()).length > 0) {
          await operate(operator, name, (now, at) => signerOutcomes(now.snapshot, [binding], at));
          toAsk.push(name);
        } else if (isUnsettled(snapshot, follower.name)) toAsk.push(name);
      }
      await followers.ask(follower.name, toAsk);
      after = page.next;
    } while (after !== null);
  }

  async function take(name: string, reports: readonly ReadReport[]): Promise<void> {
    const byDomain = new Map(reports.map((read) => [read.report.domain, read]));
    const domains = await store.snapshots([...byDomain.keys()]);
    const toAsk: string[] = [];
    const taken: ReadReport[] = [];
    for (const [domain, read] of byDomain) {
      const stored = domains.get(domain);
      if (stored === undefined) {
        taken.push(read);
        continue;
      }
      try {
        const outcomes = (snapshot: Snapshot, at: number) => {
          const own = bindings.filter(({ signerId }) => signerId === name);
          const joined = signerOutcomes(snapshot, own, at);
          const { snapshot: after } = fold(snapshot, joined, operator.actor);
          return [...joined, ...reportOutcomes(after, name, read.report, at)];
        };
        let { snapshot } = stored;
        if (outcomes(snapshot, clock.now()).length > 0) {
          const result = await operate(operator, domain, (now, at) => outcomes(now.snapshot, at));
          if (result.kind === 'done') snapshot = result.snapshot;
        }
        // It has the keys, and has not signed with all of them: an ask that was lost is asked again.
        const signer = snapshot.signers.find(({ id }) => id === name);
        if (signer !== undefined && signer.acknowledgedGeneration >= snapshot.domain.generation) {
          if (untestedOf(snapshot, name, read)) toAsk.push(domain);
        }
        taken.push(read);
      } catch (error) {
        log.error('report-not-taken', { domain, signer: name, error: errorText(error) });
      }
    }
    await followers.settle(name, taken);
    await followers.ask(name, toAsk);
  }

  async function takeAll(name: string, signal: AbortSignal): Promise<void> {
    let cursor = '0';
    do {
      signal.throwIfAborted();
      const page = await followers.reports(name, cursor);
      if (page.refused.length > 0) {
        log.error('reports-refused', {
          signer: name,
          domains: page.refused.slice(0, 10),
          advice: 'they were not written by a follower that has the key: find out who else writes to Redis',
        });
      }
      if (page.reports.length > 0) await take(name, page.reports);
      cursor = page.cursor;
    } while (cursor !== '0');
  }

  async function turn(signal: AbortSignal): Promise<void> {
    known = await followers.list();
    for (const follower of known) bind(follower);
    if (!(await followers.holdCollection(instance, leaseMs))) return;
    for (const follower of known) {
      const { name, boot } = follower;
      const last = settled.get(name);
      const now = clock.now();
      const isDue = !follower.isAdmitted || last?.boot !== boot || Math.abs(now - last.at) >= settleEvery;
      if (isDue && follower.isThere) {
        await settle(follower, { signerId: name, ...follower.signs }, signal);
        settled.set(name, { boot, at: now });
      }
      if (!follower.isAdmitted && follower.isThere) {
        await followers.admit(follower);
        log.info('follower-known', { signer: name, host: follower.host, domains: follower.signs.domains });
      }
      await takeAll(name, signal);
    }
  }

  return {
    followers: () => known,
    release: () => followers.releaseCollection(instance).catch(() => undefined),
    async tick(signal) {
      try {
        await turn(signal);
        trouble = null;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof FeedError)) throw error;
        // What was asked for may be lost.
        settled.clear();
        if (error.message !== trouble) log.warn('followers-not-heard', { error: error.message });
        trouble = error.message;
      }
    },
  };
}

/** It has not acknowledged what is wanted, or not signed with each key. */
function isUnsettled(snapshot: Snapshot, signerId: string): boolean {
  const signer = snapshot.signers.find(({ id }) => id === signerId);
  if (signer === undefined || snapshot.domain.generation === 0) return false;
  return signer.acknowledgedGeneration < snapshot.domain.generation || untestedKeys(snapshot, signerId).length > 0;
}

function untestedKeys(snapshot: Snapshot, signerId: string): Snapshot['keys'] {
  const signer = snapshot.signers.find(({ id }) => id === signerId);
  return snapshot.keys.filter(
    ({ state, stream, algorithm, signaturesSeen }) =>
      state === 'active' &&
      signer !== undefined &&
      isForSigner(signer, stream, algorithm) &&
      signaturesSeen[signerId] === undefined,
  );
}

/** Keys that have been neither tested nor seen, and of which this report says nothing: a test that failed is repeated by the next going through. */
function untestedOf(snapshot: Snapshot, signerId: string, { report }: ReadReport): boolean {
  return untestedKeys(snapshot, signerId).some(({ selector }) => !Object.hasOwn(report.tests, selector));
}

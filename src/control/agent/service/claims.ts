/**
 * One program per agent's name, over all instances of the control plane: two under one name would acknowledge for each other, and a key
 * could leave one while the other signs with it. Who holds a name stands among the instances in the store.
 */
import type { Clock } from '../../../lifecycle/clock.ts';
import type { Instances } from '../../../store/instances.ts';

export interface Claimant {
  /** Of the process. */
  readonly boot: string;
  /** Of the folder that it runs from, which it has locked. */
  readonly install: string;
  readonly host: string;
}

export type ClaimResult =
  | { readonly kind: 'held' }
  /** `silentFor`: milliseconds since the other was heard. */
  | { readonly kind: 'taken'; readonly by: { readonly host: string; readonly silentFor: number } };

export interface AgentClaims {
  /** Takes the name where nobody alive holds it; a process that was started anew in the same folder follows on its predecessor at once. */
  claim(name: string, claimant: Claimant): Promise<ClaimResult>;
  /** Holds the name while the answer is being made; null where this process does not hold it. Call what it gives when the answer is made. */
  hold(name: string, boot: string): Promise<(() => void) | null>;
  /** The host of whoever holds the name now; null where nobody does. */
  holder(name: string): Promise<string | null>;
  /** The agent ends and says so. */
  release(name: string, boot: string): Promise<void>;
}

export interface ClaimsOptions {
  readonly store: Pick<Instances, 'claimInstance' | 'renewInstance' | 'releaseInstance' | 'listInstances'>;
  readonly clock: Clock;
  /** How long a name is held without a word, milliseconds. */
  readonly lease: number;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number;
}

export function createClaims({ store, clock, lease, elapsed }: ClaimsOptions): AgentClaims {
  /** Requests that are being answered, by process. */
  const open = new Map<string, number>();
  const renewed = new Map<string, number>();
  /** Processes whose name another has taken over: they do not get it back while that one lives. */
  const superseded = new Set<string>();
  const row = (name: string) => `agent:${name}`;

  async function claim(name: string, claimant: Claimant, again = true): Promise<ClaimResult> {
    const { boot, install, host } = claimant;
    const now = clock.now();
    const facts = { host, pid: 0, roles: ['agent', install] };
    const result = await store.claimInstance({ name: row(name), boot, now, ttlMs: lease, facts });
    if (result.kind === 'claimed') {
      if (result.before !== null) superseded.add(result.before.boot);
      renewed.set(boot, elapsed());
      return { kind: 'held' };
    }
    const { by } = result;
    const isPredecessor = by.host === host && by.roles[1] === install && (open.get(by.boot) ?? 0) === 0;
    if (isPredecessor && again && !superseded.has(boot)) {
      await store.releaseInstance(row(name), by.boot);
      superseded.add(by.boot);
      return claim(name, claimant, false);
    }
    return { kind: 'taken', by: { host: by.host, silentFor: Math.max(0, now - by.seenAt) } };
  }

  return {
    claim: (name, claimant) => claim(name, claimant),
    async hold(name, boot) {
      const last = renewed.get(boot);
      if (last === undefined || elapsed() - last > lease / 4 || superseded.has(boot)) {
        if (!(await store.renewInstance(row(name), boot, clock.now(), lease))) {
          renewed.delete(boot);
          return null;
        }
        renewed.set(boot, elapsed());
      }
      open.set(boot, (open.get(boot) ?? 0) + 1);
      return () => {
        const left = (open.get(boot) ?? 1) - 1;
        if (left > 0) open.set(boot, left);
        else open.delete(boot);
      };
    },
    async holder(name) {
      const now = clock.now();
      const all = await store.listInstances();
      return all.find((each) => each.name === row(name) && each.expiresAt > now)?.host ?? null;
    },
    async release(name, boot) {
      renewed.delete(boot);
      await store.releaseInstance(row(name), boot);
    },
  };
}

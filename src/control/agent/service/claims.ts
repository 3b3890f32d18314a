/** One program per agent's name: two under one name would acknowledge for each other, and a key could leave one while the other signs with it. */

export interface Claimant {
  /** Of the process. */
  readonly boot: string;
  /** Of the folder that it runs from. */
  readonly install: string;
  readonly host: string;
}

export type ClaimResult =
  | { readonly kind: 'held' }
  | { readonly kind: 'taken'; readonly by: { readonly host: string; readonly silentFor: number } };

export interface AgentClaims {
  /** Takes the name where nobody alive holds it; a process that was started anew from the same folder follows on its predecessor. */
  claim(name: string, claimant: Claimant): Promise<ClaimResult>;
  /** Holds the name while the answer is being made. Null where this process does not hold it. */
  hold(name: string, boot: string): Promise<(() => void) | null>;
  /** The agent ends and says so. */
  release(name: string, boot: string): Promise<void>;
}

/** The claims of agents that are served from this process; `elapsed` is milliseconds of a clock that never jumps. */
export function createClaims(lease: number, elapsed: () => number): AgentClaims {
  const held = new Map<string, { claimant: Claimant; heard: number; open: number }>();
  return {
    async claim(name, claimant) {
      const known = held.get(name);
      if (known !== undefined && known.claimant.boot !== claimant.boot) {
        const silentFor = known.open > 0 ? 0 : elapsed() - known.heard;
        const isSuccessor = known.claimant.install === claimant.install && known.open === 0;
        if (!isSuccessor && silentFor < lease)
          return { kind: 'taken', by: { host: known.claimant.host, silentFor: Math.round(silentFor) } };
      }
      if (known?.claimant.boot !== claimant.boot) held.set(name, { claimant, heard: elapsed(), open: 0 });
      else known.heard = elapsed();
      return { kind: 'held' };
    },
    async hold(name, boot) {
      const known = held.get(name);
      if (known?.claimant.boot !== boot) return null;
      known.open += 1;
      known.heard = elapsed();
      return () => {
        known.open -= 1;
        known.heard = elapsed();
      };
    },
    async release(name, boot) {
      if (held.get(name)?.claimant.boot === boot) held.delete(name);
    },
  };
}

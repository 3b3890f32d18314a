/** Signatures seen on real mail, on their way into the store: the newest per domain, signer and selector. */

export interface SeenSignature {
  readonly signerId: string;
  readonly selector: string;
  readonly at: number;
}

export interface SignatureLedger {
  note(domain: string, seen: SeenSignature): void;
  /** What is known of a domain since it was last settled; nothing is forgotten by asking. */
  of(domain: string): readonly SeenSignature[];
  /** These are in the store now; what came later stays. */
  settle(domain: string, seen: readonly SeenSignature[]): void;
  domains(): readonly string[];
}

export function createSignatureLedger(): SignatureLedger {
  const byDomain = new Map<string, Map<string, SeenSignature>>();
  const slot = (seen: SeenSignature) => `${seen.signerId} ${seen.selector}`;
  return {
    note(domain, seen) {
      const known = byDomain.get(domain) ?? new Map<string, SeenSignature>();
      byDomain.set(domain, known);
      const earlier = known.get(slot(seen));
      if (earlier === undefined || earlier.at < seen.at) known.set(slot(seen), seen);
    },
    of: (domain) => [...(byDomain.get(domain)?.values() ?? [])],
    settle(domain, settled) {
      const known = byDomain.get(domain);
      for (const seen of settled) {
        const now = known?.get(slot(seen));
        if (now !== undefined && now.at <= seen.at) known?.delete(slot(seen));
      }
      if (known?.size === 0) byDomain.delete(domain);
    },
    domains: () => [...byDomain.keys()],
  };
}

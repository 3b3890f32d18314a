/** What the milter has done, in counters that only grow, and the signatures seen since somebody last asked. */
import type { FailureReason, PassReason } from './decide.ts';

export interface MilterCounters {
  /** Connections accepted, and turned away (address, limit). */
  connections: number;
  refusedConnections: number;
  openConnections: number;
  /** Connections closed because what came was not the protocol, or nothing came for too long. */
  protocolErrors: number;
  timeouts: number;
  /** Messages decided on: the sum of signed, passed and failed. */
  messages: number;
  signed: number;
  /** Signatures made; more than `signed` where several keys are active. */
  signatures: number;
  readonly passed: Record<PassReason, number>;
  readonly failed: Record<FailureReason, number>;
  /** What failures led to. */
  tempfailed: number;
  rejected: number;
  passedUnsigned: number;
}

export interface SignatureSeen {
  readonly domain: string;
  readonly selector: string;
  /** Epoch milliseconds of the newest. */
  readonly at: number;
  readonly count: number;
}

export interface MilterMetrics {
  readonly counters: MilterCounters;
  sawSignature(domain: string, selector: string, at: number): void;
  sawSettingUp(domain: string): void;
  /** Domain → messages passed while it had no key yet. */
  settingUp(): ReadonlyMap<string, number>;
  /** Signatures since the start: the newest and the number, per key. */
  signatures(): SignatureSeen[];
  /** The same since the last call of this. */
  takeSignaturesSeen(): SignatureSeen[];
}

export function createMetrics(): MilterMetrics {
  const counters: MilterCounters = {
    connections: 0,
    refusedConnections: 0,
    openConnections: 0,
    protocolErrors: 0,
    timeouts: 0,
    messages: 0,
    signed: 0,
    signatures: 0,
    passed: { inbound: 0, 'no-from': 0, 'unreadable-from': 0, 'not-ours': 0, 'setting-up': 0 },
    failed: { 'no-keys': 0, 'several-from': 0, 'unreadable-from': 0, 'header-too-large': 0, 'signing-failed': 0 },
    tempfailed: 0,
    rejected: 0,
    passedUnsigned: 0,
  };
  const settingUp = new Map<string, number>();
  const keys = new Map<string, Map<string, Sightings>>();
  const fresh = new Set<Sightings>();
  return {
    counters,
    sawSignature(domain, selector, at) {
      counters.signatures += 1;
      const ofDomain = keys.get(domain) ?? new Map<string, Sightings>();
      if (ofDomain.size === 0) keys.set(domain, ofDomain);
      const seen = ofDomain.get(selector) ?? { domain, selector, at, count: 0, taken: 0 };
      if (seen.count === 0) ofDomain.set(selector, seen);
      seen.at = at;
      seen.count += 1;
      fresh.add(seen);
    },
    sawSettingUp(domain) {
      settingUp.set(domain, (settingUp.get(domain) ?? 0) + 1);
    },
    settingUp: () => settingUp,
    signatures: () =>
      [...keys.values()].flatMap((ofDomain) =>
        [...ofDomain.values()].map(({ domain, selector, at, count }) => ({ domain, selector, at, count })),
      ),
    takeSignaturesSeen() {
      const since = [...fresh].map((seen) => {
        const count = seen.count - seen.taken;
        seen.taken = seen.count;
        return { domain: seen.domain, selector: seen.selector, at: seen.at, count };
      });
      fresh.clear();
      return since;
    },
  };
}

interface Sightings {
  readonly domain: string;
  readonly selector: string;
  at: number;
  count: number;
  /** Of `count`, what `takeSignaturesSeen` has told already. */
  taken: number;
}

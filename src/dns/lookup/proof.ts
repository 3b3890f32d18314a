/** Proof: stored evidence of what each authoritative server and resolver answers for a record. Verdicts are a closed set. */
import type { ProofSummary, RecordKind, Verdict } from '../../lifecycle/types.ts';

export interface ServerAnswer {
  /** Host name of the server where known, and the address and port that were asked. */
  readonly server: string;
  readonly address: string;
  readonly role: 'authoritative' | 'resolver';
  readonly verdict: Verdict;
  /** Joined TXT values as served; empty where there were none. */
  readonly values: readonly string[];
  /** Seconds, or null without a record. */
  readonly ttl: number | null;
  /** CNAMEs followed, in order. */
  readonly cnames: readonly string[];
  readonly transport: 'udp' | 'tcp';
  readonly milliseconds: number;
  /** What went wrong, in words, where something did. */
  readonly detail?: string;
}

export interface Proof {
  readonly name: string;
  readonly expected: RecordKind;
  readonly at: number;
  readonly verdict: Verdict;
  /** Where the record's data lives: the apex of the zone after CNAMEs, and of the name itself. */
  readonly apex: string | null;
  readonly answers: readonly ServerAnswer[];
  /** Seconds: min(SOA TTL, SOA MINIMUM) of the zone(s) on the way; the largest where there are several. */
  readonly negativeTtl: number;
  /** Why nobody could be asked, where it is so. */
  readonly detail?: string;
}

/** The digest that the lifecycle works with. */
export function summarize(proof: Proof): ProofSummary {
  const authoritative = proof.answers.filter((a) => a.role === 'authoritative');
  const seen = proof.answers.filter((a) => a.verdict === 'seen');
  const ttls = seen.flatMap((a) => (a.ttl === null ? [] : [a.ttl]));
  return {
    at: proof.at,
    expected: proof.expected,
    verdict: proof.verdict,
    serversAsked: authoritative.length,
    serversAgreeing: authoritative.filter((a) => a.verdict === 'seen').length,
    ttl: ttls.length > 0 ? Math.max(...ttls) : null,
    negativeTtl: proof.negativeTtl,
  };
}

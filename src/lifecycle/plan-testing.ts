/** What the planner's scenes share: a small policy, answers that find a record other than it should be, questions asked of a life. */
import type { Policy } from './policy.ts';
import type { Answer, Life } from './testing.ts';
import type { KeyView, ProofSummary, Snapshot, Verdict } from './types.ts';

export const rsa: Policy['keys'] = [{ algorithm: 'rsa', bits: 2048, count: 1 }];

export function selectors(keys: readonly KeyView[]): readonly string[] {
  return keys.map((key) => key.selector);
}

export function firstActive(life: Life): KeyView {
  const [key] = life.keys('active');
  if (key === undefined) throw new Error('nothing is active');
  return key;
}

export function proofOf(verdict: Verdict, at: number, expected: ProofSummary['expected'] = 'key'): ProofSummary {
  return {
    at,
    expected,
    verdict,
    serversAsked: 2,
    serversAgreeing: verdict === 'seen' ? 2 : 1,
    ttl: 300,
    negativeTtl: 300,
  };
}

/** Answers proofs of some keys by another verdict. */
export function finding(verdict: Verdict, which: (key: KeyView) => boolean): Answer {
  return (step, now, snapshot) => {
    if (step.kind !== 'prove') return undefined;
    const key = snapshot.keys.find((k) => k.id === step.keyId);
    if (key === undefined || !which(key)) return undefined;
    return [{ kind: 'proved', keyId: key.id, proof: proofOf(verdict, now, step.expected) }];
  };
}

export function rotated(old: KeyView): (snapshot: Snapshot) => boolean {
  return (snapshot) => snapshot.keys.some((key) => key.id === old.id && key.state === 'retiring');
}

/** What a follower reports of a domain, as outcomes that the lifecycle folds. The same report again says nothing new. */
import { apply } from '../../lifecycle/apply.ts';
import type { Outcome, Snapshot } from '../../lifecycle/types.ts';
import type { FeedReport } from '../../store/keyring/feed.ts';
import { signatureOutcomes } from '../look.ts';

/** Times of signatures are rounded up to whole seconds: clocks are compared to some milliseconds, and a report that comes again must not look like a newer one. */
const second = 1000;

/** `now` and the report's times are of the same clock. Reports of an earlier life of the domain, or of a signer that it does not have, say nothing. */
export function reportOutcomes(snapshot: Snapshot, signerId: string, report: FeedReport, now: number): Outcome[] {
  const signer = snapshot.signers.find(({ id }) => id === signerId);
  if (signer === undefined || report.born !== snapshot.domain.createdAt) return [];
  const { acknowledged, trouble } = report;
  const outcomes: Outcome[] = [];
  // What it has may be less than it had: it lost it, and says so.
  if (
    acknowledged !== signer.acknowledgedGeneration ||
    (trouble === null && signer.retry !== null && acknowledged > 0)
  ) {
    outcomes.push({ kind: 'acknowledged', at: now, signerId, generation: acknowledged });
  }
  if (trouble !== null) outcomes.push({ kind: 'not-acknowledged', at: now, signerId, message: trouble });
  for (const key of snapshot.keys) {
    const test = Object.hasOwn(report.tests, key.selector) ? report.tests[key.selector] : undefined;
    // A test of an earlier key of this selector says nothing of this one.
    if (test === undefined || key.state !== 'active' || test.entered !== key.enteredGeneration) continue;
    if (test.kind === 'failed') {
      // The same failure, told again with something else.
      if (signer.retry !== null && test.at <= signer.retry.at) continue;
      outcomes.push({
        kind: 'self-test-failed',
        at: Math.min(now, test.at),
        signerId,
        keyId: key.id,
        message: test.message,
      });
    } else if (key.signaturesSeen[signerId] === undefined) {
      outcomes.push({ kind: 'signature-seen', at: Math.min(now, roundedUp(test.at)), signerId, keyId: key.id });
    }
  }
  const seen = Object.entries(report.seen).map(([selector, at]) => ({
    signerId,
    selector,
    at: Math.min(now, roundedUp(at)),
  }));
  return taken(snapshot, [...outcomes, ...signatureOutcomes(snapshot, seen)]);
}

function roundedUp(at: number): number {
  return Math.ceil(at / second) * second;
}

/** Those that say something: one that does not must not keep the others from being folded. */
function taken(start: Snapshot, outcomes: readonly Outcome[]): Outcome[] {
  let snapshot = start;
  return outcomes.filter((outcome) => {
    const applied = apply(snapshot, outcome);
    snapshot = applied.snapshot;
    return applied.refused === undefined;
  });
}

/** What agents report, folded into the domains: what is repeated or late changes nothing. */
import { keyOfSelector } from '../../../lifecycle/facts.ts';
import type { Outcome, Snapshot } from '../../../lifecycle/types.ts';
import { fold } from '../../fold.ts';
import { furthestAhead } from '../../hand-over.ts';
import { signatureOutcomes } from '../../look.ts';
import { type Operator, operate } from '../../operations.ts';
import type { Report } from '../wire.ts';
import type { KnownAgent } from './authenticate.ts';

/** Reports of domains that the agent has nothing to do with are refused, and counted. */
export async function takeReports(
  agent: KnownAgent,
  reports: readonly Report[],
  operator: Operator,
): Promise<{ taken: number; refused: number }> {
  // Side by side: what is written goes into few transactions.
  const counts = [...Map.groupBy(reports, (report) => report.domain)].map(async ([domain, its]) => {
    let isKnown = false;
    const result = await operate(operator, domain, ({ snapshot }, at) => {
      isKnown = snapshot.signers.some(({ id }) => id === agent.name);
      if (!isKnown) return [];
      const outcomes = its.flatMap((report) => outcomesOf(agent, report, snapshot, at));
      // One that is late must not take the others with it.
      const { refused } = fold(snapshot, outcomes, operator.actor);
      return outcomes.filter((outcome) => !refused.some((each) => each.outcome === outcome));
    });
    return result.kind === 'done' && isKnown ? its.length : 0;
  });
  const taken = (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  return { taken, refused: reports.length - taken };
}

function outcomesOf(agent: KnownAgent, report: Report, snapshot: Snapshot, at: number): Outcome[] {
  const signerId = agent.name;
  switch (report.kind) {
    case 'acknowledged': {
      const { born, generation } = report;
      // Of a domain's former life, or of a keyring that no store has made.
      return (born !== null && born !== snapshot.domain.createdAt) ||
        generation > snapshot.domain.generation + furthestAhead
        ? []
        : [{ kind: 'acknowledged', at, signerId, generation }];
    }
    case 'not-acknowledged':
      return [{ kind: 'not-acknowledged', at, signerId, message: report.message }];
    case 'signed': {
      const key = keyOfSelector(snapshot, report.selector);
      if (key?.enteredGeneration !== report.entered || key.signaturesSeen[signerId] !== undefined) return [];
      return [{ kind: 'signature-seen', at, signerId, keyId: key.id }];
    }
    case 'test-failed': {
      const key = keyOfSelector(snapshot, report.selector);
      if (key === undefined) return [];
      return [{ kind: 'self-test-failed', at, signerId, keyId: key.id, message: report.message }];
    }
    case 'drift-found': {
      const { message } = report;
      return [
        { kind: 'drift-found', at, signerId, message },
        ...(agent.restores ? [{ kind: 'drift-restored', at, signerId } as const] : []),
      ];
    }
    case 'drift-gone':
      return [{ kind: 'drift-gone', at, signerId }];
    case 'signature-seen':
      return signatureOutcomes(snapshot, [{ signerId, selector: report.selector, at: at - report.age }]);
  }
}

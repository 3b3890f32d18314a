/**
 * The planner: from what is known of a domain, what comes next and when to look again. It is level-triggered: it keeps no
 * memory of what it asked for, so a lost, repeated or late outcome costs a look and nothing else. Each concern has a file
 * of its own in plan/; the rules that no step may break are in rules.ts.
 */
import { planActivation } from './plan/activation.ts';
import { closeConditions, planConditions } from './plan/conditions.ts';
import { planDeliveries } from './plan/deliveries.ts';
import { isClosed, type Look, openLook } from './plan/look.ts';
import { planProofs } from './plan/proofs.ts';
import { planRecords } from './plan/records.ts';
import { planRemoval } from './plan/removal.ts';
import { planRetirement } from './plan/retirement.ts';
import { planStandby } from './plan/standby.ts';
import { judge } from './plan/stream.ts';
import { planWaits } from './plan/waiting.ts';
import type { Policy } from './policy.ts';
import { allGuards, type Guards } from './rules.ts';
import type { Outcome, Plan, Snapshot } from './types.ts';
import { LONGEST_SLEEP } from './waits.ts';

/**
 * What comes next for a domain. `policy` is the domain's (streams may have their own), `now` epoch milliseconds.
 *
 * How to run it: fold {@link looked} of the plan, carry out the steps (in any order), fold their outcomes by `apply`, store
 * all of it guarded by the snapshot's version, and look again at `nextLookAt` or when something happens, whichever is first.
 * `guards` switches clauses of the rules off, for the tests that show that the simulation notices.
 */
export function plan(snapshot: Snapshot, policy: Policy, now: number, guards: Guards = allGuards): Plan {
  const look = openLook(snapshot, policy, now, guards);
  planWaits(look);
  if (snapshot.domain.removingAt !== null) planRemoval(look);
  for (const stream of snapshot.streams) {
    const judged = judge(look, stream);
    planStandby(look, judged);
    if (snapshot.domain.removingAt === null) {
      planActivation(look, judged);
      planRetirement(look, judged);
    }
    planConditions(look, judged);
  }
  closeChange(look);
  planDeliveries(look);
  for (const key of look.keys) {
    if (isClosed(key)) continue;
    planRecords(look, key);
    planProofs(look, key);
  }
  return {
    steps: look.steps,
    nextLookAt: Math.max(now, Math.min(look.next, now + LONGEST_SLEEP)),
    conditions: closeConditions(look),
    waits: look.waits,
  };
}

/** The outcome that a look itself has: to be folded into the snapshot before (or with) the outcomes of its steps. */
export function looked(plan: Plan, now: number): Outcome {
  return { kind: 'looked', at: now, conditions: plan.conditions, waits: plan.waits };
}

/** All that enters and leaves goes by one change, so that one delivery to each signer settles it. */
function closeChange(look: Look): void {
  if (look.enter.length + look.leave.length === 0) return;
  look.steps.push({
    kind: 'change-active',
    enter: look.enter,
    leave: look.leave,
    why: [...new Set(look.changeReasons)].join('; '),
  });
  look.again(look.now);
}

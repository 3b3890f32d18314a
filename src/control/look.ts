/**
 * One look at one domain: read, plan, act, write back, and again until nothing is left to do now. Decisions (moves, changes of the active
 * set) are committed before anything that follows from them touches the world; what the world answered is committed with the next
 * reading. So a crash between any two lines loses at most an answer, and every effect is harmless when repeated.
 */
import type { Clock } from '../lifecycle/clock.ts';
import { keyOfSelector } from '../lifecycle/facts.ts';
import { looked, plan } from '../lifecycle/plan.ts';
import { checkStep } from '../lifecycle/rules.ts';
import type { Outcome, Plan, Snapshot, Step } from '../lifecycle/types.ts';
import type { Json } from '../store/json.ts';
import type { Change, Claim, Store, StoredDomain } from '../store/store.ts';
import { signerOutcomes } from './bindings.ts';
import { type Actor, reconcilerActor } from './events.ts';
import { fold } from './fold.ts';
import { errorText, type Log } from './log.ts';
import { type Effect, isOurs, joinResults, noResults, perform, type Results } from './perform.ts';
import type { SeenSignature, SignatureLedger } from './signature-ledger.ts';
import type { World } from './world.ts';

export interface LookContext {
  readonly store: Store;
  readonly world: World;
  readonly clock: Clock;
  readonly ledger: SignatureLedger;
  readonly log: Log;
  /** Bounds the effects that run at once, over all domains. */
  readonly limit: <T>(task: () => Promise<T>) => Promise<T>;
  /** How long the effects of one round may take, milliseconds. */
  readonly effectTimeout: number;
  readonly leaseMs: number;
  /** False while this process must leave the world alone: another may act in its place. */
  readonly mayAct?: () => boolean;
  /** Told of each commit, for whoever follows the domain (the demo, later the user interface). */
  readonly onCommit?: (snapshot: Snapshot) => void;
}

/** A domain that still has work after so many rounds goes to the end of the queue, so that others get their turn. */
const maxRounds = 12;
/** How long a domain rests whose steps all came to nothing by a fault of ours, or whose plan a rule refused; milliseconds. */
const faultPause = 5000;
const roundsPause = 100;

/** Looks at the claimed domain until nothing is left to do now, then gives it back. Throws only what the store throws. */
export async function look(claimed: Claim, context: LookContext): Promise<void> {
  const { store, world, clock, ledger, log } = context;
  let claim = claimed;
  let results: Results = noResults;
  let round = 0;
  let barren = false;
  while (true) {
    const stored = await store.snapshot(claim.name);
    if (stored === null) return;
    const signatures = ledger.of(claim.name);
    const now = clock.now();
    const reported = fold(
      stored.snapshot,
      [
        ...signerOutcomes(stored.snapshot, world.bindings, now),
        ...signatureOutcomes(stored.snapshot, signatures),
        ...results.outcomes,
      ],
      reconcilerActor,
    );
    const planned = plan(reported.snapshot, stored.policy, now);
    const { decisions, effects, forget } = sort(planned.steps, world);
    const decided = decide(reported.snapshot, stored, planned, decisions, now, reconcilerActor, log);
    const last = ++round >= maxRounds;
    const faulty = barren || decided.taken < decisions.length;
    const rest = (effects.length === 0 || barren) && decided.taken === 0;
    const release = rest || forget || last;
    const soonest = now + (faulty ? faultPause : rest ? 0 : roundsPause);
    const change: Change = {
      before: stored.snapshot,
      after: forget ? null : decided.snapshot,
      events: [...reported.events, ...decided.events, ...(forget ? [forgetEvent(claim.name, now)] : [])],
      nextLookAt: rest ? Math.max(Math.ceil(planned.nextLookAt), soonest) : release ? soonest : now,
      proofs: results.proofs.filter(({ keyId }) => has(decided.snapshot, keyId)),
      secrets: results.secrets.filter(({ keyId }) => has(decided.snapshot, keyId)),
      destroy: results.destroy,
      release,
    };
    const committed = await store.commit({ claim, version: stored.version }, change);
    if (committed.kind === 'stale') {
      // Somebody else wrote, or took the domain over. Answers that are not written yet are folded into what is there now.
      if (committed.why === 'gone' || committed.why === 'lease') return;
      if (committed.why === 'pool') results = { ...results, ...withoutCreated(results) };
      round = Math.min(round, maxRounds - 1);
      continue;
    }
    results = noResults;
    ledger.settle(claim.name, signatures);
    logEvents(log, change.events);
    context.onCommit?.(decided.snapshot);
    if (forget) {
      for (const signer of world.signers.values()) await signer.forget(claim.name);
    }
    if (release) return;
    if (decided.taken > 0) continue;
    const renewed = await renew(claim, context);
    if (renewed === null) return;
    claim = renewed;
    results = await performAll(effects, { ...stored, snapshot: decided.snapshot }, context);
    barren = results.outcomes.every(({ kind }) => kind === 'key-not-created');
  }
}

async function renew(claim: Claim, { store, clock, leaseMs }: LookContext): Promise<Claim | null> {
  const now = clock.now();
  return claim.until - now > leaseMs / 2 ? claim : store.renew(claim, now + leaseMs);
}

function performAll(effects: readonly Effect[], domain: StoredDomain, context: LookContext): Promise<Results> {
  const signal = AbortSignal.timeout(context.effectTimeout);
  const { name } = domain.snapshot.domain;
  return Promise.all(
    effects.map((effect) =>
      context.limit(async () => {
        if (context.mayAct?.() === false) return noResults;
        const violations = checkStep(domain.snapshot, effect, domain.policy, context.clock.now());
        if (violations.length > 0) {
          const rules = violations.map((violation) => violation.message);
          context.log.error('rule-would-break', { domain: name, step: effect.kind, rules });
          return noResults;
        }
        try {
          return await perform(effect, domain, context, signal);
        } catch (error) {
          // One step that cannot be done must not keep the others' answers from being written.
          context.log.error('step-failed', { domain: name, step: effect.kind, error: errorText(error) });
          return noResults;
        }
      }),
    ),
  ).then(joinResults);
}

type Decision = Extract<Step, { kind: 'move' | 'change-active' }>;

function sort(steps: readonly Step[], world: World): { decisions: Decision[]; effects: Effect[]; forget: boolean } {
  const decisions: Decision[] = [];
  const effects: Effect[] = [];
  let forget = false;
  for (const step of steps) {
    if (step.kind === 'move' || step.kind === 'change-active') decisions.push(step);
    else if (step.kind === 'forget-domain') forget = true;
    else if (isOurs(step, world)) effects.push(step);
  }
  return { decisions, effects, forget };
}

/** Folds the look itself, then each decision that breaks no rule. The plan asked the rules already; they are asked again because they are the last line. */
function decide(
  snapshot: Snapshot,
  { policy }: StoredDomain,
  planned: Plan,
  decisions: readonly Decision[],
  now: number,
  actor: Actor,
  log: Log,
): { snapshot: Snapshot; events: ReturnType<typeof fold>['events']; taken: number } {
  let current = fold(snapshot, [looked(planned, now)], actor);
  let taken = 0;
  for (const step of decisions) {
    const violations = checkStep(current.snapshot, step, policy, now);
    if (violations.length > 0) {
      log.error('rule-would-break', {
        domain: snapshot.domain.name,
        step: step.kind,
        rules: violations.map((v) => v.message),
      });
      continue;
    }
    const outcome: Outcome =
      step.kind === 'move'
        ? { kind: 'moved', at: now, keyId: step.keyId, to: step.to, why: step.why }
        : { kind: 'active-changed', at: now, enter: step.enter, leave: step.leave, why: step.why };
    const next = fold(current.snapshot, [outcome], actor);
    if (next.refused.length === 0) taken++;
    current = { ...next, events: [...current.events, ...next.events] };
  }
  return { snapshot: current.snapshot, events: current.events, taken };
}

/** Only what is newer than what is known: an old report must not start an overlap anew. */
export function signatureOutcomes(snapshot: Snapshot, signatures: readonly SeenSignature[]): Outcome[] {
  return signatures.flatMap(({ signerId, selector, at }): Outcome[] => {
    const key = keyOfSelector(snapshot, selector);
    // What was signed before the key entered was signed with another one of its slot.
    if (key?.slot === true && at < (key.activatedAt ?? 0)) return [];
    if (key === undefined || (key.state !== 'active' && key.state !== 'retiring')) return [];
    return at > (key.signaturesSeen[signerId] ?? 0) ? [{ kind: 'signature-seen', at, signerId, keyId: key.id }] : [];
  });
}

/** A reserved key pair is gone: the key is made again by the next plan. */
function withoutCreated({ outcomes }: Results): Pick<Results, 'outcomes' | 'secrets'> {
  return { outcomes: outcomes.filter((outcome) => outcome.kind !== 'key-created'), secrets: [] };
}

function has(snapshot: Snapshot, keyId: string): boolean {
  return snapshot.keys.some((key) => key.id === keyId);
}

function forgetEvent(domain: string, at: number) {
  return {
    actor: reconcilerActor.name,
    source: reconcilerActor.source,
    domain,
    kind: 'domain-removed',
    details: {},
    at,
  };
}

/** What went into the journal goes into the log as well; conditions by how bad they are. */
function logEvents(log: Log, events: Change['events']): void {
  for (const { kind, domain, details } of events) {
    const fields = Object.fromEntries(
      Object.entries(details ?? {}).flatMap(([name, value]) => (name === 'publicKey' ? [] : [[name, logValue(value)]])),
    );
    const severity = kind === 'condition-raised' ? fields.severity : 'info';
    const level = severity === 'critical' ? 'error' : severity === 'warning' ? 'warn' : 'info';
    log[level](kind, { domain, ...fields });
  }
}

function logValue(value: Json): string | number | boolean | null {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : value;
}

/** What goes into the journal: outcomes as events, told for readers; never key material, never what repeats itself at every look. */
import type { Condition, Outcome, Snapshot } from '../lifecycle/types.ts';
import type { NewEvent } from '../store/journal.ts';
import type { Json } from '../store/json.ts';

/** Who did something, and by which way. */
export interface Actor {
  readonly name: string;
  readonly source: 'cli' | 'api' | 'reconcile' | 'milter' | 'serve' | 'agent';
}

export const reconcilerActor: Actor = { name: 'keyturn', source: 'reconcile' };

/**
 * The events of one outcome that took `before` to `after`; empty where nothing happened that a reader would look for later: a proof
 * that says what the last one said, a signature of a key whose signatures are known, a look.
 */
export function outcomeEvents(before: Snapshot, after: Snapshot, outcome: Outcome, actor: Actor): NewEvent[] {
  if (before === after) return [];
  const domain = before.domain.name;
  const event = (kind: string, at: number, details: { readonly [key: string]: Json }): NewEvent => ({
    actor: actor.name,
    source: actor.source,
    domain,
    kind,
    details,
    at,
  });
  const selectorOf = (keyId: string) => after.keys.find((key) => key.id === keyId)?.selector ?? keyId;
  switch (outcome.kind) {
    case 'looked':
      return conditionEvents(before.conditions, after.conditions).map(({ change, condition }) =>
        event(`condition-${change}`, outcome.at, {
          reason: condition.reason,
          severity: condition.severity,
          subject: condition.subject.kind === 'domain' ? 'domain' : `${condition.subject.kind} ${condition.subject.id}`,
          message: condition.message,
        }),
      );
    case 'proved': {
      const known = before.keys.find((key) => key.id === outcome.keyId)?.proof ?? null;
      const { proof } = outcome;
      if (known !== null && known.verdict === proof.verdict && known.expected === proof.expected) return [];
      return [
        event('proved', proof.at, {
          key: outcome.keyId,
          selector: selectorOf(outcome.keyId),
          expected: proof.expected,
          verdict: proof.verdict,
          servers: `${proof.serversAgreeing}/${proof.serversAsked}`,
        }),
      ];
    }
    case 'signature-seen': {
      const known = before.keys.find((key) => key.id === outcome.keyId)?.signaturesSeen[outcome.signerId];
      if (known !== undefined) return [];
      const { keyId, signerId } = outcome;
      return [event('first-signature-seen', outcome.at, { key: keyId, selector: selectorOf(keyId), signer: signerId })];
    }
    case 'key-not-created':
      // It is tried every few seconds: what there is to say is said once, as a condition.
      return conditionEvents(before.conditions, after.conditions).map(({ change, condition }) => {
        const { reason, severity, message } = condition;
        return event(`condition-${change}`, outcome.at, {
          reason,
          severity,
          subject: `stream ${outcome.stream}`,
          message,
        });
      });
    case 'key-created':
    case 'key-imported': {
      const { id, stream, selector, algorithm, bits, publicKey } = outcome.key;
      return [event(outcome.kind, outcome.at, { key: id, stream, selector, algorithm, bits, publicKey })];
    }
    case 'key-copied': {
      const { id, stream, selector, algorithm, bits, publicKey } = outcome.key;
      const { from, kept, handedTo } = outcome;
      const where = handedTo === undefined ? {} : { recordOf: handedTo };
      const details = { key: id, stream, selector, algorithm, bits, publicKey, from, kept, ...where };
      return [event(outcome.kind, outcome.at, details)];
    }
    case 'acknowledged': {
      const { at, signerId, generation } = outcome;
      const events = [event('acknowledged', at, { signerId, generation })];
      // The signer was ahead of a restored store: every other signer is to take the generation that follows from it.
      if (after.domain.generation !== before.domain.generation)
        events.push(event('generation-raised', at, { generation: after.domain.generation }));
      return events;
    }
    case 'active-changed':
      return [
        event('active-changed', outcome.at, {
          enter: outcome.enter.map(selectorOf),
          leave: outcome.leave.map(selectorOf),
          generation: after.domain.generation,
          // A slot's selector names many keys, one after the other.
          keys: [...outcome.enter, ...outcome.leave],
          ...(outcome.why === undefined ? {} : { why: outcome.why }),
        }),
      ];
    default: {
      const { kind, at, ...rest } = outcome;
      const named = 'keyId' in rest ? { selector: selectorOf(rest.keyId) } : {};
      return [event(kind, at, { ...plain(rest), ...named })];
    }
  }
}

/** Conditions that came and conditions that went, by subject and reason. */
export function conditionEvents(
  before: readonly Condition[],
  after: readonly Condition[],
): Array<{ change: 'raised' | 'cleared'; condition: Condition }> {
  const identity = ({ subject, reason }: Condition) =>
    `${subject.kind} ${subject.kind === 'domain' ? '' : subject.id} ${reason}`;
  const old = new Set(before.map(identity));
  const now = new Set(after.map(identity));
  return [
    ...after.filter((c) => !old.has(identity(c))).map((condition) => ({ change: 'raised' as const, condition })),
    ...before.filter((c) => !now.has(identity(c))).map((condition) => ({ change: 'cleared' as const, condition })),
  ];
}

/** Outcomes are plain data already; this says so to the type checker, and drops what is undefined. */
export function plain(value: unknown): { readonly [key: string]: Json } {
  return JSON.parse(JSON.stringify(value));
}

/**
 * Views to rows and back. The fields with a column of their own are named here; every other field of a view, also one
 * that the lifecycle gains later, goes into `facts`.
 */
import type { Policy } from '../lifecycle/policy.ts';
import type { Condition, DomainView, KeyView, SignerView, StreamView, Subject } from '../lifecycle/types.ts';
import type { ConditionTable, DomainTable, KeyTable, SignerTable, StreamTable } from './tables.ts';

export type DomainColumns = Pick<
  DomainTable,
  | 'name'
  | 'kind'
  | 'created_at'
  | 'generation'
  | 'first_active_at'
  | 'paused_at'
  | 'removing_at'
  | 'last_look_at'
  | 'facts'
>;

export function domainToRow(view: DomainView): DomainColumns {
  const { name, kind, createdAt, generation, firstActiveAt, pausedAt, removingAt, lastLookAt, ...facts } = view;
  return {
    name,
    kind,
    created_at: createdAt,
    generation,
    first_active_at: firstActiveAt,
    paused_at: pausedAt,
    removing_at: removingAt,
    last_look_at: lastLookAt,
    facts: JSON.stringify(facts),
  };
}

export function domainFromRow(row: DomainColumns): DomainView {
  type Named =
    | 'name'
    | 'kind'
    | 'createdAt'
    | 'generation'
    | 'firstActiveAt'
    | 'pausedAt'
    | 'removingAt'
    | 'lastLookAt';
  return {
    name: row.name,
    kind: row.kind,
    createdAt: row.created_at,
    generation: row.generation,
    firstActiveAt: row.first_active_at,
    pausedAt: row.paused_at,
    removingAt: row.removing_at,
    lastLookAt: row.last_look_at,
    ...(JSON.parse(row.facts) as Omit<DomainView, Named>),
  };
}

export function streamToRow(domain: string, ord: number, view: StreamView): StreamTable {
  const { name, policy, ...facts } = view;
  return { domain, name, ord, policy: policy ? JSON.stringify(policy) : null, facts: JSON.stringify(facts) };
}

export function streamFromRow(row: StreamTable): StreamView {
  return {
    name: row.name,
    policy: row.policy === null ? null : (JSON.parse(row.policy) as Policy),
    ...(JSON.parse(row.facts) as Omit<StreamView, 'name' | 'policy'>),
  };
}

export function keyToRow(domain: string, ord: number, view: KeyView): KeyTable {
  const {
    id,
    stream,
    selector,
    algorithm,
    bits,
    publicKey,
    state,
    ownership,
    imported,
    createdAt,
    publishedAt,
    activatedAt,
    retiredAt,
    revokedAt,
    removedAt,
    compromisedAt,
    rejectedAt,
    privateKeyDestroyedAt,
    ...facts
  } = view;
  return {
    domain,
    id,
    ord,
    stream,
    selector,
    algorithm,
    bits,
    public_key: publicKey,
    state,
    ownership,
    imported: imported ? 1 : 0,
    created_at: createdAt,
    published_at: publishedAt,
    activated_at: activatedAt,
    retired_at: retiredAt,
    revoked_at: revokedAt,
    removed_at: removedAt,
    compromised_at: compromisedAt,
    rejected_at: rejectedAt,
    private_key_destroyed_at: privateKeyDestroyedAt,
    facts: JSON.stringify(facts),
  };
}

export function keyFromRow(row: KeyTable): KeyView {
  const named = {
    id: row.id,
    stream: row.stream,
    selector: row.selector,
    algorithm: row.algorithm,
    bits: row.bits,
    publicKey: row.public_key,
    state: row.state,
    ownership: row.ownership,
    imported: row.imported !== 0,
    createdAt: row.created_at,
    publishedAt: row.published_at,
    activatedAt: row.activated_at,
    retiredAt: row.retired_at,
    revokedAt: row.revoked_at,
    removedAt: row.removed_at,
    compromisedAt: row.compromised_at,
    rejectedAt: row.rejected_at,
    privateKeyDestroyedAt: row.private_key_destroyed_at,
  };
  return { ...named, ...(JSON.parse(row.facts) as Omit<KeyView, keyof typeof named>) };
}

export function signerToRow(domain: string, ord: number, view: SignerView): SignerTable {
  const { id, streams, acknowledgedGeneration, acknowledgedAt, setAsideAt, ...facts } = view;
  return {
    domain,
    id,
    ord,
    streams: JSON.stringify(streams),
    acknowledged_generation: acknowledgedGeneration,
    acknowledged_at: acknowledgedAt,
    set_aside_at: setAsideAt,
    facts: JSON.stringify(facts),
  };
}

export function signerFromRow(row: SignerTable): SignerView {
  const named = {
    id: row.id,
    streams: JSON.parse(row.streams) as readonly string[],
    acknowledgedGeneration: row.acknowledged_generation,
    acknowledgedAt: row.acknowledged_at,
    setAsideAt: row.set_aside_at,
  };
  return { ...named, ...(JSON.parse(row.facts) as Omit<SignerView, keyof typeof named>) };
}

export function conditionToRow(domain: string, ord: number, view: Condition): ConditionTable {
  const { subject, reason, severity, message, since, ...facts } = view;
  return {
    domain,
    ord,
    subject: subject.kind,
    subject_id: subject.kind === 'domain' ? '' : subject.id,
    reason,
    severity,
    message,
    since,
    facts: JSON.stringify(facts),
  };
}

export function conditionFromRow(row: ConditionTable): Condition {
  const subject: Subject = row.subject === 'domain' ? { kind: 'domain' } : { kind: row.subject, id: row.subject_id };
  const named = { subject, reason: row.reason, severity: row.severity, message: row.message, since: row.since };
  return { ...named, ...(JSON.parse(row.facts) as Omit<Condition, keyof typeof named>) };
}

const severities = ['none', 'info', 'warning', 'critical'] as const;

/** 0 none, 1 info, 2 warning, 3 critical. */
export function worstSeverity(conditions: readonly Condition[]): number {
  return conditions.reduce((worst, { severity }) => Math.max(worst, severities.indexOf(severity)), 0);
}

export function severityFrom(level: number): Condition['severity'] | null {
  const name = severities[level] ?? 'none';
  return name === 'none' ? null : name;
}

/** The tables, as Kysely knows them. Columns hold what is searched, ordered or audited; `facts` holds the rest of a view as JSON. */
import type { Kysely, Transaction } from 'kysely';
import type { Condition, KeyAlgorithm, KeyState, RecordKind, Verdict } from '../lifecycle/types.ts';

export interface DomainTable {
  name: string;
  kind: 'mail' | 'shadow';
  created_at: number;
  generation: number;
  first_active_at: number | null;
  paused_at: number | null;
  removing_at: number | null;
  last_look_at: number | null;
  facts: string;
  version: number;
  policy_name: string | null;
  policy_own: string | null;
  /** Worst severity of its conditions: 0 none, 1 info, 2 warning, 3 critical. */
  severity: number;
  next_look_at: number;
  /** When it can be claimed: `next_look_at`, or while somebody holds it the end of the lease. The one index that a tick reads. */
  due_at: number;
  /** A wake-up that came in during a lease. */
  wake_at: number | null;
  lease_owner: string | null;
  lease_token: number;
  lease_until: number | null;
}

export interface StreamTable {
  domain: string;
  name: string;
  ord: number;
  policy: string | null;
  facts: string;
}

export interface KeyTable {
  domain: string;
  id: string;
  ord: number;
  stream: string;
  selector: string;
  algorithm: KeyAlgorithm;
  bits: number;
  public_key: string;
  state: KeyState;
  ownership: 'ours' | 'external';
  imported: number;
  created_at: number;
  published_at: number | null;
  activated_at: number | null;
  retired_at: number | null;
  revoked_at: number | null;
  removed_at: number | null;
  compromised_at: number | null;
  rejected_at: number | null;
  private_key_destroyed_at: number | null;
  facts: string;
}

/** A key as it was when it, or its domain, left. */
export interface FormerKeyTable extends KeyTable {
  left_at: number;
}

export interface SignerTable {
  domain: string;
  id: string;
  ord: number;
  streams: string;
  acknowledged_generation: number;
  acknowledged_at: number | null;
  set_aside_at: number | null;
  facts: string;
}

export interface ConditionTable {
  domain: string;
  ord: number;
  subject: Condition['subject']['kind'];
  subject_id: string;
  reason: string;
  severity: Condition['severity'];
  message: string;
  since: number;
  facts: string;
}

export interface PrivateKeyTable {
  key_id: string;
  sealed: Buffer;
  /** Which key-encryption key sealed it (hexadecimal). */
  kek_id: string;
}

export interface PoolTable {
  id: string;
  algorithm: KeyAlgorithm;
  bits: number;
  public_key: string;
  sealed: Buffer;
  kek_id: string;
  made_at: number;
  reserved_until: number;
}

export interface ProofTable {
  key_id: string;
  seq: number;
  since: number;
  at: number;
  times: number;
  expected: RecordKind;
  verdict: Verdict;
  detail: string;
}

export interface JournalTable {
  seq: number;
  at: number;
  actor: string;
  source: string;
  domain: string | null;
  kind: string;
  details: string;
  hash: Buffer;
  /** HMAC over `hash`, on the last entry of each transaction. */
  mac: Buffer | null;
}

export interface InstanceTable {
  name: string;
  boot: string;
  host: string;
  pid: number;
  started_at: number;
  seen_at: number;
  expires_at: number;
  roles: string;
}

export interface Tables {
  meta: { name: string; value: string };
  policies: { name: string; policy: string };
  domains: DomainTable;
  streams: StreamTable;
  keys: KeyTable;
  signers: SignerTable;
  conditions: ConditionTable;
  private_keys: PrivateKeyTable;
  pool: PoolTable;
  proof_runs: ProofTable;
  former_keys: FormerKeyTable;
  journal: JournalTable;
  counters: { name: string; value: number };
  results: { key: string; at: number; result: string };
  instances: InstanceTable;
  /** The last transaction of each process; see `writer.ts`. */
  writers: { id: string; mark: number; at: number };
  zones: { apex: string; serial: number };
  zone_records: { apex: string; name: string; value: string; ttl: number };
}

export type Db = Kysely<Tables>;
export type Trx = Transaction<Tables>;

/**
 * What the control plane asks of its store. One code over SQLite now, MySQL later; times are epoch milliseconds.
 * Ordinary outcomes are returned; what a person must act upon (disk full, wrong key, corrupt file) is thrown as `StoreError`.
 */
import type { Policy } from '../lifecycle/policy.ts';
import type { Condition, KeyAlgorithm, KeyState, KeyView, Snapshot } from '../lifecycle/types.ts';
import type { KeyHistory } from './history.ts';
import type { Instances } from './instances.ts';
import type { JournalStore, NewEvent } from './journal.ts';
import type { Json } from './json.ts';
import type { KeyPool } from './pool.ts';
import type { NewProof, ProofRow } from './proofs.ts';
import type { StoreStatus } from './status.ts';
import type { ZoneStore } from './zones.ts';

/** A lease on one due domain. Whoever claims it later gets another token, and commits under this one are then stale. */
export interface Claim {
  readonly name: string;
  readonly owner: string;
  /** Fencing token: grows with every claim of the domain. */
  readonly token: number;
  readonly until: number;
}

/** Which policy a domain follows: one that many share by its name, or one of its own. */
export type PolicyRef =
  | { readonly kind: 'named'; readonly name: string }
  | { readonly kind: 'own'; readonly policy: Policy };

/** A domain as one consistent read saw it. */
export interface StoredDomain {
  readonly snapshot: Snapshot;
  /** Grows with every commit; never used twice for a name, even when the domain goes and comes back. */
  readonly version: number;
  /** The domain's policy, resolved. */
  readonly policy: Policy;
  readonly policyRef: PolicyRef;
  readonly nextLookAt: number;
}

/** The private half of a key that a commit adds. */
export type NewSecret =
  /** Taken from the pool (see {@link KeyPool.reserve}): gone from it in the same transaction. */
  | { readonly keyId: string; readonly from: 'pool'; readonly reservation: string }
  /** PKCS#8, DER. */
  | { readonly keyId: string; readonly from: 'der'; readonly pkcs8: Uint8Array };

export interface Change {
  /** What {@link Store.snapshot} gave; entities that `after` shares with it by identity are not written. */
  readonly before: Snapshot;
  /** `null`: the domain has left; its rows go, its journal stays. */
  readonly after: Snapshot | null;
  /** Into the journal, in the same transaction. */
  readonly events: readonly NewEvent[];
  /** When to look again; a wake-up that came in since the claim makes it sooner. Left out: as it was. */
  readonly nextLookAt?: number;
  readonly proofs?: readonly NewProof[];
  readonly secrets?: readonly NewSecret[];
  /** Keys whose private half is destroyed with this commit. */
  readonly destroy?: readonly string[];
  /** The domain's policy is changed with this commit. */
  readonly policy?: PolicyRef;
  /** Gives the lease back with the commit (only with a claim). */
  readonly release?: boolean;
  /** A request that must take effect once: a second commit with this key answers `repeated` with the first one's result. */
  readonly once?: { readonly key: string; readonly result: Json };
}

/** Compare-and-set: by claim (token and version) or by version alone. */
export type Guard =
  | { readonly claim: Claim; readonly version: number }
  | { readonly name: string; readonly version: number };

export type CommitResult =
  | { readonly kind: 'committed'; readonly version: number }
  /** `version`: somebody else wrote; `lease`: somebody else claimed; `gone`: no such domain; `pool`: the reserved key pair is gone. Read again. */
  | { readonly kind: 'stale'; readonly why: 'version' | 'lease' | 'gone' | 'pool' }
  | { readonly kind: 'repeated'; readonly result: Json };

export interface NewDomain {
  /** Freshly made by the lifecycle (`newDomain`), or imported. Its name is `snapshot.domain.name`. */
  readonly snapshot: Snapshot;
  readonly policy: PolicyRef;
  readonly events: readonly NewEvent[];
  readonly nextLookAt: number;
  readonly secrets?: readonly NewSecret[];
  readonly once?: { readonly key: string; readonly result: Json };
}

export type AddResult =
  | { readonly kind: 'added'; readonly version: number }
  | { readonly kind: 'exists' }
  | { readonly kind: 'no-such-policy' }
  | { readonly kind: 'pool' }
  | { readonly kind: 'repeated'; readonly result: Json };

export interface DomainFilter {
  readonly kind?: 'mail' | 'shadow';
  /** At least one key in this state. */
  readonly keyState?: KeyState;
  /** At least one condition with this reason. */
  readonly reason?: string;
  /** At least one condition of this severity. */
  readonly severity?: Condition['severity'];
  /** Named policy. */
  readonly policy?: string;
  /** Names that start so. */
  readonly prefix?: string;
}

export interface DomainRow {
  readonly name: string;
  readonly kind: 'mail' | 'shadow';
  readonly createdAt: number;
  readonly generation: number;
  readonly firstActiveAt: number | null;
  readonly pausedAt: number | null;
  readonly removingAt: number | null;
  readonly lastLookAt: number | null;
  readonly nextLookAt: number;
  readonly policy: string | null;
  /** Worst severity among its conditions. */
  readonly severity: Condition['severity'] | null;
  readonly keys: Readonly<Partial<Record<KeyState, number>>>;
  readonly conditions: number;
}

export interface KeyRow extends KeyView {
  readonly domain: string;
}

export interface KeyFilter {
  readonly domain?: string;
  readonly state?: KeyState;
  /** With `state: 'active'`: those that became active before this time, oldest first (the next to be rotated). */
  readonly activatedBefore?: number;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Hand it in as `after` for the next page; null at the end. */
  readonly next: string | null;
}

export interface PageRequest {
  /** 1–1000; 100 by default. */
  readonly limit?: number;
  readonly after?: string | null;
}

/** Kept up with every commit, never counted at the time of asking. */
export interface Counts {
  readonly domains: { readonly mail: number; readonly shadow: number };
  readonly keys: Readonly<Record<KeyState, number>>;
  readonly conditions: Readonly<Record<Condition['severity'], number>>;
  /** Conditions by reason. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** One domain's active keys with their private halves, for signers only. */
export interface StoredKeyring {
  readonly domain: string;
  readonly generation: number;
  /** The domain has had an active key: its mail must be signed. */
  readonly mustSign: boolean;
  /** Every stream, also those without an active key. */
  readonly streams: ReadonlyArray<{
    readonly name: string;
    readonly keys: ReadonlyArray<{
      readonly id: string;
      readonly selector: string;
      readonly algorithm: KeyAlgorithm;
      readonly bits: number;
      /** Null where the private half is not ours. */
      readonly pkcs8: Uint8Array | null;
    }>;
  }>;
}

/** Instances: which processes are alive under which names; see `instances.ts`. */
export interface Store extends AsyncDisposable, Instances {
  // Work
  /** Leases on up to `limit` domains whose look is due (or lies beyond now + 25 h: the clock has been set back), longest due first. */
  claimDue(request: { now: number; limit: number; owner: string; leaseMs: number }): Promise<readonly Claim[]>;
  /** The same claim with a later end, or null when somebody else holds the domain by now. */
  renew(claim: Claim, until: number): Promise<Claim | null>;
  /** Gives the domain back; `nextLookAt` as it was unless given. */
  release(claim: Claim, nextLookAt?: number): Promise<void>;
  /** Gives back every domain that `owner` holds: for a process that starts under the name of one that died. The number given back. */
  releaseOwner(owner: string): Promise<number>;
  /** A look is wanted at `at` or before; a look that runs now does not swallow it. False: no such domain. */
  wake(name: string, at: number): Promise<boolean>;
  /** When the next domain is due, over all (for the loop's timer); null without domains. */
  nextDueAt(): Promise<number | null>;

  // Domains
  snapshot(name: string): Promise<StoredDomain | null>;
  /** Many at once, for one claim's worth of work; names that are gone are left out. */
  snapshots(names: readonly string[]): Promise<ReadonlyMap<string, StoredDomain>>;
  addDomain(domain: NewDomain): Promise<AddResult>;
  commit(guard: Guard, change: Change): Promise<CommitResult>;
  listDomains(filter: DomainFilter, page?: PageRequest): Promise<Page<DomainRow>>;
  /** By domain and key id; with `activatedBefore`, by activation. */
  listKeys(filter: KeyFilter, page?: PageRequest): Promise<Page<KeyRow>>;
  findKey(keyId: string): Promise<KeyRow | null>;
  counts(): Promise<Counts>;

  // Policies
  policy(name: string): Promise<Policy | null>;
  policies(): Promise<ReadonlyArray<{ name: string; policy: Policy; domains: number }>>;
  /** Makes or changes a named policy and wakes the domains that follow it. `unchanged` writes no event. */
  putPolicy(
    name: string,
    policy: Policy,
    events: readonly NewEvent[],
    now: number,
  ): Promise<'made' | 'changed' | 'unchanged'>;
  removePolicy(name: string, events: readonly NewEvent[]): Promise<'removed' | 'in-use' | 'missing'>;

  // Secrets
  /** PKCS#8 DER; null where there is none (external or destroyed). For signers, and for nothing else. */
  loadPrivateKey(keyId: string): Promise<Uint8Array | null>;
  keyring(domain: string): Promise<StoredKeyring | null>;
  /** Every mail domain's keyring, in order of name; memory stays that of one page. */
  keyrings(): AsyncIterable<StoredKeyring>;
  readonly pool: KeyPool;
  /** Seals every private key under the current key-encryption key; the number of keys sealed anew. */
  reseal(): Promise<number>;

  status(): Promise<StoreStatus>;

  // Evidence
  /** Newest first; the first is the latest proof. The last 20 changes of what was seen unless `limit` says otherwise. */
  proofs(keyId: string, limit?: number): Promise<readonly ProofRow[]>;
  /** Everything that ever happened to the keys of a domain, or of one selector of it; also of domains that have left. */
  keyHistory(domain: string, selector?: string): Promise<readonly KeyHistory[]>;
  readonly journal: JournalStore;

  // The built-in DNS server
  readonly zones: ZoneStore;

  // Requests that take effect once
  /** The result of an earlier commit with this `once.key`, or undefined. */
  earlierResult(key: string): Promise<Json | undefined>;
  /** Forgets `once` keys older than this. */
  forgetResults(before: number): Promise<number>;

  close(): Promise<void>;
}

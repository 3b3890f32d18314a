/**
 * What the lifecycle knows of a domain: a snapshot (everything `plan` may look at), the steps it may ask for, and the
 * outcomes that come back. All of it is plain data: times are epoch milliseconds (UTC), durations milliseconds, TTLs seconds.
 */
import type { Policy } from './policy.ts';

export type KeyAlgorithm = 'rsa' | 'ed25519';

/** The seven states of a key, in the order of its life. What goes wrong is a {@link Condition}, never a state. */
export type KeyState = 'created' | 'published' | 'standby' | 'active' | 'retiring' | 'revoked' | 'removed';

/** What was seen of a record. `missing`, `revoked` and `mismatched` are never one error. */
export type Verdict = 'seen' | 'missing' | 'revoked' | 'mismatched' | 'several' | 'unreachable' | 'bogus';

/** The digest of one proof: what all authoritative servers (and resolvers, where asked) answered for a key's record. */
export interface ProofSummary {
  readonly at: number;
  /** What the record was expected to be when it was asked for. */
  readonly expected: RecordKind;
  /** `seen` only where every authoritative server gave exactly the expected value. */
  readonly verdict: Verdict;
  readonly serversAsked: number;
  readonly serversAgreeing: number;
  /** TTL in seconds of the record as served; null where it was not served. */
  readonly ttl: number | null;
  /** The zone's negative-cache TTL in seconds: min(SOA TTL, SOA MINIMUM), RFC 2308 section 5. */
  readonly negativeTtl: number;
}

/** `key`: the public key; `revoked`: an empty `p=` (RFC 6376 section 3.6.1); `absent`: no record at all. */
export type RecordKind = 'key' | 'revoked' | 'absent';

export interface DomainView {
  readonly name: string;
  readonly kind: 'mail' | 'shadow';
  /** The mail domain whose keys a shadow holds: their records stand at that domain. Left out: a shadow of its own, or a mail domain. */
  readonly shadowOf?: string;
  /** Shadows of this domain that there are or were: selectors that bear the mark of one are never ours to give. */
  readonly shadows?: readonly string[];
  /** Selectors without such a mark that a shadow has all the same: selector → shadow. */
  readonly reserved?: Readonly<Record<string, string>>;
  readonly createdAt: number;
  /** Grows by one with every change of the active set, and never goes back. */
  readonly generation: number;
  /** First activation of any key; from then on the domain's mail must be signed. */
  readonly firstActiveAt: number | null;
  readonly pausedAt: number | null;
  /** An operator asked that the domain leave: its keys may go without a successor. */
  readonly removingAt: number | null;
  /** When `plan` last looked; waits are credited from look to look, so that a jumping clock cannot shorten them. */
  readonly lastLookAt: number | null;
}

/** The last attempt that failed and how many failed in a row: what the back-off is reckoned from. */
export interface Retry {
  readonly at: number;
  readonly failures: number;
}

export interface StreamView {
  readonly name: string;
  /** The stream's own policy, or null for the domain's. */
  readonly policy: Policy | null;
  readonly pausedAt: number | null;
  /** A rotation asked for by hand; done when every active key was activated later than this. */
  readonly rotateRequestedAt: number | null;
  /** The domain's generation when that was asked: keys that entered with it or before are due. Clocks jump, generations do not. */
  readonly rotateRequestedGeneration: number | null;
  /** Approval of the coming rotation (policy `approval: 'required'`). */
  readonly approvedAt: number | null;
  /** The domain's generation when that was given: it covers the replacement of keys that entered with it or before. */
  readonly approvedGeneration: number | null;
  /** Set by a rollback: no rotation starts by itself until an operator rotates or resumes. */
  readonly heldSince: number | null;
  /** Somebody else signs it (an e-mail service): its keys are watched, and it has neither keys nor signers of ours. */
  readonly external?: true;
}

export interface KeyView {
  readonly id: string;
  readonly stream: string;
  readonly selector: string;
  readonly algorithm: KeyAlgorithm;
  readonly bits: number;
  /** Contents of the record's `p=` tag: base64 without white space. */
  readonly publicKey: string;
  readonly state: KeyState;
  /** `external` keys belong to somebody else: they are proved and shown, and never published, activated or withdrawn. */
  readonly ownership: 'ours' | 'external';
  /** Taken over with its selector and record as they were; it has been signing already. */
  readonly imported: boolean;
  /** Under a selector of the policy's slots, which may have held other keys before, and will hold others after. */
  readonly slot?: boolean;
  /** The longest TTL (seconds) with which its record was ever written or seen. */
  readonly longestTtl?: number;
  /** How long (seconds) resolvers may remember what stood under its selector before: a removed key of the same slot. */
  readonly earlierTtl?: number;
  readonly createdAt: number;
  readonly publishedAt: number | null;
  readonly activatedAt: number | null;
  readonly retiredAt: number | null;
  readonly revokedAt: number | null;
  readonly removedAt: number | null;
  /** What the publisher last confirmed to have written, and with which TTL (seconds). */
  readonly written: { readonly kind: RecordKind; readonly ttl: number; readonly at: number } | null;
  /** The last proof, and since when all proofs without a gap have said `seen` for the same expectation. */
  readonly proof: ProofSummary | null;
  readonly provedSince: number | null;
  /** Credit of the wait that runs now (negative cache, overlap or tombstone), in milliseconds; see DomainView.lastLookAt. */
  readonly waited: number;
  /** The domain generation with which the key entered the active set, and the one with which it left. */
  readonly enteredGeneration: number | null;
  readonly leftGeneration: number | null;
  /** Per signer: when a signature of this key was last seen (from mail or from the signer's own test message). */
  readonly signaturesSeen: Readonly<Record<string, number>>;
  readonly compromisedAt: number | null;
  /** Set by a rollback: this key is not to be used again. */
  readonly rejectedAt: number | null;
  /**
   * True: an operator (or a copy) wants it at hand. It stays published and is proved, never leaves DNS for being surplus, old or out of
   * use, and never begins to sign unless it is asked for. False: it was let go again, at `releasedAt`; until then undecided.
   */
  readonly kept?: boolean;
  readonly releasedAt?: number;
  /** The stream is to sign with this key: it enters as soon as rule 1 allows, counts as what the policy asks for, and is new from then on. */
  readonly wanted?: { readonly at: number };
  /** Its record belongs to the same key of that domain by now: it is never written or withdrawn from here. */
  readonly handedTo?: string;
  /** Where the pair came from, and where else it is, as `domain/selector`: what becomes known of one is known of all. */
  readonly copiedFrom?: string;
  readonly copies?: { readonly count: number; readonly some: readonly string[] };
  readonly privateKeyDestroyedAt: number | null;
  /** Failed attempts to write the record; null after a success. */
  readonly retry: Retry | null;
}

/** What a kind of signer can do, as far as the planner has to know it. */
export interface SignerAbilities {
  readonly algorithms: readonly KeyAlgorithm[];
  /**
   * With how many keys of one stream it signs a message at most; null for any number. One that is given more signs with those that
   * entered last.
   */
  readonly atMost: number | null;
}

export interface SignerView {
  readonly id: string;
  /** Streams that this signer signs. */
  readonly streams: readonly string[];
  /** The generation of this domain's keyring that it has really loaded; 0 for none. */
  readonly acknowledgedGeneration: number;
  readonly acknowledgedAt: number | null;
  /** An operator decided not to wait for it. */
  readonly setAsideAt: number | null;
  /** What it can do; left out where it signs with any number of keys of every algorithm. */
  readonly abilities?: SignerAbilities;
  /**
   * Somebody changed by hand what it signs with: since when, and what was found. Until a person adopts or restores it the signer
   * counts as one that has acknowledged nothing, and is left as it is.
   */
  readonly drift?: {
    readonly at: number;
    readonly message: string;
    /** It was decided to take over what was found: once these keys (ids) sign, the signer is given the keyring with them in it. */
    readonly adopting?: readonly string[];
  };
  /** It was decided that what somebody changed there is to be written over; until it acknowledges again. */
  readonly restoring?: true;
  /** Failed deliveries or self-tests; null after a success. */
  readonly retry: Retry | null;
}

export type Subject =
  | { readonly kind: 'domain' }
  | { readonly kind: 'stream'; readonly id: string }
  | { readonly kind: 'key'; readonly id: string }
  | { readonly kind: 'signer'; readonly id: string };

/** Something that is not as it should be: why, in words, since when, and what to do about it. */
export interface Condition {
  readonly subject: Subject;
  /** A stable kebab-case code, such as `record-missing`. */
  readonly reason: string;
  readonly severity: 'info' | 'warning' | 'critical';
  /** What is the matter, and what the reader can do. */
  readonly message: string;
  readonly since: number;
}

/** Everything that `plan` may look at, for one domain. Removed keys stay in it: they tell which selectors are used up, and what slots held. */
export interface Snapshot {
  readonly domain: DomainView;
  readonly streams: readonly StreamView[];
  readonly keys: readonly KeyView[];
  readonly signers: readonly SignerView[];
  readonly conditions: readonly Condition[];
}

/** One small, idempotent piece of work. Kinds marked (pure) touch the store only. */
export type Step =
  /** Make a key pair and store it sealed. */
  | {
      readonly kind: 'create-key';
      readonly stream: string;
      readonly selector: string;
      readonly algorithm: KeyAlgorithm;
      readonly bits: number;
      /** The selector is one of the policy's slots. */
      readonly slot?: boolean;
    }
  /** Write the key's record: its public key, an empty `p=`, or nothing. Also used to change the TTL. */
  | {
      readonly kind: 'write-record';
      readonly keyId: string;
      readonly record: RecordKind;
      readonly ttl: number;
      readonly why: string;
    }
  /** Ask every authoritative server (and resolver) for the key's record. */
  | { readonly kind: 'prove'; readonly keyId: string; readonly expected: RecordKind }
  /** (pure) created → published, published → standby, retiring → revoked, revoked → removed, … once the facts are there. */
  | { readonly kind: 'move'; readonly keyId: string; readonly to: KeyState; readonly why: string }
  /** (pure) One change of the active set: keys enter and keys leave with one new generation. */
  | {
      readonly kind: 'change-active';
      readonly enter: readonly string[];
      readonly leave: readonly string[];
      readonly why: string;
    }
  /**
   * Hand the keyring of the domain's current generation to a signer; it is read from the store when it is handed over, never
   * from the plan's snapshot, so that an instance that slept cannot give an old keyring to a signer that lost its own. Where the domain is being removed and has no active
   * key left, the signer is told to forget the domain instead; its answer counts as the acknowledgement.
   */
  | { readonly kind: 'deliver'; readonly signerId: string; readonly generation: number }
  /** Have the signer sign a test message with the key. */
  | { readonly kind: 'self-test'; readonly signerId: string; readonly keyId: string }
  /** Destroy the private key of a removed key. */
  | { readonly kind: 'destroy-private-key'; readonly keyId: string }
  /** (pure) The domain has no key and no record left: it goes. */
  | { readonly kind: 'forget-domain' };

/** What a domain knows of a record that it shares with another key, so that no wait begins anew. */
export type KnownRecord = Pick<KeyView, 'publishedAt' | 'written' | 'proof' | 'provedSince' | 'waited' | 'retry'> & {
  readonly state: 'created' | 'published' | 'standby';
};

/** What became of a step, of a signer's report, or of an operator's command: `apply` folds it into the snapshot. */
export type Outcome =
  | {
      readonly kind: 'key-created';
      readonly at: number;
      readonly key: Pick<KeyView, 'id' | 'stream' | 'selector' | 'algorithm' | 'bits' | 'publicKey' | 'slot'>;
    }
  /** A key is wanted, and could not be made (by a signer that makes its keys itself): it is tried again. */
  | { readonly kind: 'key-not-created'; readonly at: number; readonly stream: string; readonly message: string }
  | {
      readonly kind: 'key-imported';
      readonly at: number;
      readonly key: Pick<KeyView, 'id' | 'stream' | 'selector' | 'algorithm' | 'bits' | 'publicKey' | 'ownership'>;
      /** It is to be at hand and not to sign by itself. */
      readonly kept?: true;
    }
  /**
   * A pair of another domain (or stream) is to be used here as well. `known` is what is known of its record already, where that is one
   * and the same: the key then goes on where it was.
   */
  | {
      readonly kind: 'key-copied';
      readonly at: number;
      readonly key: Pick<KeyView, 'id' | 'stream' | 'selector' | 'algorithm' | 'bits' | 'publicKey'>;
      readonly from: string;
      readonly kept: boolean;
      readonly known?: KnownRecord;
      /** The record belongs to that domain: only the pair is held here. */
      readonly handedTo?: string;
    }
  | {
      readonly kind: 'record-written';
      readonly at: number;
      readonly keyId: string;
      readonly record: RecordKind;
      readonly ttl: number;
      /** For the journal: the text that stands there now (null for none), by which publisher it was written, and why. */
      readonly value?: string | null;
      readonly publisher?: string;
      readonly why?: string;
    }
  /** The write did not happen (or nobody knows): the reason goes into a condition. `waiting` is for a person who must set it by hand. */
  | {
      readonly kind: 'record-not-written';
      readonly at: number;
      readonly keyId: string;
      readonly reason: 'waiting' | 'conflict' | 'refused' | 'failed';
      readonly message: string;
    }
  | { readonly kind: 'proved'; readonly keyId: string; readonly proof: ProofSummary }
  | {
      readonly kind: 'moved';
      readonly at: number;
      readonly keyId: string;
      readonly to: KeyState;
      /** For the journal. */
      readonly why?: string;
    }
  | {
      readonly kind: 'active-changed';
      readonly at: number;
      readonly enter: readonly string[];
      readonly leave: readonly string[];
      /** For the journal. */
      readonly why?: string;
    }
  | { readonly kind: 'acknowledged'; readonly at: number; readonly signerId: string; readonly generation: number }
  | { readonly kind: 'not-acknowledged'; readonly at: number; readonly signerId: string; readonly message: string }
  | { readonly kind: 'signature-seen'; readonly at: number; readonly signerId: string; readonly keyId: string }
  /** What the signer signs with is not what it was given, and not by a loss: somebody changed it. */
  | { readonly kind: 'drift-found'; readonly at: number; readonly signerId: string; readonly message: string }
  /** It signs with what it was given again (or with what has been adopted since). */
  | { readonly kind: 'drift-gone'; readonly at: number; readonly signerId: string }
  | {
      readonly kind: 'self-test-failed';
      readonly at: number;
      readonly signerId: string;
      readonly keyId: string;
      readonly message: string;
    }
  | { readonly kind: 'private-key-destroyed'; readonly at: number; readonly keyId: string }
  /**
   * `plan` looked: waits are credited, its conditions take the place of the old. `waits` names the keys whose wait ran
   * since the last look and the most that one look may credit to each (both are {@link Plan}'s); `looked` in plan.ts makes it.
   */
  | {
      readonly kind: 'looked';
      readonly at: number;
      readonly conditions: readonly Condition[];
      readonly waits: Readonly<Record<string, number>>;
    }
  | OperatorOutcome;

/** What a person (or an API client) asked for. */
export type OperatorOutcome =
  | {
      readonly kind: 'stream-added';
      readonly at: number;
      readonly stream: string;
      readonly policy: Policy | null;
      /** Somebody else signs it. */
      readonly external?: true;
    }
  | { readonly kind: 'policy-set'; readonly at: number; readonly stream: string; readonly policy: Policy | null }
  | { readonly kind: 'rotation-requested'; readonly at: number; readonly stream: string }
  | { readonly kind: 'rotation-approved'; readonly at: number; readonly stream: string }
  /** `stream` null: the whole domain. */
  | { readonly kind: 'paused'; readonly at: number; readonly stream: string | null }
  | { readonly kind: 'resumed'; readonly at: number; readonly stream: string | null }
  | { readonly kind: 'rolled-back'; readonly at: number; readonly stream: string }
  | { readonly kind: 'compromised'; readonly at: number; readonly keyId: string }
  /** The stream shall sign with this key from now on. */
  | { readonly kind: 'key-wanted'; readonly at: number; readonly keyId: string }
  | { readonly kind: 'key-kept'; readonly at: number; readonly keyId: string }
  | { readonly kind: 'key-released'; readonly at: number; readonly keyId: string }
  /** A shadow gives the record of a key to its main domain: from now on it never touches it. */
  | { readonly kind: 'key-handed'; readonly at: number; readonly keyId: string; readonly to: string }
  /** The pair is at these places too (`domain/selector`). */
  | { readonly kind: 'copies-made'; readonly at: number; readonly keyId: string; readonly to: readonly string[] }
  /** A key of somebody else is no longer watched, or has been replaced by its owner. */
  | { readonly kind: 'key-unwatched'; readonly at: number; readonly keyId: string }
  | { readonly kind: 'shadow-added'; readonly at: number; readonly shadow: string }
  /** A shadow is to have this selector, which bears no mark of it. */
  | { readonly kind: 'selector-reserved'; readonly at: number; readonly selector: string; readonly shadow: string }
  | {
      readonly kind: 'signer-added';
      readonly at: number;
      readonly signerId: string;
      readonly streams: readonly string[];
      /** Left out: everything. */
      readonly abilities?: SignerAbilities;
    }
  /** What somebody changed by hand at the signer is to be put back to what the domain's keyring says. */
  | { readonly kind: 'drift-restored'; readonly at: number; readonly signerId: string }
  /** What somebody put there is ours now: the signer is left as it is until these keys (ids) sign. */
  | {
      readonly kind: 'drift-adopted';
      readonly at: number;
      readonly signerId: string;
      readonly keyIds: readonly string[];
    }
  | { readonly kind: 'signer-set-aside'; readonly at: number; readonly signerId: string }
  | { readonly kind: 'signer-brought-back'; readonly at: number; readonly signerId: string }
  | { readonly kind: 'signer-removed'; readonly at: number; readonly signerId: string }
  | { readonly kind: 'removal-requested'; readonly at: number };

/** What `plan` answers. Steps may be carried out in any order, each guarded by the snapshot's version. */
export interface Plan {
  readonly steps: readonly Step[];
  /** When to look again even if nothing happens (epoch milliseconds); never more than a day ahead. */
  readonly nextLookAt: number;
  readonly conditions: readonly Condition[];
  /** For the `looked` outcome: the keys whose wait runs, and the most milliseconds that this look may credit to each. */
  readonly waits: Readonly<Record<string, number>>;
}

/** The report of an import: what each thing is, what DNS says of it, and what becomes of it. Holds no private key. */

import type { RecordState } from './state-of-dns.ts';
import type { Orphan } from './survey.ts';
import type { Action, Taken } from './take-over.ts';

export interface ImportReport {
  readonly dryRun: boolean;
  readonly domains: ReadonlyArray<{
    readonly name: string;
    readonly kind: 'mail' | 'shadow';
    readonly shadowOf: string | null;
    readonly action: Action;
    readonly keys: ReadonlyArray<{
      readonly selector: string;
      readonly role: 'active' | 'blind';
      readonly algorithm: 'rsa' | 'ed25519';
      readonly bits: number;
      readonly publicKey: string;
      readonly privateHalf: boolean;
      readonly recordName: string;
      readonly record: RecordState;
      readonly takenOver: boolean;
    }>;
    readonly notes: readonly string[];
  }>;
  readonly orphans: readonly Orphan[];
  readonly counts: Readonly<Record<Action, number>> & {
    readonly mail: number;
    readonly shadow: number;
    readonly blind: number;
    readonly orphans: number;
  };
}

export function reportOf(taken: readonly Taken[], orphans: readonly Orphan[], dryRun: boolean): ImportReport {
  const by = (action: Action) => taken.filter((each) => each.action === action).length;
  const keys = taken.flatMap(({ domain }) => domain.keys);
  return {
    dryRun,
    domains: taken.map(({ domain, action, keys: theirs, notes }) => ({
      name: domain.name,
      kind: domain.kind,
      shadowOf: domain.shadowOf,
      action,
      keys: domain.keys.map(({ pkcs8, ...key }) => ({
        ...key,
        privateHalf: pkcs8 !== null,
        takenOver: theirs.includes(key.selector),
      })),
      notes,
    })),
    orphans,
    counts: {
      added: by('added'),
      completed: by('completed'),
      there: by('there'),
      skipped: by('skipped'),
      failed: by('failed'),
      mail: taken.filter(({ domain }) => domain.kind === 'mail').length,
      shadow: taken.filter(({ domain }) => domain.kind === 'shadow').length,
      blind: keys.filter(({ role }) => role === 'blind').length,
      orphans: orphans.length,
    },
  };
}

/** What a follower has loaded of each domain, what it has seen of its keys, and what of this is still to be told. */
import type { FeedRecord, FeedReport, FeedTest } from '../../store/keyring/feed.ts';
import { fingerprintOf } from '../../store/keyring/sealed-record.ts';

/** An active key as far as it matters here. */
export interface LoadedKey {
  readonly stream: string;
  readonly selector: string;
  readonly entered: number;
}

export interface LoadedDomain {
  readonly born: number;
  readonly generation: number;
  /** Tells two contents of one generation apart; null where the feed does not say. */
  readonly print: number | null;
  /** Empty for a domain that was removed. */
  readonly keys: readonly LoadedKey[];
  /** The domain is the signer's business, or was. */
  readonly isOurs: boolean;
}

export interface FollowerState {
  readonly loaded: ReadonlyMap<string, LoadedDomain>;
  /** The keys that entered with this loading. */
  load(domain: string, next: LoadedDomain): readonly LoadedKey[];
  trouble(domain: string, message: string): void;
  /** A start could go by what was there before: no more than `before` is acknowledged until {@link kept}. */
  notKept(domain: string, before: number, message: string): void;
  kept(domain: string): void;
  tested(domain: string, key: LoadedKey, test: FeedTest): void;
  saw(domain: string, selector: string, at: number): void;
  /** To be told of: again, where it was told before. */
  mark(domain: string): void;
  /** Domains to be told of, some of them. */
  pending(limit: number): readonly FeedReport[];
  settle(reports: readonly FeedReport[]): void;
}

/** How often a domain is told of only because its mail is being signed, milliseconds. */
const tellSeenEvery = 60_000;

interface Seen {
  readonly tests: Map<string, FeedTest>;
  readonly seen: Map<string, { at: number; told: number }>;
  trouble: string | null;
  /** What may be acknowledged; null for what is loaded. */
  acknowledgeable: number | null;
  /** Grows with every change: what is told while it changes is told again. */
  version: number;
}

export function createFollowerState(): FollowerState {
  const loaded = new Map<string, LoadedDomain>();
  const seen = new Map<string, Seen>();
  const open = new Map<string, number>();
  const told = new WeakMap<FeedReport, number>();

  const of = (domain: string): Seen => {
    const known = seen.get(domain) ?? {
      tests: new Map(),
      seen: new Map(),
      trouble: null,
      acknowledgeable: null,
      version: 0,
    };
    seen.set(domain, known);
    return known;
  };
  const mark = (domain: string) => {
    const known = of(domain);
    known.version += 1;
    open.set(domain, known.version);
  };

  return {
    loaded,
    load(domain, next) {
      const before = loaded.get(domain);
      loaded.set(domain, next);
      const known = seen.get(domain);
      const same = (key: LoadedKey) => next.keys.some((k) => k.selector === key.selector && k.entered === key.entered);
      if (known !== undefined) {
        if (known.trouble !== null) mark(domain);
        known.trouble = null;
        for (const [selector, { entered }] of known.tests) {
          if (!same({ stream: '', selector, entered })) known.tests.delete(selector);
        }
        // Signatures of keys that left are told once more; of those before them nobody needs to know any more.
        const kept = new Set([...next.keys, ...(before?.keys ?? [])].map(({ selector }) => selector));
        for (const selector of known.seen.keys()) if (!kept.has(selector)) known.seen.delete(selector);
      }
      const had = before?.born === next.born ? before.keys : [];
      return next.keys.filter((key) => !had.some((k) => k.selector === key.selector && k.entered === key.entered));
    },
    trouble(domain, message) {
      of(domain).trouble = message;
      mark(domain);
    },
    notKept(domain, before, message) {
      const known = of(domain);
      known.acknowledgeable ??= before;
      known.trouble = message;
      mark(domain);
    },
    kept(domain) {
      Object.assign(of(domain), { acknowledgeable: null, trouble: null });
      mark(domain);
    },
    tested(domain, { selector }, test) {
      of(domain).tests.set(selector, test);
      mark(domain);
    },
    saw(domain, selector, at) {
      const known = of(domain).seen;
      const earlier = known.get(selector);
      if (earlier !== undefined && earlier.at >= at) return;
      const isActive = loaded.get(domain)?.keys.some((key) => key.selector === selector) === true;
      known.set(selector, { at, told: earlier?.told ?? Number.NEGATIVE_INFINITY });
      // The overlap of a key that left counts from its last signature: that one is told at once.
      if (earlier === undefined || at - earlier.told >= tellSeenEvery || !isActive) mark(domain);
    },
    mark,
    pending(limit) {
      const reports: FeedReport[] = [];
      for (const [domain, version] of open) {
        if (reports.length >= limit) break;
        const has = loaded.get(domain);
        const known = of(domain);
        if (has !== undefined && !has.isOurs) {
          open.delete(domain);
          continue;
        }
        const report: FeedReport = {
          domain,
          born: has?.born ?? 0,
          acknowledged: known.acknowledgeable ?? has?.generation ?? 0,
          trouble: known.trouble,
          tests: Object.fromEntries(known.tests),
          seen: Object.fromEntries([...known.seen].map(([selector, { at }]) => [selector, at])),
        };
        told.set(report, version);
        reports.push(report);
      }
      return reports;
    },
    settle(reports) {
      for (const report of reports) {
        const { domain } = report;
        for (const [selector, at] of Object.entries(report.seen)) {
          const entry = seen.get(domain)?.seen.get(selector);
          if (entry !== undefined) entry.told = at;
        }
        if (open.get(domain) === told.get(report)) open.delete(domain);
      }
    },
  };
}

/** What of a record matters here. */
export function toLoaded(record: FeedRecord, isOurs: boolean): LoadedDomain {
  const { born, generation, sealed } = record;
  const keys =
    record.kind === 'removed'
      ? []
      : Object.entries(record.streams).flatMap(([stream, list]) =>
          list.map(({ selector, entered }) => ({ stream, selector, entered })),
        );
  return { born, generation, print: sealed === undefined ? null : fingerprintOf(sealed), keys, isOurs };
}

/** It says nothing that is not loaded. */
export function isKnown(known: LoadedDomain | undefined, next: LoadedDomain): boolean {
  return (
    known !== undefined &&
    known.born === next.born &&
    known.generation === next.generation &&
    known.print !== null &&
    known.print === next.print &&
    known.isOurs === next.isOurs
  );
}

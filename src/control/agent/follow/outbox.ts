/** Reports on their way: of each thing only the newest, kept until the control plane has taken it. */
import { MOST_REPORTS, type Report } from '../wire.ts';

/** How often the signatures of a key on real mail are told of, milliseconds. */
const tellSeenEvery = 10 * 60_000;
/** What a signer has to say is told up to this length. */
const mostWords = 1000;

export interface Outbox {
  put(report: Report): void;
  /** What can still be taken back. */
  drop(domain: string, kind: Report['kind']): void;
  /** A signature on real mail, so many milliseconds ago. */
  seen(domain: string, selector: string, age: number): void;
  /** Nothing of a domain that is forgotten is told any more. */
  clear(domain: string): void;
  /** Some of what is to be told, with the word by which it is settled. */
  take(): { readonly reports: readonly Report[]; readonly settle: () => void } | null;
  readonly size: number;
}

interface Letter {
  readonly report: Report;
  /** When it was true, for reports that have an age. */
  readonly at: number;
}

/** `elapsed` is milliseconds of a clock that never jumps. */
export function createOutbox(elapsed: () => number): Outbox {
  const byDomain = new Map<string, Map<string, Letter>>();
  const told = new Map<string, number>();
  const put = (slot: string, letter: Letter) => {
    const { domain } = letter.report;
    const its = byDomain.get(domain) ?? new Map<string, Letter>();
    byDomain.set(domain, its);
    // Put last again: what is acknowledged now comes after what went wrong before it.
    its.delete(slot);
    its.set(slot, letter);
  };
  const drop = (domain: string, slot: string) => {
    const its = byDomain.get(domain);
    its?.delete(slot);
    if (its?.size === 0) byDomain.delete(domain);
  };
  return {
    put(given) {
      const report = 'message' in given ? { ...given, message: given.message.slice(0, mostWords) } : given;
      if (report.kind === 'acknowledged') drop(report.domain, 'not-acknowledged');
      put(slotOf(report), { report, at: elapsed() });
    },
    drop: (domain, kind) => drop(domain, kind),
    seen(domain, selector, age) {
      const now = elapsed();
      const last = told.get(`${domain} ${selector}`);
      if (last !== undefined && now - last < tellSeenEvery) return;
      told.set(`${domain} ${selector}`, now);
      // Selectors come and go: what was told long ago need not be remembered.
      if (told.size % 10_000 === 0) for (const [key, at] of told) if (now - at >= tellSeenEvery) told.delete(key);
      put(`seen ${selector}`, { report: { kind: 'signature-seen', domain, selector, age: 0 }, at: now - age });
    },
    clear(domain) {
      byDomain.delete(domain);
    },
    take() {
      const taken: Array<readonly [slot: string, Letter]> = [];
      for (const its of byDomain.values()) {
        if (taken.length + its.size > MOST_REPORTS && taken.length > 0) break;
        taken.push(...its);
      }
      if (taken.length === 0) return null;
      const now = elapsed();
      const letters = taken.slice(0, MOST_REPORTS);
      return {
        reports: letters.map(([, { report, at }]) =>
          report.kind === 'signature-seen' ? { ...report, age: Math.max(0, Math.round(now - at)) } : report,
        ),
        settle: () => {
          for (const [slot, letter] of letters)
            if (byDomain.get(letter.report.domain)?.get(slot) === letter) drop(letter.report.domain, slot);
        },
      };
    },
    get size() {
      let size = 0;
      for (const its of byDomain.values()) size += its.size;
      return size;
    },
  };
}

function slotOf(report: Report): string {
  switch (report.kind) {
    case 'signed':
    case 'test-failed':
      return `test ${report.selector}`;
    case 'drift-found':
    case 'drift-gone':
      return 'drift';
    case 'signature-seen':
      return `seen ${report.selector}`;
    default:
      return report.kind;
  }
}

/** The authoritative servers of one zone: each shows each record in its own time; none goes back to what it showed before. */
import type { RecordKind } from '../types.ts';

export interface Shown {
  readonly kind: RecordKind;
  /** Seconds. */
  readonly ttl: number;
}

export interface Servers {
  readonly count: number;
  /** Lets a record appear at a server at a (true) time, not before what was written there earlier. */
  write(server: number, selector: string, shown: Shown, at: number): void;
  read(server: number, selector: string, now: number): Shown;
  /** Since when the server has shown what it shows now. */
  since(server: number, selector: string, now: number): number;
}

const ABSENT: Shown = { kind: 'absent', ttl: 0 };

export function newServers(count: number): Servers {
  const zones = Array.from({ length: count }, () => new Map<string, { at: number; shown: Shown }[]>());
  const versions = (server: number, selector: string) => zones[server]?.get(selector) ?? [];
  return {
    count,
    write(server, selector, shown, at) {
      const list = versions(server, selector);
      const last = list.at(-1);
      const when = Math.max(at, last?.at ?? at);
      zones[server]?.set(selector, [...list.slice(-6), { at: when, shown }]);
    },
    read: (server, selector, now) => versions(server, selector).findLast((v) => v.at <= now)?.shown ?? ABSENT,
    since(server, selector, now) {
      const list = versions(server, selector).filter((v) => v.at <= now);
      const kind = list.at(-1)?.shown.kind;
      let since = Number.NEGATIVE_INFINITY;
      for (const version of list.toReversed()) {
        if (version.shown.kind !== kind) break;
        since = version.at;
      }
      return since;
    },
  };
}

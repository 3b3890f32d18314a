/** The authoritative servers of one zone: each shows each record in its own time; none goes back to what it showed before. */
import type { RecordKind } from '../types.ts';

export interface Shown {
  readonly kind: RecordKind;
  /** Seconds. */
  readonly ttl: number;
  /** Id of the key whose record it is: a slot has held others. An empty `p=` is nobody's. */
  readonly of?: string;
}

export interface Servers {
  readonly count: number;
  /** Written `now` (true time), a record appears at a server at the time `at`, not before what was written there earlier. */
  write(server: number, selector: string, shown: Shown, now: number, at: number): void;
  read(server: number, selector: string, now: number): Shown;
  /** What was written last, whether it is shown yet or not. */
  latest(server: number, selector: string): Shown;
  /** Until when resolvers that asked this server may remember something else there than this key or nothing. */
  othersUntil(server: number, selector: string, keyId: string, now: number): number;
  /** Since when the server has shown what it shows now. */
  since(server: number, selector: string, now: number): number;
}

const ABSENT: Shown = { kind: 'absent', ttl: 0 };

export function newServers(count: number): Servers {
  const zones = Array.from({ length: count }, () => new Map<string, { at: number; shown: Shown }[]>());
  const versions = (server: number, selector: string) => zones[server]?.get(selector) ?? [];
  return {
    count,
    write(server, selector, shown, now, at) {
      const list = versions(server, selector);
      const last = list.at(-1);
      if (last?.shown.kind === shown.kind && last.shown.ttl === shown.ttl && last.shown.of === shown.of) return;
      const when = Math.max(at, last?.at ?? at);
      // Of what is past, enough is kept to tell since when a record stands through changes of its TTL.
      const past = list.filter((version) => version.at <= now).slice(-8);
      // What would never be shown, because this comes at the same time, is dropped.
      const ahead = list.filter((version) => version.at > now && version.at < when);
      zones[server]?.set(selector, [...past, ...ahead, { at: when, shown }]);
    },
    read: (server, selector, now) => versions(server, selector).findLast((v) => v.at <= now)?.shown ?? ABSENT,
    latest: (server, selector) => versions(server, selector).at(-1)?.shown ?? ABSENT,
    othersUntil(server, selector, keyId, now) {
      const list = versions(server, selector).filter((v) => v.at <= now);
      const ends = list.map(({ shown }, i) =>
        shown.kind === 'absent' || shown.of === keyId ? 0 : (list[i + 1]?.at ?? now) + shown.ttl * 1000,
      );
      return Math.max(0, ...ends);
    },
    since(server, selector, now) {
      const list = versions(server, selector).filter((v) => v.at <= now);
      const current = list.at(-1)?.shown;
      let since = Number.NEGATIVE_INFINITY;
      for (const version of list.toReversed()) {
        if (version.shown.kind !== current?.kind || version.shown.of !== current.of) break;
        since = version.at;
      }
      return since;
    },
  };
}

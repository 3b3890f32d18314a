/** Keys as lanes over time, for `plan` and the demo: one line a key, one character a slice of time. */
import type { KeyState, KeyView, Snapshot } from '../lifecycle/types.ts';
import { keyKind, stateStyles } from './key-table.ts';
import { flow, moment, type Paint } from './output.ts';

export interface Lane {
  readonly name: string;
  readonly kind: string;
  /** When the key reached each state, in order of time. */
  readonly changes: ReadonlyArray<{ readonly at: number; readonly state: KeyState }>;
}

const marks: Readonly<Record<KeyState, string>> = {
  created: '·',
  published: '┈',
  standby: '─',
  active: '█',
  retiring: '▒',
  revoked: '╌',
  removed: ' ',
};

/** The lanes of keys that there are and of keys that the events foretell. */
export function lanesOf(
  snapshot: Snapshot,
  events: ReadonlyArray<{
    readonly at: number;
    readonly keyId: string | null;
    readonly selector: string | null;
    readonly state: KeyState | null;
  }>,
): Lane[] {
  const lanes = new Map<string, { name: string; kind: string; changes: Array<{ at: number; state: KeyState }> }>();
  for (const key of snapshot.keys) lanes.set(key.id, { name: key.selector, kind: keyKind(key), changes: history(key) });
  for (const { at, keyId, selector, state } of events) {
    if (keyId === null || state === null) continue;
    const lane = lanes.get(keyId) ?? { name: selector ?? keyId, kind: '', changes: [] };
    lanes.set(keyId, lane);
    lane.changes.push({ at, state });
  }
  return [...lanes.values()];
}

/** What a key has been through, as far as its dates tell. */
export function history(key: KeyView): Array<{ at: number; state: KeyState }> {
  const dates: ReadonlyArray<readonly [number | null, KeyState]> = [
    [key.createdAt, 'created'],
    [key.publishedAt, 'published'],
    [key.state === 'standby' ? (key.provedSince ?? key.publishedAt) : null, 'standby'],
    [key.activatedAt, 'active'],
    [key.retiredAt, 'retiring'],
    [key.revokedAt, 'revoked'],
    [key.removedAt, 'removed'],
  ];
  return dates.flatMap(([at, state]) => (at === null ? [] : [{ at, state }]));
}

export interface Drawing {
  readonly now: number;
  readonly from: number;
  readonly to: number;
  readonly columns: number;
  readonly paint: Paint;
  /** False leaves the dates off the axis. */
  readonly dates?: boolean;
  /** False draws nothing beyond now. */
  readonly future?: boolean;
}

/** The lanes, a "now" line through them, and a legend; lanes that show nothing in this span are left out. */
export function drawLanes(
  lanes: readonly Lane[],
  { now, from, to, columns, paint, dates = true, future = true }: Drawing,
): string {
  const visible = lanes.filter((lane) => lane.changes.some((c) => c.at < to) && stateAt(lane, from) !== 'removed');
  const names = Math.max(8, ...visible.map((lane) => lane.name.length));
  const kinds = Math.max(4, ...visible.map((lane) => lane.kind.length));
  const width = Math.max(20, Math.min(columns, 200) - names - kinds - 4);
  const slice = (to - from) / width;
  const nowColumn = Math.floor((now - from) / slice);
  const lines = visible.map((lane) => {
    let line = '';
    for (let column = 0; column < width; column++) {
      const state = stateAt(lane, from + slice * (column + 1));
      if (!future && column > nowColumn) break;
      if (column === nowColumn) line += paint('bold', '│');
      else line += state === null ? ' ' : paint(stateStyles[state], marks[state]);
    }
    return `${lane.name.padEnd(names)}  ${paint('dim', lane.kind.padEnd(kinds))}  ${line}`.trimEnd();
  });
  const indent = ' '.repeat(names + kinds + 4);
  const precise = to - from < 86_400_000;
  const end = dates ? moment(to, precise) : '';
  const nowAt = Math.max(0, Math.min(nowColumn - 1, width - 3));
  const room = width - nowAt - 3;
  const axis = `${indent}${' '.repeat(nowAt)}now${end.length < room ? end.padStart(room) : ''}`.trimEnd();
  const legend = (Object.keys(marks) as KeyState[]).flatMap((state) =>
    state === 'removed' ? [] : [`${paint(stateStyles[state], marks[state].repeat(2))} ${state}`],
  );
  if (visible.some((lane) => lane.changes.some((change) => change.state === 'removed' && change.at < to)))
    legend.push('(end) removed');
  return `${lines.join('\n')}\n${paint('dim', axis)}\n\n${flow(legend, columns, '  ').join('\n')}\n`;
}

function stateAt(lane: Lane, at: number): KeyState | null {
  return lane.changes.findLast((change) => change.at <= at)?.state ?? null;
}

/** Durations as people write them: `14d`, `90s`, `1h30m`, `250ms`. In the program they are milliseconds. */

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
const shape = /^(?:\d+(?:\.\d+)?(?:ms|[smhdw])\s*)+$/;
const part = /(\d+(?:\.\d+)?)(ms|[smhdw])/g;

/** Milliseconds, or null where the text is no duration. A bare number is none either: its unit would be a guess; `0` is. */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim();
  if (trimmed === '0') return 0;
  if (trimmed.length > 64 || !shape.test(trimmed)) return null;
  let total = 0;
  for (const [, amount, unit] of trimmed.matchAll(part)) {
    if (unit === undefined || !(unit in units)) return null;
    total += Number(amount) * units[unit as keyof typeof units];
  }
  return Number.isSafeInteger(Math.round(total)) ? Math.round(total) : null;
}

/** The shortest exact form: `14d`, `1h 30m`, `2s 500ms`. Weeks are written as days. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 0) return `-${formatDuration(-milliseconds)}`;
  let rest = Math.round(milliseconds);
  const parts: string[] = [];
  for (const unit of ['d', 'h', 'm', 's', 'ms'] as const) {
    const count = Math.floor(rest / units[unit]);
    if (count > 0) parts.push(`${count}${unit}`);
    rest -= count * units[unit];
  }
  return parts.length > 0 ? parts.join(' ') : '0s';
}

/** For people: the two largest units, rounded (`13d 4h`, `2m 5s`, `0.4s`). */
export function roughDuration(milliseconds: number): string {
  const size = Math.abs(milliseconds);
  if (size < 10_000) return `${(size / 1000).toFixed(1)}s`;
  const step = size < units.h ? units.s : size < units.d ? units.m : units.h;
  return formatDuration(Math.round(size / step) * step)
    .split(' ')
    .slice(0, 2)
    .join(' ');
}

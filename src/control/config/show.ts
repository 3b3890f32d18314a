/** The configuration for readers: secrets left out, durations and key kinds as they are written. */
import type { KeySpec } from '../../lifecycle/policy.ts';
import { formatDuration } from '../../settings/durations.ts';
import { formatKeySpec } from './policy-schema.ts';

/** Settings that hold a secret where they hold a text; where they name a file or a variable that is shown. */
const secrets = new Set(['secret', 'password', 'token', 'apiKey', 'secretAccessKey', 'sessionToken']);

/** The same tree with every secret replaced. */
export function withoutSecrets(tree: unknown): unknown {
  return rewrite(tree, (key, value) => (secrets.has(key) && typeof value === 'string' ? '(not shown)' : value));
}

const durations = new Set([
  'rotateEvery',
  'lead',
  'overlap',
  'tombstone',
  'proofFresh',
  'watchEvery',
  'timeout',
  'interval',
  'lease',
  'inspectEvery',
  'negativeTtl',
  'idleTimeout',
  'expiresAfter',
]);

/** The same tree in the forms in which the file is written: it can be read back. */
export function readable(tree: unknown): unknown {
  return rewrite(tree, (key, value, parent) => {
    if (typeof value === 'number' && durations.has(key)) return formatDuration(value).replaceAll(' ', '');
    if (typeof value === 'number' && (key === 'ttl' || key === 'ttlAhead')) {
      // TTLs of policies are seconds; the other `ttl`, of a zone, is milliseconds.
      return formatDuration('ttlAhead' in parent ? value * 1000 : value).replaceAll(' ', '');
    }
    if (key === 'keys' && Array.isArray(value) && 'rotateEvery' in parent)
      return value.map((spec: KeySpec) => formatKeySpec(spec));
    if (key === 'freeze' && Array.isArray(value)) return value.map(readableWindow);
    return value;
  });
}

function readableWindow(window: unknown): unknown {
  if (typeof window !== 'object' || window === null || !('kind' in window)) return window;
  const { kind, from, to, why } = window as { kind: string; from: unknown; to: unknown; why?: string };
  const reason = why === undefined ? {} : { why };
  return { from: readableEnd(kind, from), to: readableEnd(kind, to), ...reason };
}

function readableEnd(kind: string, end: unknown): unknown {
  const two = (n: number) => String(n).padStart(2, '0');
  if (kind === 'dates') return new Date(Number(end)).toISOString();
  if (kind === 'yearly') {
    const { month, day } = end as { month: number; day: number };
    return `${two(month)}-${two(day)}`;
  }
  const { weekday, minute } = end as { weekday: number; minute: number };
  return `${['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][weekday]} ${two(Math.floor(minute / 60))}:${two(minute % 60)}`;
}

function rewrite(tree: unknown, change: (key: string, value: unknown, parent: object) => unknown): unknown {
  if (Array.isArray(tree)) return tree.map((entry) => rewrite(entry, change));
  if (typeof tree !== 'object' || tree === null) return tree;
  return Object.fromEntries(
    Object.entries(tree).map(([key, value]) => {
      const changed = change(key, value, tree);
      return [key, changed === value ? rewrite(value, change) : changed];
    }),
  );
}

/** The section of docs/benchmarks.md that this measurement writes, between two marks. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';

export interface Result {
  readonly domains: number;
  /** Milliseconds. */
  readonly filledIn: number;
  readonly redisMB: number;
  readonly fromRedis: { readonly milliseconds: number; readonly residentMiB: number };
  readonly fromDisk: { readonly milliseconds: number; readonly residentMiB: number };
  /** Octets for one domain, its keys' own among them. */
  readonly memory: number;
  readonly keyBytes: number;
  readonly milters: number;
  readonly processes: number;
  /** Milliseconds, one for each change and milter. */
  readonly latencies: readonly number[];
  /** Milliseconds until the last milter had a change. */
  readonly slowest: readonly number[];
}

export function report(result: Result): string {
  const { fromRedis, fromDisk, latencies, slowest } = result;
  const all = cpus();
  const n = (value: number, digits = 0) => value.toLocaleString('en-GB', { maximumFractionDigits: digits });
  const row = (what: string, values: readonly number[]) =>
    `| ${what} | ${[0.5, 0.99, 1].map((share) => n(percentile(values, share))).join(' | ')} |\n`;
  return [
    `${all.length} cores (${all[0]?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB; Node ${process.versions.node}; Redis on the same cores.\n`,
    `${n(result.domains)} domains, each with an RSA-2048 and an Ed25519 key: ${n(result.redisMB)} MB in Redis, filled from the store (SQLite) in ${n(result.filledIn / 1000, 1)} s.\n\n`,
    '| A milter starts (process to open socket) | Seconds | Resident MiB |\n|---|---|---|\n',
    `| from Redis, with an empty disk | ${n(fromRedis.milliseconds / 1000, 2)} | ${n(fromRedis.residentMiB)} |\n`,
    `| from its disk, without Redis | ${n(fromDisk.milliseconds / 1000, 2)} | ${n(fromDisk.residentMiB)} |\n\n`,
    `In use by one domain in a milter: ${n(result.memory)} octets, ${n(result.keyBytes)} of them its keys.\n\n`,
    `| A change of one domain, from before its commit, to ${result.milters} milters in ${result.processes} processes | p50 ms | p99 ms | worst ms |\n|---|---|---|---|\n`,
    row('each milter', latencies),
    row('the last milter', slowest),
  ].join('');
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

const start = '<!-- keyring:start -->';
const end = '<!-- keyring:end -->';
const empty = `
## Keyrings in Redis

Milters without a store, which sign by what the control plane keeps in Redis; see [redis.md](redis.md). Each milter has every domain.
\`npm run bench keyring -- --write\` writes what follows.

${start}
${end}
`;

export function writeReport(result: Result): void {
  const file = join(import.meta.dirname, '../../docs/benchmarks.md');
  const text = readFileSync(file, 'utf8');
  const page = text.includes(start) ? text : `${text.trimEnd()}\n${empty}`;
  const from = page.indexOf(start) + start.length;
  writeFileSync(file, `${page.slice(0, from)}\n${report(result)}${page.slice(page.indexOf(end))}`);
}

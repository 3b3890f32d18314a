/** The section of docs/benchmarks.md that this measurement writes, between two marks. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';

export interface Measured {
  readonly domains: number;
  /** Milliseconds of processor time for one domain. */
  readonly processor: number;
  readonly seconds: number;
  readonly commits: number;
  /** Changes of the active set per domain. */
  readonly turned: number;
  readonly residentMiB: number;
}

export interface Result {
  readonly domains: number;
  readonly keys: number;
  /** Milliseconds. */
  readonly openedIn: number;
  readonly idle: { readonly p50: number; readonly p99: number; readonly worst: number; readonly processor: number };
  readonly watch: Measured;
  readonly rotation: Measured;
  readonly lists: ReadonlyArray<{ readonly what: string; readonly p50: number }>;
  readonly journal: { readonly entries: number; readonly seconds: number };
  readonly residentMiB: number;
  readonly databaseGB: number;
}

export function report(result: Result): string {
  const { idle, watch, rotation, lists, journal } = result;
  const all = cpus();
  const n = (value: number) => value.toLocaleString('en-GB', { maximumFractionDigits: 0 });
  const looks = (what: string, { domains, processor, seconds, commits, turned, residentMiB }: Measured) =>
    `| ${what} | ${n(domains)} | ${processor.toFixed(2)} | ${seconds.toFixed(1)} | ${commits.toFixed(1)} | ${turned.toFixed(1)} | ${n(residentMiB)} |\n`;
  return [
    `${all.length} cores (${all[0]?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB; Node ${process.versions.node}; SQLite, WAL, synchronous=FULL.\n`,
    `${n(result.domains)} domains and ${n(result.keys)} keys with sealed private keys: a database of ${result.databaseGB.toFixed(1)} GB, opened in ${n(result.openedIn)} ms.\n\n`,
    '| A tick in which nothing is due | p50 ms | p99 ms | worst ms | processor ms |\n|---|---|---|---|---|\n',
    `| | ${idle.p50.toFixed(3)} | ${idle.p99.toFixed(3)} | ${idle.worst.toFixed(2)} | ${idle.processor.toFixed(3)} |\n\n`,
    '| Many domains due at once | Domains | Processor ms each | Seconds in all | Commits each | Active sets changed each | Resident MiB |\n|---|---|---|---|---|---|---|\n',
    looks('Proving every key again', watch),
    looks(
      'Rotating both keys: successors enter, are delivered and tested, the old leave, standby keys are made',
      rotation,
    ),
    '\n| Questions | p50 ms |\n|---|---|\n',
    ...lists.map(({ what, p50 }) => `| ${what} | ${p50.toFixed(2)} |\n`),
    `\nThe journal's ${n(journal.entries)} entries are verified in ${journal.seconds.toFixed(1)} s. Resident at the end: ${n(result.residentMiB)} MiB.\n`,
  ].join('');
}

const start = '<!-- reconcile:start -->';
const end = '<!-- reconcile:end -->';
const empty = `## Reconcile

What the store and the reconciler cost by themselves: name servers, signers and publishers answer at once here, and key pairs come from the pool.
\`npm run bench reconcile -- --write\` writes what follows.

${start}
${end}
`;

export function writeReport(result: Result): void {
  const path = join(import.meta.dirname, '../../docs/benchmarks.md');
  let page = existsSync(path) ? readFileSync(path, 'utf8') : '# Benchmarks\n';
  if (!page.includes(start) || !page.includes(end)) page = `${page.trimEnd()}\n\n${empty}`;
  const before = page.slice(0, page.indexOf(start) + start.length);
  const after = page.slice(page.indexOf(end));
  writeFileSync(path, `${before}\n${report(result)}${after}`);
}

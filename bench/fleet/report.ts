/** What `npm run bench fleet` says, and the section of docs/benchmarks.md that it writes, between two marks. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Processor } from './processor.ts';
import type { Share } from './profile.ts';

export interface Phase {
  readonly what: string;
  readonly seconds: number;
  readonly used: Processor;
  /** Of the JavaScript thread. */
  readonly parts: readonly Share[];
  /** Statements that the database was sent. */
  readonly statements: number;
  /** Entries that the journal got. */
  readonly events: number;
}

export interface Fleet {
  readonly domains: number;
  /** Every domain in a zone of its own, or all of them in one. */
  readonly each: boolean;
}

export function report(phases: readonly Phase[], { domains, each }: Fleet): string {
  const all = cpus();
  const perDomain = (seconds: number) => ((seconds * 1000) / domains).toFixed(1);
  const rows = phases.map(({ what, seconds, used, statements, events }) => {
    const { named = 0, mariadbd = 0, 'redis-server': redis = 0 } = used.servers;
    const idle = all.length * seconds - used.main - used.pool - used.engine - named - mariadbd - redis;
    const cells = [seconds, used.pool, named, mariadbd, redis, used.main, used.engine, Math.max(0, idle)].map(
      perDomain,
    );
    return `| ${what} | ${seconds.toFixed(0)} | ${cells.join(' | ')} | ${(statements / domains).toFixed(0)} | ${(events / domains).toFixed(0)} |\n`;
  });
  const parts = phases.map(({ what, parts: shares }) => {
    const shown = shares.filter(({ seconds }) => (seconds * 1000) / domains >= 0.1).slice(0, 14);
    return `- ${what}: ${shown.map(({ part, seconds }) => `${part} ${perDomain(seconds)}`).join(', ')}\n`;
  });
  return [
    `${domains.toLocaleString('en-GB')} domains, ${each ? 'each in a zone of its own' : 'all in one zone'}; ${all.length} cores (${all[0]?.model.trim() ?? 'unknown'}) for everything, ${Math.round(totalmem() / 2 ** 30)} GiB; Node ${process.versions.node}, MariaDB (flushed at each commit), Redis, BIND.\n\n`,
    'Milliseconds for each domain:\n\n',
    '| | Seconds in all | elapsed | RSA and Ed25519 pairs (thread pool) | BIND | MariaDB | Redis | Keyturn (JavaScript) | collector, compiler | cores idle or others’ | statements | journal entries |\n',
    '|---|---|---|---|---|---|---|---|---|---|---|---|\n',
    ...rows,
    '\nThe JavaScript thread by parts, milliseconds for each domain:\n\n',
    ...parts,
  ].join('');
}

const begin = '<!-- fleet:start -->';
const end = '<!-- fleet:end -->';

/** Puts the report between its marks in docs/benchmarks.md. */
export function writeReport(phases: readonly Phase[], fleet: Fleet): void {
  const file = join(import.meta.dirname, '../../docs/benchmarks.md');
  const text = readFileSync(file, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${file} has no place for the report between ${begin} and ${end}`);
  writeFileSync(file, `${text.slice(0, from + begin.length)}\n${report(phases, fleet)}${text.slice(to)}`);
}

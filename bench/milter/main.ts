/**
 * `npm run bench milter`: the built-in milter and OpenDKIM under the same load, by turns, in the same minutes.
 *
 * Options: `--quick` (RSA, 10 KB, 8 connections only), `--seconds N` (of each turn), `--rounds N`, `--only ours|opendkim`,
 * `--million` (a million small messages: does memory stay flat?), `--write` (the table goes to docs/benchmarks.md).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { load, percentile } from './load.ts';
import { benchMessage } from './message.ts';
import {
  domains,
  type Measured,
  makeKeys,
  processorTime,
  residentMemory,
  type Signing,
  startOpenDkim,
  startOurs,
} from './processes.ts';
import { type Row, report, writeReport } from './report.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
    million: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const duration = Number(values.seconds) * 1000;
const rounds = Number(values.rounds);

const signatures: Record<Signing, number> = { rsa: 1, ed25519: 1, both: 2 };
const kilobyte = 1024;
const kinds: readonly Signing[] = values.quick ? ['rsa', 'both'] : ['rsa', 'ed25519', 'both'];
const sizes = values.quick ? [10] : [2, 10, 100];
const connectionCounts = values.quick ? [8] : [1, 8];

const folder = mkdtempSync(join(tmpdir(), 'keyturn-bench-'));
try {
  const keys = makeKeys();
  const ours = values.only === 'opendkim' ? null : await startOurs(folder, keys);
  const [rsa, ed25519] =
    values.only === 'ours'
      ? [null, null]
      : await Promise.all([startOpenDkim(folder, keys, 'rsa'), startOpenDkim(folder, keys, 'ed25519')]);
  await using running = new AsyncDisposableStack();
  for (const each of [ours, rsa, ed25519]) if (each !== null) running.use(each);
  if (rsa === null && values.only !== 'ours') {
    process.stderr.write('OpenDKIM is not installed (apt-get install opendkim): ours alone\n');
  }
  if (values.million && ours !== null) await million(ours);
  else await compare(ours, rsa, ed25519);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function compare(ours: Measured | null, rsa: Measured | null, ed25519: Measured | null): Promise<void> {
  /** Who signs what; OpenDKIM cannot sign with both: its RSA alone is what two signatures of ours are held against. */
  const contestants = (kind: Signing): { readonly milter: Measured; readonly kind: Signing }[] => [
    ...(ours === null ? [] : [{ milter: ours, kind }]),
    ...(kind === 'ed25519' && ed25519 !== null ? [{ milter: ed25519, kind }] : []),
    ...(kind !== 'ed25519' && rsa !== null ? [{ milter: rsa, kind: 'rsa' as const }] : []),
  ];
  // The first thousands of messages are compiled, not measured.
  for (const kind of kinds) {
    for (const { milter, kind: signing } of contestants(kind)) {
      await turn(milter, signing, 10, 8, Math.min(duration, 1500));
    }
  }
  const rows: Row[] = [];
  for (const connections of connectionCounts) {
    for (const size of sizes) {
      for (const kind of kinds) {
        const turns = contestants(kind).map((each) => ({ ...each, rows: [] as Row[] }));
        for (let round = 0; round < rounds; round++) {
          for (const each of turns) each.rows.push(await turn(each.milter, each.kind, size, connections, duration));
        }
        for (const each of turns) {
          const row = { ...merge(each.rows), kind };
          rows.push(row);
          process.stdout.write(`${line(row)}\n`);
        }
      }
    }
  }
  process.stdout.write(`\n${report(rows)}`);
  if (values.write) writeReport(rows);
}

async function turn(milter: Measured, kind: Signing, size: number, connections: number, time: number): Promise<Row> {
  const before = processorTime(milter.pid);
  const loaderBefore = process.cpuUsage();
  const result = await load({
    socketPath: milter.socketPath,
    connections,
    message: benchMessage(domains[kind], size * kilobyte),
    signatures: signatures[kind],
    until: { kind: 'time', duration: time },
  });
  const loader = process.cpuUsage(loaderBefore);
  const sorted = result.latencies.slice().sort();
  return {
    milter: milter.name,
    kind,
    size,
    connections,
    messagesPerSecond: (result.messages / result.duration) * 1000,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    processorTime: (processorTime(milter.pid) - before) / result.messages,
    loaderTime: (loader.user + loader.system) / 1000 / result.messages,
    memory: residentMemory(milter.pid),
  };
}

/** The median of each figure over the rounds, so that a turn disturbed by something else does not count. */
function merge(rows: readonly Row[]): Row {
  const [first] = rows;
  if (first === undefined) throw new Error('no rounds were measured');
  const median = (pick: (row: Row) => number): number => {
    const sorted = rows.map(pick).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  };
  return {
    ...first,
    messagesPerSecond: median((row) => row.messagesPerSecond),
    p50: median((row) => row.p50),
    p99: median((row) => row.p99),
    processorTime: median((row) => row.processorTime),
    loaderTime: median((row) => row.loaderTime),
    memory: Math.max(...rows.map((row) => row.memory)),
  };
}

function line(row: Row): string {
  return [
    row.milter.padEnd(9),
    row.kind.padEnd(8),
    `${row.size} KB`.padStart(7),
    `${row.connections} conn`,
    `${row.messagesPerSecond.toFixed(0)}/s`.padStart(8),
    `p50 ${row.p50.toFixed(2)} ms`,
    `p99 ${row.p99.toFixed(2)} ms`,
    `cpu ${row.processorTime.toFixed(3)} ms`,
    `load ${row.loaderTime.toFixed(3)} ms`,
    `rss ${row.memory.toFixed(0)} MiB`,
  ].join('  ');
}

async function million(milter: Measured): Promise<void> {
  const message = benchMessage(domains.ed25519, 512);
  for (let part = 1; part <= 10; part++) {
    await load({
      socketPath: milter.socketPath,
      connections: 8,
      message,
      signatures: 1,
      until: { kind: 'count', messages: 100_000 },
    });
    process.stdout.write(`after ${part}00,000 messages: ${residentMemory(milter.pid).toFixed(0)} MiB\n`);
  }
}

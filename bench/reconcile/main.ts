/**
 * `npm run bench reconcile [-- --domains 1000000 --due 10000 --write]`: what the reconciler costs over a large store. It makes the store (a
 * million domains: some minutes, some 10 GB in the temporary folder, which is removed), then measures in this one process:
 * a tick in which nothing is due; the daily look at many domains; a rotation of many domains asked for at once; lists.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statfsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fold } from '../../src/control/fold.ts';
import { type LookContext, look } from '../../src/control/look.ts';
import { loadKeks } from '../../src/store/kek.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { type Making, packTemplate } from './make.ts';
import { domainName, fillPool, liveTemplate } from './population.ts';
import { type Measured, type Result, report, writeReport } from './report.ts';
import { benchContext } from './world.ts';

const HOUR = 3_600_000;
const OPERATOR = { name: 'bench', source: 'cli' } as const;

const { values } = parseArgs({
  options: {
    domains: { type: 'string', default: '1000000' },
    due: { type: 'string', default: '10000' },
    ticks: { type: 'string', default: '3000' },
    write: { type: 'boolean', default: false },
  },
});
const domains = count('domains', values.domains);
const due = Math.min(domains, count('due', values.due));
const ticks = count('ticks', values.ticks);

function count(name: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number > 0) return number;
  process.stderr.write(`--${name} takes a whole number above 0, not "${text}".\n`);
  process.exit(2);
}

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

const folder = mkdtempSync(join(tmpdir(), 'keyturn-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

const { bavail, bsize } = statfsSync(folder);
if (bavail * bsize < domains * 16_000) {
  say(
    `${folder} has ${Math.round((bavail * bsize) / 1e9)} GB free; ${domains} domains want ${Math.round((domains * 16_000) / 1e9)}. Set TMPDIR, or use --domains.`,
  );
  process.exit(2);
}

const path = join(folder, 'store.sqlite');
const kekFile = join(folder, 'kek');
const keks = loadKeks({ file: kekFile });
const template = await liveTemplate(Date.UTC(2026, 0, 5));
say(`Making ${domains} domains with ${template.snapshot.keys.length} keys each …`);
const making = performance.now();
await makeElsewhere();
say(`Made in ${seconds(making)} s.`);

let now = template.at;
const clock = { now: () => now };
const opening = performance.now();
await using store = await openStore({ path, keks, clock });
const openedIn = performance.now() - opening;
const context = benchContext(store, clock);
const counts = await store.counts();

const idle = await measureTicks(store);
say(`Tick with nothing due: p50 ${idle.p50.toFixed(3)} ms, p99 ${idle.p99.toFixed(3)} ms.`);

now = template.at + 7 * HOUR;
const watch = await measureLooks(context);
say(`Watch: ${watch.domains} domains, ${watch.processor.toFixed(2)} ms of processor time each.`);

await fillPool(store, template, due);
for (let n = 0; n < due; n += 500)
  await Promise.all(Array.from({ length: Math.min(500, due - n) }, (_, i) => requestRotation(domainName(n + i))));
const rotation = await measureLooks(context);
say(`Rotation: ${rotation.domains} domains, ${rotation.processor.toFixed(2)} ms of processor time each.`);

const result: Result = {
  domains,
  keys: Object.values(counts.keys).reduce((sum, n) => sum + n, 0),
  openedIn,
  idle,
  watch,
  rotation,
  lists: await measureLists(store),
  journal: await measureJournal(store),
  residentMiB: process.memoryUsage.rss() / 2 ** 20,
  databaseGB: statSync(path).size / 1e9,
};
process.stdout.write(report(result));
if (values.write) writeReport(result);

/** In a process of its own, so that the memory measured here is that of the work and not that of making the store. */
async function makeElsewhere(): Promise<void> {
  const request: Making = { path, kekFile, template: JSON.stringify(packTemplate(template)), domains, due };
  const child = fork(join(import.meta.dirname, 'make.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  child.send(request);
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`the store was not made: exit code ${code}`);
}

async function measureTicks(from: Store): Promise<{ p50: number; p99: number; worst: number; processor: number }> {
  const times: number[] = [];
  const before = process.cpuUsage();
  for (let n = 0; n < ticks; n++) {
    const started = performance.now();
    const claims = await from.claimDue({ now, limit: 100, owner: 'bench', leaseMs: HOUR });
    times.push(performance.now() - started);
    if (claims.length > 0) throw new Error('something was due that should not be');
  }
  times.sort((a, b) => a - b);
  return { p50: at(times, 0.5), p99: at(times, 0.99), worst: at(times, 1), processor: processorSince(before) / ticks };
}

/** Claims and looks until nothing is due any more, as the reconciler does with 64 looks side by side. */
async function measureLooks(looking: LookContext): Promise<Measured> {
  const before = await generations(looking.store);
  const usage = process.cpuUsage();
  const started = performance.now();
  const seen = new Set<string>();
  let commits = 0;
  const counting: LookContext = { ...looking, onCommit: () => commits++ };
  for (;;) {
    const claims = await looking.store.claimDue({ now, limit: 64, owner: 'bench', leaseMs: HOUR });
    if (claims.length === 0) break;
    for (const { name } of claims) seen.add(name);
    await Promise.all(claims.map((claim) => look(claim, counting)));
  }
  const milliseconds = performance.now() - started;
  return {
    domains: seen.size,
    processor: processorSince(usage) / seen.size,
    seconds: milliseconds / 1000,
    commits: commits / seen.size,
    turned: (await generations(looking.store)) - before,
    residentMiB: process.memoryUsage.rss() / 2 ** 20,
  };
}

/** Changes of the active set in the first domains, to show that what was measured did happen. */
async function generations(from: Store): Promise<number> {
  let sum = 0;
  const sample = Array.from({ length: Math.min(due, 100) }, (_, n) => domainName(n));
  for (const { snapshot } of (await from.snapshots(sample)).values()) sum += snapshot.domain.generation;
  return sum / sample.length;
}

async function requestRotation(name: string): Promise<void> {
  const stored = await store.snapshot(name);
  if (!stored) throw new Error(`${name} is not in the store`);
  const { snapshot, version } = stored;
  const {
    snapshot: after,
    events,
    refused,
  } = fold(snapshot, [{ kind: 'rotation-requested', at: now, stream: 'default' }], OPERATOR);
  if (refused.length > 0) throw new Error(`the rotation of ${name} was refused`);
  const result = await store.commit({ name, version }, { before: snapshot, after, events, nextLookAt: now });
  if (result.kind !== 'committed') throw new Error(`the rotation of ${name} was not committed: ${result.kind}`);
}

async function measureLists(from: Store): Promise<Result['lists']> {
  const middle = domainName(Math.floor(domains / 2));
  const timed = async (what: string, ask: () => Promise<unknown>) => {
    const times: number[] = [];
    for (let n = 0; n < 50; n++) {
      const started = performance.now();
      await ask();
      times.push(performance.now() - started);
    }
    return {
      what,
      p50: at(
        times.sort((a, b) => a - b),
        0.5,
      ),
    };
  };
  return [
    await timed('A page of 100 domains from the middle', () => from.listDomains({}, { after: middle })),
    await timed('… with a retiring key', () => from.listDomains({ keyState: 'retiring' })),
    await timed('… with a critical condition (there is none)', () =>
      from.listDomains({ severity: 'critical', kind: 'mail' }),
    ),
    await timed('The 100 longest active keys', () => from.listKeys({ activatedBefore: now })),
    await timed('All counts of the overview', () => from.counts()),
  ];
}

async function measureJournal(from: Store): Promise<Result['journal']> {
  const started = performance.now();
  const verdict = await from.journal.verify();
  if (verdict.kind !== 'intact') throw new Error(verdict.message);
  return { entries: verdict.entries, seconds: (performance.now() - started) / 1000 };
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Milliseconds of this process's processor time, all threads, system calls included. */
function processorSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(0);
}

/** `npm run bench vault [-- --domains 10000 --requests 100000 --connections 16 --write]`: the Vault-shaped endpoint on one core. */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { processorTime, residentMemory } from '../milter/processes.ts';
import { load } from './load.ts';

const { values } = parseArgs({
  options: {
    domains: { type: 'string', default: '10000' },
    requests: { type: 'string', default: '100000' },
    connections: { type: 'string', default: '16' },
    write: { type: 'boolean', default: false },
  },
});
const [domains, requests, connections] = [values.domains, values.requests, values.connections].map(Number);
if (!domains || !requests || !connections) throw new Error('--domains, --requests and --connections are numbers');

const taskset = ['/usr/bin/taskset', '/bin/taskset'].find(existsSync);
const token = randomBytes(24).toString('hex');
const script = [join(import.meta.dirname, 'server.ts'), String(domains), token];
const [command, ...args] =
  taskset === undefined ? [process.execPath, ...script] : [taskset, '-c', '0', process.execPath, ...script];
// The load on another core, where there is one: otherwise half of what is measured is the load.
if (taskset !== undefined && cpus().length > 1)
  execFileSync(taskset, ['-a', '-c', '-p', '1', String(process.pid)], { stdio: 'ignore' });

const server = spawn(command ?? process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
try {
  const port = await new Promise<number>((resolve, reject) => {
    server.once('exit', () => reject(new Error('the endpoint did not start')));
    createInterface({ input: server.stdout }).once('line', (line) => resolve(Number(line)));
  });
  const pid = server.pid ?? 0;
  const ask = (count: number) => load({ port, connections, token, domains, requests: count });
  // Every answer is written out once, and the code is warm.
  const first = await ask(domains);
  const before = processorTime(pid);
  const { elapsed, times, ...measured } = await ask(requests);
  const cpu = processorTime(pid) - before;
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  const firstAt = first.times[Math.floor(first.times.length * 0.99)] ?? 0;
  const cells = [
    domains,
    connections,
    Math.round(measured.requests / elapsed),
    at(0.5).toFixed(2),
    at(0.99).toFixed(2),
    (times.at(-1) ?? 0).toFixed(1),
    firstAt.toFixed(2),
    ((cpu * 1000) / measured.requests).toFixed(0),
    residentMemory(pid).toFixed(0),
  ];
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'}); Node ${process.versions.node}; the endpoint ${taskset === undefined ? 'in one process' : 'held to one core'}, the load on the other.`;
  const table = `${machine}\n\n| Domains | Connections | Requests/s | p50 ms | p99 ms | Longest ms | p99 ms of first requests | CPU µs/request | Resident MiB |\n|---|---|---|---|---|---|---|---|---|\n| ${cells.join(' | ')} |\n`;
  process.stdout.write(table);
  if (values.write) write(table);
} finally {
  server.kill('SIGKILL');
}

function write(table: string): void {
  const [start, end] = ['<!-- vault:start -->', '<!-- vault:end -->'];
  const path = join(import.meta.dirname, '../../docs/benchmarks.md');
  let page = readFileSync(path, 'utf8');
  if (!page.includes(start)) page = `${page.trimEnd()}\n\n${section(start, end)}`;
  writeFileSync(path, `${page.slice(0, page.indexOf(start) + start.length)}\n${table}${page.slice(page.indexOf(end))}`);
}

function section(start: string, end: string): string {
  return `## The Vault-shaped endpoint

Each domain has an RSA-2048 and an Ed25519 key; each connection asks for one domain after the other, as rspamd does, with answers of about 2 KB. The
first request for a domain after a change writes its answer out. No peer was at hand to compare with.
\`npm run bench vault -- --write\` writes what follows.

${start}
${end}
`;
}

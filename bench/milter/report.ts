/** The table in docs/benchmarks.md, between two marks; what stands around it is written by hand. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { openDkimVersion, type Signing } from './processes.ts';

export interface Row {
  readonly milter: string;
  readonly kind: Signing;
  /** KB of body. */
  readonly size: number;
  readonly connections: number;
  readonly messagesPerSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Milliseconds of processor time for one message: of the milter, and of the load. */
  readonly processorTime: number;
  readonly loaderTime: number;
  /** MiB. */
  readonly memory: number;
}

const kinds: Record<Signing, string> = { rsa: 'RSA-2048', ed25519: 'Ed25519', both: 'RSA-2048 + Ed25519' };

export function report(rows: readonly Row[]): string {
  const head =
    '| Signing | Body | Connections | Milter | Messages/s | p50 ms | p99 ms | CPU ms/message | Resident MiB | × OpenDKIM |\n';
  const rule = '|---|---|---|---|---|---|---|---|---|---|\n';
  const lines = rows.map((row) => {
    const other = rows.find(
      (each) =>
        each.milter === 'OpenDKIM' &&
        each.kind === row.kind &&
        each.size === row.size &&
        each.connections === row.connections,
    );
    const ratio =
      other === undefined || other === row ? '' : (row.messagesPerSecond / other.messagesPerSecond).toFixed(2);
    const kind = row.milter === 'OpenDKIM' && row.kind === 'both' ? 'RSA-2048 only' : kinds[row.kind];
    const cells = [
      kind,
      `${row.size} KB`,
      row.connections,
      row.milter,
      row.messagesPerSecond.toFixed(0),
      row.p50.toFixed(2),
      row.p99.toFixed(2),
      row.processorTime.toFixed(2),
      row.memory.toFixed(0),
      ratio,
    ];
    return `| ${cells.join(' | ')} |\n`;
  });
  return `${machine()}\n\n${head}${rule}${lines.join('')}`;
}

function machine(): string {
  const all = cpus();
  return `${all.length} cores (${all[0]?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, Linux; Node ${process.versions.node} with OpenSSL ${process.versions.openssl}; OpenDKIM ${openDkimVersion()}.`;
}

const start = '<!-- milter:start -->';
const end = '<!-- milter:end -->';
const section = `## Milter

The built-in milter and OpenDKIM, each a process of its own on a UNIX socket, by turns under the same load, in the same minutes. The load
negotiates as Postfix does and waits only for the answers that each milter wants to give; it runs on the same cores. OpenDKIM
cannot sign with RSA and Ed25519 at once: its RSA alone is what our two signatures are held against. Medians over the rounds.
\`npm run bench milter -- --write\` writes what follows.

${start}
${end}
`;

/** Puts the table into its section, which is made where the page has none. */
export function writeReport(rows: readonly Row[]): void {
  const path = join(import.meta.dirname, '../../docs/benchmarks.md');
  let page = existsSync(path) ? readFileSync(path, 'utf8') : '# Benchmarks\n';
  if (!page.includes(start) || !page.includes(end)) page = `${page.trimEnd()}\n\n${section}`;
  const before = page.slice(0, page.indexOf(start) + start.length);
  const after = page.slice(page.indexOf(end));
  writeFileSync(path, `${before}\n${report(rows)}${after}`);
}

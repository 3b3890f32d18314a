/** Starts a name server from a configuration in a folder of its own, and gives it the handles of {@link DnsServer}. */
import { chownSync, readFileSync, writeFileSync } from 'node:fs';
import { type DnsServer, servesZone } from './dns-server.ts';
import { accepts, freePort } from './ports.ts';
import { type RunningServer, spawnServer, waitFor } from './processes.ts';
import { type TempDir, tempDir } from './temp.ts';

export interface DnsProgram {
  readonly name: string;
  readonly command: string;
  readonly port: number | undefined;
  /** Apexes that must be served before the server counts as ready. */
  readonly zones: readonly string[];
  /** Writes the configuration and answers the arguments; asked again when the port was taken meanwhile. */
  readonly configure: (dir: TempDir, port: number) => { readonly args: readonly string[]; readonly command?: string };
  /** Where the program logs to a file instead of stderr. */
  readonly logFile?: string;
}

/** @throws Error with the server's log when it does not come up. */
export async function startDnsProgram(program: DnsProgram): Promise<DnsServer> {
  const dir = tempDir(program.name);
  const attempts = program.port === undefined ? 3 : 1;
  try {
    for (let attempt = 1; ; attempt += 1) {
      const port = program.port ?? (await freePort());
      try {
        return await start(program, dir, port);
      } catch (error) {
        // Between looking for a free port and binding it somebody else may have taken it.
        if (attempt === attempts) throw error;
      }
    }
  } catch (error) {
    dir.remove();
    throw error;
  }
}

async function start(program: DnsProgram, dir: TempDir, port: number): Promise<DnsServer> {
  const { args, command = program.command } = program.configure(dir, port);
  const spawn = (): Promise<RunningServer> =>
    spawnServer({ name: program.name, command, args, cwd: dir.path, ready: () => serves(port, program.zones) });
  const log = (): string => (program.logFile === undefined ? '' : readOr(dir.join(program.logFile), ''));
  let server: RunningServer;
  try {
    server = await spawn();
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}${log()}`);
  }
  const stop = async (): Promise<void> => {
    server.kill('SIGCONT');
    await server.stop();
    dir.remove();
  };
  return {
    address: '127.0.0.1',
    port,
    output: () => server.output() + log(),
    freeze: async () => {
      server.kill('SIGSTOP');
      // Its threads stop one after another; the kernel says `T` once the last has.
      await waitFor(() => /^\d+ \(.*\) T/.test(readOr(`/proc/${server.pid}/stat`, '')), {
        what: `${program.name} to freeze`,
      });
    },
    thaw: () => server.kill('SIGCONT'),
    kill: async () => {
      server.kill('SIGKILL');
      await server.exited;
    },
    restart: async () => {
      await server.stop();
      server = await spawn();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function serves(port: number, zones: readonly string[]): Promise<boolean> {
  if (!(await accepts(port))) return false;
  for (const zone of zones) if (!(await servesZone(port, zone))) return false;
  return true;
}

/** Waits until a server (a secondary, say) answers for a zone with authority. */
export async function untilServed(server: DnsServer, apex: string, within = 20_000): Promise<void> {
  await waitFor(() => servesZone(server.port, apex), { within, what: `${apex} to be served on port ${server.port}` });
}

/** Writes a file of a server; `owner` for servers that give up root. */
export function writeOwned(path: string, text: string, owner?: { readonly uid: number; readonly gid: number }): void {
  writeFileSync(path, text, { mode: 0o600 });
  if (owner !== undefined && process.getuid?.() === 0) chownSync(path, owner.uid, owner.gid);
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}

/** Keyturn as a user runs it: the command line of this checkout, in a process of its own. */
import { fileURLToPath } from 'node:url';
import { type Finished, type RunningServer, run, spawnServer } from './processes.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
/** The tests' runner sets variables of its own, which would change how the program starts. */
const env = { NODE_OPTIONS: '', NO_COLOR: '1', KEYTURN_CONFIG: '', KEYTURN_KEK: '' };

/** Runs one command to its end; a failing exit code is an answer. */
export function keyturn(args: readonly string[], options: { readonly cwd: string }): Promise<Finished> {
  return run(process.execPath, [main, ...args], { cwd: options.cwd, env });
}

/** Runs a command with `--json` that must succeed, and answers what it printed. */
export async function keyturnJson<T>(args: readonly string[], options: { readonly cwd: string }): Promise<T> {
  const { code, stdout, stderr } = await keyturn([...args, '--json'], options);
  if (code !== 0) throw new Error(`keyturn ${args.join(' ')} ended with ${code}:\n${stderr}${stdout}`);
  return JSON.parse(stdout);
}

/** Starts `keyturn serve` or `keyturn milter` and waits until it is ready. */
export function startKeyturn(
  args: readonly string[],
  options: { readonly cwd: string; readonly ready: (output: () => string) => boolean | Promise<boolean> },
): Promise<RunningServer> {
  return spawnServer({
    name: `keyturn ${args[0] ?? ''}`,
    command: process.execPath,
    args: [main, ...args],
    cwd: options.cwd,
    env,
    ready: options.ready,
  });
}

/** The command line in this process: as a user types it, without a start of its own for each command. */
import { run } from '../../src/cli/program.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import type { TempDir } from '../support/temp.ts';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command with the folder's `keyturn.yaml`. */
export async function keyturnIn(dir: TempDir, args: readonly string[]): Promise<Ran> {
  let [stdout, stderr] = ['', ''];
  const terminal: Terminal = {
    out: (text) => {
      stdout += text;
    },
    err: (text) => {
      stderr += text;
    },
    readInput: async () => Buffer.alloc(0),
    env: {},
    interactive: false,
    color: false,
    columns: 120,
    rows: 40,
  };
  const code = await run([...args, '--config', dir.join('keyturn.yaml')], terminal);
  return { code, stdout, stderr };
}

/** The same with `--json`, for a command that must succeed. */
export async function jsonIn<T>(dir: TempDir, args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await keyturnIn(dir, [...args, '--json']);
  if (code !== 0) throw new Error(`keyturn ${args.join(' ')} ended with ${code}:\n${stderr}${stdout}`);
  return JSON.parse(stdout) as T;
}

/** Child processes of tests: waited for until they are ready, stopped at the end, their output kept for error messages. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProgram } from './need.ts';

export interface ServerOptions {
  /** How the program is called in messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  /** Added to the environment of the tests. */
  readonly env?: Readonly<Record<string, string>>;
  /** Asked again and again until it answers true; an error of it counts as false. */
  readonly ready: (output: () => string) => boolean | Promise<boolean>;
  /** Milliseconds. */
  readonly readyWithin?: number;
  /** How it is asked to stop; SIGKILL follows after five seconds. */
  readonly stopSignal?: NodeJS.Signals;
}

export interface RunningServer extends AsyncDisposable {
  readonly pid: number;
  /** Everything it has written to stdout and stderr (the newest 256 KiB). */
  output(): string;
  /** Resolves with its exit code, or the name of the signal that ended it. */
  readonly exited: Promise<number | string>;
  isRunning(): boolean;
  kill(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) killGroup(child, 'SIGKILL');
});

/**
 * Starts a program in a process group of its own and waits until it is ready.
 * @throws Error with the program's output when it ends early or is not ready in time.
 */
export async function spawnServer(options: ServerOptions): Promise<RunningServer> {
  const child = spawn(findProgram(options.command) ?? options.command, [...options.args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child);
  let output = '';
  const keep = (chunk: string): void => {
    output = (output + chunk).slice(-256 * 1024);
  };
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);
  const exited = new Promise<number | string>((resolve) => {
    child.once('error', (error) => {
      keep(`${error.message}\n`);
      running.delete(child);
      resolve(error.message);
    });
    child.once('exit', (code, signal) => {
      running.delete(child);
      resolve(code ?? signal ?? 'unknown');
    });
  });
  const stop = async (): Promise<void> => {
    if (!running.has(child)) return;
    killGroup(child, options.stopSignal ?? 'SIGTERM');
    const ended = await Promise.race([exited.then(() => true), sleep(5000, false, { ref: false })]);
    if (!ended) killGroup(child, 'SIGKILL');
    await exited;
  };
  const server: RunningServer = {
    pid: child.pid ?? -1,
    output: () => output,
    exited,
    isRunning: () => running.has(child),
    kill: (signal) => killGroup(child, signal),
    stop,
    [Symbol.asyncDispose]: stop,
  };
  const within = options.readyWithin ?? 20_000;
  try {
    await waitFor(
      async () => {
        if (!running.has(child)) throw new Ended(`${options.name} ended (${await exited}) before it was ready`);
        return options.ready(() => output);
      },
      { within, what: `${options.name} to be ready` },
    );
  } catch (error) {
    await stop();
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${why}\nIts output:\n${output}`);
  }
  return server;
}

class Ended extends Error {}

/** Asks until the answer is true; an error of `condition` counts as false and is told when time is up. */
export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  options: { readonly within?: number; readonly every?: number; readonly what: string },
): Promise<void> {
  const within = options.within ?? 20_000;
  const start = performance.now();
  let last = '';
  for (;;) {
    try {
      if (await condition()) return;
    } catch (error) {
      if (error instanceof Ended) throw error;
      last = error instanceof Error ? `; last error: ${error.message}` : '';
    }
    if (performance.now() - start > within) throw new Error(`Waited ${within} ms for ${options.what}${last}`);
    await sleep(options.every ?? 25);
  }
}

export interface Finished {
  /** Exit code; null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string | Uint8Array;
  /** Milliseconds until it is killed. */
  readonly within?: number;
}

/** Runs a program to its end. A failing exit code is an answer, not an error. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(findProgram(command) ?? command, [...args], {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: 'pipe',
      timeout: options.within ?? 60_000,
      killSignal: 'SIGKILL',
    });
    running.add(child);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    child.once('error', (error) => {
      running.delete(child);
      reject(new Error(`Running ${command}: ${error.message}`));
    });
    child.once('close', (code) => {
      running.delete(child);
      resolve({ code, stdout, stderr });
    });
    // A program that ends without reading its input is no error of the test.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

/** Like {@link run}, for programs that must succeed. */
export async function runOk(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, options);
  if (code === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')} ended with ${code ?? 'a signal'}:\n${stderr}${stdout}`);
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    child.kill(signal);
  }
}

/** Runs a program with a text on its standard input, and answers what it writes. Nothing of the text stands in arguments or environment. */
import { spawn } from 'node:child_process';

export interface RunOptions {
  readonly command: readonly string[];
  readonly timeout: number;
  /** Octets of output. */
  readonly most: number;
}

/** Of Keyturn's environment, which may hold its key-encryption key, a program gets no more than it needs to start. */
const handedOn = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'];

/** @throws Error saying how it ended: with a code, too late, with too much output, or that it cannot be run. */
export function runProgram({ command, timeout, most }: RunOptions, input: string): Promise<string> {
  const [file = '', ...args] = command;
  return new Promise((resolve, reject) => {
    const env = Object.fromEntries(
      handedOn.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    );
    // A group of its own: what it starts ends with it.
    const child = spawn(file, args, { env, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    let why: string | null = null;
    const kill = (reason: string): void => {
      why ??= reason;
      try {
        process.kill(-(child.pid ?? Number.NaN), 'SIGKILL');
      } catch {
        child.kill('SIGKILL');
      }
    };
    const timer = setTimeout(() => kill(`took longer than ${timeout} ms`), timeout);
    const output: Buffer[] = [];
    let size = 0;
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > most) kill(`wrote more than ${most} octets`);
      else output.push(chunk);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      // From its beginning: a key that is cut off in front could not be told from other text.
      errors = (errors + text).slice(0, 65_536);
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(new Error(`${file} cannot be run: ${error.message}`));
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (why === null && code === 0) return resolve(Buffer.concat(output).toString('utf8'));
      const ended = why ?? (code === null ? `was ended by ${signal}` : `ended with exit code ${code}`);
      reject(new Error(`${file} ${ended}${errors === '' ? '' : `; it said: ${errors.trim()}`}`));
    });
    // One that does not read all of it says so by its exit code.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

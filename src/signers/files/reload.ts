/** Has a program read its tables again: by a command, or by a signal to the process that a pid file names. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { programEnvironment } from '../program-env.ts';

export type Reload =
  | { readonly kind: 'command'; readonly command: readonly string[]; readonly timeout: number }
  | {
      readonly kind: 'signal';
      readonly signal: NodeJS.Signals;
      readonly pidFile: string;
      /** What the process must be called: a pid file that a crash left behind may name anybody's process by now. */
      readonly program: string | null;
    };

/** What went wrong, with advice; null where it was done. That the program has acted upon it is not known yet. */
export function reload(how: Reload): Promise<string | null> {
  return how.kind === 'command' ? runCommand(how) : sendSignal(how);
}

function runCommand({
  command: [file = '', ...args],
  timeout,
}: Extract<Reload, { kind: 'command' }>): Promise<string | null> {
  return new Promise((resolve) => {
    const env = programEnvironment();
    execFile(file, args, { env, timeout, killSignal: 'SIGKILL', maxBuffer: 65_536 }, (error, stdout, stderr) => {
      if (error === null) return resolve(null);
      const said = `${stderr}${stdout}`.trim().slice(-300);
      const how = error.killed === true ? `took longer than ${timeout} ms` : error.message.split('\n')[0];
      resolve(
        `The reload command "${[file, ...args].join(' ')}" failed: ${how}${said === '' ? '' : `; it said: ${said}`}`,
      );
    });
  });
}

async function sendSignal({ signal, pidFile, program }: Extract<Reload, { kind: 'signal' }>): Promise<string | null> {
  let pid: number;
  try {
    pid = Number((await readFile(pidFile, 'utf8')).trim());
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return `There is no process to send ${signal} to: ${said}. Start the program, and let it write its pid file there.`;
  }
  if (!Number.isInteger(pid) || pid < 2) return `${pidFile} names no process: ${signal} cannot be sent.`;
  const name = await readFile(`/proc/${pid}/comm`, 'utf8').then(
    (text) => text.trim(),
    () => null,
  );
  // The kernel keeps 15 characters of the name.
  if (program !== null && name !== null && name !== program.slice(0, 15)) {
    return `${pidFile} names process ${pid}, which is ${name} and not ${program}: it is out of date, and nothing was sent. Start ${program} again.`;
  }
  try {
    process.kill(pid, signal);
    return null;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ESRCH') return `Process ${pid}, which ${pidFile} names, does not run: start it again.`;
    return `Sending ${signal} to process ${pid} failed: ${error instanceof Error ? error.message : String(error)}. Keyturn needs to run as its user, or as root; or set a reload command.`;
  }
}

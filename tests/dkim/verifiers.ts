/** Verifiers that are not ours, each kept running and fed one message after another. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { missing, need } from '../support/need.ts';

export interface Verifier extends AsyncDisposable {
  readonly name: string;
  readonly algorithms: readonly ('rsa-sha256' | 'ed25519-sha256')[];
  /** The verdict of each signature, from the top: `pass`, or the verifier's own words. */
  verify(message: Uint8Array): Promise<string[]>;
}

/** Owner names with their final dot → text. */
export type Records = Readonly<Record<string, string>>;

/** Debian's python3, not one of a version manager: the modules belong to it. */
const python = '/usr/bin/python3';

export function haveDkimpy(): boolean {
  return (
    need(python, 'python3') &&
    runs(python, ['-c', 'import dkim, nacl'], 'dkimpy', 'apt-get install python3-dkim python3-nacl')
  );
}

export function haveMailDkim(): boolean {
  return (
    need('perl', 'perl') && runs('perl', ['-MMail::DKIM', '-e1'], 'Mail::DKIM', 'apt-get install libmail-dkim-perl')
  );
}

function runs(command: string, args: string[], name: string, install: string): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return missing(`${name}: not installed; ${install}`);
  }
}

export function dkimpy(records: Records): Verifier {
  const script = fileURLToPath(new URL('dkimpy-verifier.py', import.meta.url));
  return framed('dkimpy', ['rsa-sha256', 'ed25519-sha256'], spawn(python, [script]), records);
}

/** Mail::DKIM knows Ed25519 only from 2024's releases on; Debian 12 has an older one. */
export function mailDkim(records: Records): Verifier {
  const script = fileURLToPath(new URL('mail-dkim-verifier.pl', import.meta.url));
  return framed('Mail::DKIM', ['rsa-sha256'], spawn('perl', [script]), records);
}

export function mailauth(records: Records): Verifier {
  const resolver = async (name: string): Promise<string[][]> => {
    const text = records[`${name}.`];
    if (text === undefined) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    return [[text]];
  };
  return {
    name: 'mailauth',
    algorithms: ['rsa-sha256', 'ed25519-sha256'],
    async verify(message) {
      const { results } = await dkimVerify(Buffer.from(message), { resolver });
      return results.map(({ status }) =>
        status.result === 'pass' ? 'pass' : `${status.result}: ${status.comment ?? ''}`,
      );
    },
    async [Symbol.asyncDispose]() {},
  };
}

function framed(name: string, algorithms: Verifier['algorithms'], child: ChildProcess, records: Records): Verifier {
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error(`${name} was started without pipes`);
  let complaints = '';
  stderr.on('data', (chunk: Buffer) => {
    complaints = (complaints + chunk.toString()).slice(-10_000);
  });
  const waiting: { resolve: (verdicts: string[]) => void; reject: (error: Error) => void }[] = [];
  createInterface({ input: stdout }).on('line', (line) => waiting.shift()?.resolve(JSON.parse(line) as string[]));
  const fail = (): void => {
    for (const { reject } of waiting.splice(0)) reject(new Error(`${name} ended early: ${complaints}`));
  };
  child.on('exit', fail);
  stdin.on('error', fail);
  stdin.write(`${JSON.stringify(records)}\n`);
  return {
    name,
    algorithms,
    verify(message) {
      return new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        const length = Buffer.alloc(4);
        length.writeUInt32BE(message.length);
        stdin.write(length);
        stdin.write(message);
      });
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      stdin.end();
      child.kill('SIGTERM');
      await exited;
    },
  };
}

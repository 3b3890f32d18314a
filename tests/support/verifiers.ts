/** Verifiers that are not ours, each a long-lived child that asks a real name server: Debian's dkimpy and Mail::DKIM, and mailauth. */
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { missing, need } from './need.ts';

export interface SignatureVerdict {
  readonly domain: string;
  readonly selector: string;
  /** As in the signature's `a=`. */
  readonly algorithm: string;
  readonly passed: boolean;
  /** What the verifier said about it. */
  readonly detail: string;
}

export interface Verifier extends AsyncDisposable {
  readonly name: string;
  /** One verdict for each DKIM-Signature that the verifier understands; rejects when the verifier dies. */
  verify(message: Uint8Array): Promise<readonly SignatureVerdict[]>;
  stop(): Promise<void>;
}

/** Debian's own interpreter: its packages are invisible to any other that may come first in PATH. */
const python = '/usr/bin/python3';

/** Whether dkimpy is there, with what it needs for Ed25519. */
export function needDkimpy(): boolean {
  if (!need(python, 'python3')) return false;
  if (spawnSync(python, ['-c', 'import dkim, nacl, dns']).status === 0) return true;
  return missing('dkimpy: not installed; apt-get install python3-dkim python3-nacl python3-dnspython');
}

/** Whether Mail::DKIM is there. Debian 12's release knows RSA only: Ed25519 came with 1.20240619. */
export function needMailDkim(): boolean {
  if (spawnSync('perl', ['-MMail::DKIM', '-MNet::DNS', '-e', '1']).status === 0) return true;
  return missing('Mail::DKIM: not installed; apt-get install libmail-dkim-perl');
}

/** dkimpy, asking the name server on this port of 127.0.0.1. */
export function startDkimpy(dnsPort: number): Verifier {
  return startVerifier('dkimpy', python, ['dkimpy.py'], dnsPort);
}

/** Mail::DKIM, asking the name server on this port of 127.0.0.1. */
export function startMailDkim(dnsPort: number): Verifier {
  return startVerifier('Mail::DKIM', 'perl', ['mail-dkim.pl'], dnsPort);
}

function startVerifier(name: string, command: string, script: readonly string[], dnsPort: number): Verifier {
  const args = script.map((file) => fileURLToPath(new URL(`verifiers/${file}`, import.meta.url)));
  const child = spawn(command, [...args, String(dnsPort)], { stdio: ['pipe', 'pipe', 'pipe'] });
  const waiting: PromiseWithResolvers<readonly SignatureVerdict[]>[] = [];
  let errors = '';
  let ended = false;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-64 * 1024);
  });
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.resolve(JSON.parse(line)));
  const exited = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      errors += error.message;
      resolve();
    });
    child.once('close', () => resolve());
  }).then(() => {
    ended = true;
    for (const answer of waiting.splice(0)) answer.reject(new Error(`${name} ended: ${errors}`));
  });
  child.stdin.on('error', () => undefined);
  const stop = async (): Promise<void> => {
    child.stdin.end();
    await exited;
  };
  return {
    name,
    verify: (message) => {
      if (ended) return Promise.reject(new Error(`${name} has ended: ${errors}`));
      const head = Buffer.alloc(4);
      head.writeUInt32BE(message.length);
      const answer = Promise.withResolvers<readonly SignatureVerdict[]>();
      waiting.push(answer);
      child.stdin.write(Buffer.concat([head, message]));
      return answer.promise;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

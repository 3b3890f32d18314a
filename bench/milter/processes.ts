/** The milters that are measured, each a process of its own with the same keys; and what the system says of a process. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const domains = { rsa: 'rsa.example', ed25519: 'ed25519.example', both: 'both.example' } as const;
export type Signing = keyof typeof domains;

export interface Keys {
  readonly rsa: string;
  readonly ed25519: string;
}

export function makeKeys(): Keys {
  const pem = { type: 'pkcs8', format: 'pem' } as const;
  return {
    rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export(pem).toString(),
    ed25519: generateKeyPairSync('ed25519').privateKey.export(pem).toString(),
  };
}

export interface Measured extends AsyncDisposable {
  readonly name: string;
  readonly socketPath: string;
  readonly pid: number;
}

export async function startOurs(folder: string, keys: Keys, env: NodeJS.ProcessEnv = {}): Promise<Measured> {
  const rsa = { selector: 'r1', algorithm: 'rsa-sha256', privateKey: keys.rsa };
  const ed25519 = { selector: 'e1', algorithm: 'ed25519-sha256', privateKey: keys.ed25519 };
  const keyring = join(folder, 'keyring.json');
  const file = {
    generation: 1,
    domains: {
      [domains.rsa]: { keys: [rsa] },
      [domains.ed25519]: { keys: [ed25519] },
      [domains.both]: { keys: [rsa, ed25519] },
    },
  };
  writeFileSync(keyring, JSON.stringify(file), { mode: 0o600 });
  const socketPath = join(folder, 'ours.sock');
  const options = (process.env.BENCH_NODE_OPTIONS ?? '').split(' ').filter(Boolean);
  const child = spawn(process.execPath, [...options, join(import.meta.dirname, 'ours.ts'), keyring, socketPath], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  });
  return ready('Keyturn', child, socketPath);
}

/** One process signs with one algorithm (`SignatureAlgorithm`). Null where OpenDKIM is not installed. */
export async function startOpenDkim(
  folder: string,
  keys: Keys,
  algorithm: 'rsa' | 'ed25519',
): Promise<Measured | null> {
  const program = ['/usr/sbin/opendkim', '/usr/local/sbin/opendkim', '/usr/bin/opendkim'].find(existsSync);
  if (program === undefined) return null;
  const path = (name: string): string => join(folder, `opendkim-${algorithm}-${name}`);
  const domain = domains[algorithm];
  writeFileSync(path('key.pem'), keys[algorithm], { mode: 0o600 });
  writeFileSync(path('keys'), `key ${domain}:s1:${path('key.pem')}\n`);
  writeFileSync(path('signing'), `*@${domain} key\n`);
  const socketPath = path('sock');
  const settings = [
    'Mode s',
    `SignatureAlgorithm ${algorithm}-sha256`,
    `Socket local:${socketPath}`,
    `KeyTable ${path('keys')}`,
    `SigningTable refile:${path('signing')}`,
    'InternalHosts 127.0.0.1',
    'Canonicalization relaxed/relaxed',
    'OversignHeaders From',
    'RequireSafeKeys no',
    'UMask 000',
    'Background no',
    'Syslog no',
    '',
  ];
  writeFileSync(path('conf'), settings.join('\n'));
  const child = spawn(program, ['-f', '-x', path('conf')], { stdio: ['ignore', 'ignore', 'ignore'] });
  return ready('OpenDKIM', child, socketPath);
}

async function ready(name: string, child: ChildProcess, socketPath: string): Promise<Measured> {
  for (let attempt = 0; !existsSync(socketPath); attempt++) {
    if (child.exitCode !== null || attempt > 1000) throw new Error(`${name} did not start`);
    await sleep(10);
  }
  const stop = async (): Promise<void> => {
    const exited = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode !== null) return;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 8000);
    await exited;
    clearTimeout(timer);
  };
  return { name, socketPath, pid: child.pid ?? 0, [Symbol.asyncDispose]: stop };
}

/** Of Linux, whose `USER_HZ` is 100 everywhere. */
const ticksPerSecond = 100;

/** Milliseconds of processor time so far, user and system. */
export function processorTime(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
}

/** Resident memory, MiB. */
export function residentMemory(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(line?.[1] ?? 0) / 1024;
}

export function openDkimVersion(): string {
  try {
    return (
      /v(\S+)/.exec(execFileSync('opendkim', ['-V'], { encoding: 'latin1', stdio: ['ignore', 'pipe', 'pipe'] }))?.[1] ??
      '?'
    );
  } catch {
    return '?';
  }
}

/** Test messages through a program that reads a message and writes it signed. */
import { spawn } from 'node:child_process';
import { programEnvironment } from '../program-env.ts';
import { type Probe, type Probed, probeMessage, readProbed } from './probe.ts';
import type { Template } from './template.ts';

const mostOutput = 1024 * 1024;

/** `command` may name `{domain}` and `{from}`. */
export function commandProbe(command: readonly Template[], timeout: number): Probe {
  return {
    send(domain, from) {
      const [file = '', ...args] = command.map((part) => part.fill({ domain, from }));
      return filter(file, args, probeMessage(domain, from, {}), timeout);
    },
  };
}

function filter(file: string, args: readonly string[], input: Buffer, timeout: number): Promise<Probed> {
  return new Promise((resolve) => {
    const failed = (why: string): void =>
      resolve({ kind: 'failed', message: `The test command "${[file, ...args].join(' ')}" ${why}.` });
    const env = programEnvironment();
    const child = spawn(file, args, { env, stdio: ['pipe', 'pipe', 'pipe'], timeout, killSignal: 'SIGKILL' });
    const output: Buffer[] = [];
    let size = 0;
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > mostOutput) child.kill('SIGKILL');
      else output.push(chunk);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-300);
    });
    child.once('error', (error) => failed(`cannot be run: ${error.message}`));
    child.once('close', (code, signal) => {
      if (code === 0) resolve(readProbed(Buffer.concat(output)));
      else failed(`ended with ${code ?? signal}${errors === '' ? '' : `: ${errors.trim()}`}`);
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

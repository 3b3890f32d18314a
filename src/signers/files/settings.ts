/** Settings that signers which read files have in common, and what is made of them. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { durationBetween, endpoint, name, socketAddress, splitAddress } from '../../settings/values.ts';
import type { SignerDependencies } from '../kind.ts';
import { createSmtpLoop } from '../smtp-loop.ts';
import type { FileAttributes } from './atomic.ts';
import { commandProbe } from './command-probe.ts';
import { milterProbe } from './milter-probe.ts';
import type { Probe } from './probe.ts';
import type { Reload } from './reload.ts';
import { parseTemplate } from './template.ts';

/** Permission bits in octal, for files that a program reads. */
const mode = z.string().regex(/^0?[0-7]{3}$/, 'expected an octal mode such as 640');

/** Whom the files belong to, by name or number; left out, to Keyturn's own user. */
export const ownership = {
  owner: z.string().min(1).optional(),
  group: z.string().min(1).optional(),
  mode: mode.default('640'),
};

const timeout = durationBetween(100, 60_000);

export const command = z.array(z.string().min(1)).min(1);

/** How the program is told: a command, or a signal to the process that a pid file names. */
export const reload = z.union([
  z.strictObject({ command, timeout: timeout.prefault('10s') }),
  z.strictObject({
    signal: z.enum(['SIGHUP', 'SIGUSR1', 'SIGUSR2']),
    pidFile: z.string().min(1),
    /** Name of the process; a pid file that names another is out of date. */
    program: z.string().min(1).optional(),
  }),
]);

/** How a test message is sent. `timeout`: how long the program may take to sign by what it was given. */
export const test = z.union([
  z.strictObject({
    milter: endpoint,
    /** The client that the message is said to come from. */
    client: z.union([z.ipv4(), z.ipv6()]).default('127.0.0.1'),
    timeout: timeout.prefault('5s'),
  }),
  z.strictObject({
    /** Where the mail server takes mail from this machine. */
    smtp: socketAddress,
    /** Where Keyturn waits for the message: the mail server's route for `recipient` leads there. */
    listen: socketAddress,
    recipient: z.string().regex(/^[^\s@<>]+@[^\s@<>]+$/, 'expected an address such as keyturn-test@example.com'),
    timeout: timeout.prefault('10s'),
  }),
  z.strictObject({ command, timeout: timeout.prefault('10s') }),
]);

export type TestSettings = z.output<typeof test>;
export type ReloadSettings = z.output<typeof reload>;

/** Addresses that a stream's mail is from; `{domain}` is the domain. */
export const senders = z
  .record(name, z.string().regex(/^[^\s@]+@[^\s@]+$/, 'expected an address such as news@{domain}'))
  .default({});

/** @throws Error for an owner or group that this machine does not know. */
export function attributesOf(settings: {
  readonly owner?: string | undefined;
  readonly group?: string | undefined;
  readonly mode: string;
}): FileAttributes {
  return {
    mode: Number.parseInt(settings.mode, 8),
    uid: settings.owner === undefined ? null : idIn('/etc/passwd', settings.owner, 'user'),
    gid: settings.group === undefined ? null : idIn('/etc/group', settings.group, 'group'),
  };
}

function idIn(file: string, given: string, what: string): number {
  if (/^\d+$/.test(given)) return Number(given);
  const lines = readFileSync(file, 'utf8').split('\n');
  const id = lines.map((line) => line.split(':')).find(([known]) => known === given)?.[2];
  if (id === undefined) throw new Error(`there is no ${what} "${given}" in ${file} to give the files to`);
  return Number(id);
}

export function reloadOf(settings: ReloadSettings, { path }: SignerDependencies): Reload {
  if ('command' in settings) return { kind: 'command', ...settings };
  const { signal, pidFile, program = null } = settings;
  return { kind: 'signal', signal, pidFile: path(pidFile), program };
}

/** @throws Error where the settings cannot work. */
export function probeOf(settings: TestSettings, { clock, path }: SignerDependencies): Probe {
  const { timeout: milliseconds } = settings;
  if ('milter' in settings) {
    const socket = settings.milter.startsWith('unix:') ? `unix:${path(settings.milter.slice(5))}` : settings.milter;
    return milterProbe({ socket, client: settings.client, timeout: milliseconds });
  }
  if ('command' in settings) {
    const parts = settings.command.map((part) => parseTemplate(part, ['domain', 'from']));
    return commandProbe(parts, milliseconds);
  }
  const { smtp, listen, recipient } = settings;
  return createSmtpLoop({
    submit: addressOf(smtp, 25),
    listen: addressOf(listen, 2526),
    recipient,
    timeout: milliseconds,
    now: () => clock.now(),
  });
}

function addressOf(text: string, port: number): { readonly host: string; readonly port: number } {
  const address = splitAddress(text, port);
  if (address === null) throw new Error(`${text} is no address with a port`);
  return address;
}

/** Who writes a stream's test message: as `senders` say; the domain's postmaster for `default`. */
export function senderOf(
  given: Readonly<Record<string, string>>,
  fallback: (domain: string, stream: string) => string | null,
): (domain: string, stream: string) => string | null {
  return (domain, stream) => given[stream]?.replaceAll('{domain}', domain) ?? fallback(domain, stream);
}

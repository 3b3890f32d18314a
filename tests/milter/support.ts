/** Keys, keyrings and a milter for the tests of this folder, and mailauth to judge its signatures. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { publicKeyData } from '../../src/dkim/key-pair.ts';
import type { Keyring, KeyringKey } from '../../src/signers/keyring.ts';
import { createKeyringBook, type KeyringBook } from '../../src/signers/keyring-book.ts';
import type { Outcome } from '../../src/signers/milter/client.ts';
import type { ClientMessage } from '../../src/signers/milter/client-frames.ts';
import { type MilterOptions, type MilterServer, startMilter } from '../../src/signers/milter/server.ts';

/** Made once for a test file: making RSA keys takes time. */
export function makeKey(selector: string, algorithm: KeyringKey['algorithm']): KeyringKey {
  const privateKey: KeyObject =
    algorithm === 'rsa-sha256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
      : generateKeyPairSync('ed25519').privateKey;
  return { selector, algorithm, privateKey };
}

export function keyring(
  domain: string,
  generation: number,
  keys: readonly KeyringKey[],
  more: Partial<Keyring> = {},
): Keyring {
  return { domain, generation, mustSign: true, streams: { default: keys }, ...more };
}

export interface RunningMilter extends AsyncDisposable {
  readonly server: MilterServer;
  readonly book: KeyringBook;
  readonly socket: string;
  readonly log: string[];
}

/** On a free port of the loopback address, unless the options say otherwise. */
export async function runningMilter(
  keyrings: readonly Keyring[],
  options: Partial<MilterOptions> = {},
): Promise<RunningMilter> {
  const book = createKeyringBook();
  for (const each of keyrings) book.put(each);
  const log: string[] = [];
  const server = await startMilter({
    listen: ['inet:127.0.0.1:0'],
    keyrings: book,
    log: (level, message) => void log.push(`${level}: ${typeof message === 'string' ? message : message()}`),
    ...options,
  });
  return { server, book, socket: server.endpoints[0] ?? '', log, [Symbol.asyncDispose]: () => server.stop(0) };
}

export function message(from: string, body = 'Hello.\r\n', more: Partial<ClientMessage> = {}): ClientMessage {
  return {
    headers: [
      ['Received', ' from a by b\n\tfor <c@example.net>;\n\tTue, 24 Nov 2026 12:00:00 +0000'],
      ['From', ` ${from}`],
      ['To', ' recipient@example.net'],
      ['Subject', ' A test'],
      ['Date', ' Tue, 24 Nov 2026 12:00:00 +0000'],
      ['Message-ID', ' <1@example.com>'],
    ],
    body: Buffer.from(body, 'latin1'),
    ...more,
  };
}

/** The message as it would leave the MTA, signatures on top. */
export function asSent(sent: ClientMessage, outcome: Outcome): Buffer {
  const lines = [
    ...outcome.added.map(({ name, value }) => Buffer.from(`${name}:${value}`, 'latin1')),
    ...sent.headers.map(([name, value]) =>
      Buffer.concat([Buffer.from(`${name}:`), Buffer.from(value as string, 'latin1')]),
    ),
  ];
  const header = lines.map((line) => `${line.toString('latin1').replaceAll(/\r?\n/g, '\r\n')}\r\n`).join('');
  return Buffer.concat([Buffer.from(`${header}\r\n`, 'latin1'), sent.body]);
}

export interface Verdict {
  readonly domain: string;
  readonly selector: string;
  readonly algorithm: string;
  readonly result: string;
}

/** What mailauth says of each signature, with a DNS that knows these keys only. */
export async function verdicts(mail: Buffer, keyrings: readonly Keyring[]): Promise<Verdict[]> {
  const records = new Map<string, string>();
  for (const { domain, streams } of keyrings) {
    for (const { selector, algorithm, privateKey } of Object.values(streams).flat()) {
      const kind = algorithm === 'rsa-sha256' ? 'rsa' : 'ed25519';
      records.set(`${selector}._domainkey.${domain}`, `v=DKIM1; k=${kind}; p=${publicKeyData(privateKey)}`);
    }
  }
  const { results } = await dkimVerify(mail, {
    resolver: async (name: string) => {
      const record = records.get(name);
      if (record === undefined) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
      return [[record]];
    },
  });
  return results
    .filter((result) => result.signingDomain !== undefined)
    .map((result) => ({
      domain: String(result.signingDomain),
      selector: String(result.selector),
      algorithm: String(result.algo),
      result: result.status.result,
    }));
}

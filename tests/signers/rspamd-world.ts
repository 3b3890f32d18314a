/** What the tests of rspamd's signers share: keys, keyrings, mail through rspamd's own milter, and whose signatures it carries. */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { BodyHasher } from '../../src/dkim/body-hash.ts';
import { publicKeyData } from '../../src/dkim/key-pair.ts';
import { parseTagList, withoutFolds } from '../../src/dkim/tag-list.ts';
import type { HeaderField } from '../../src/dkim/types.ts';
import { verifyOwn } from '../../src/dkim/verify-own.ts';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { readSecret } from '../../src/settings/secret.ts';
import type { Keyring, KeyringKey, OtherKey } from '../../src/signers/keyring.ts';
import type { SignerDependencies } from '../../src/signers/kind.ts';
import { connectMilter } from '../../src/signers/milter/client.ts';
import { testMessage } from '../../src/signers/milter/signer.ts';
import type { RspamdServer } from '../support/rspamd.ts';

export function rsaKey(selector: string, entered = 1): KeyringKey {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { selector, algorithm: 'rsa-sha256', privateKey, entered };
}

export function ed25519Key(selector: string, entered = 1): KeyringKey {
  return { selector, algorithm: 'ed25519-sha256', privateKey: generateKeyPairSync('ed25519').privateKey, entered };
}

export function keyring(
  domain: string,
  generation: number,
  keys: readonly KeyringKey[],
  more: Partial<Keyring> = {},
): Keyring {
  return { domain, generation, mustSign: true, streams: { default: keys }, others: [], ...more };
}

export function other({ selector, privateKey }: KeyringKey, state: OtherKey['state']): OtherKey {
  return { selector, publicKey: publicKeyData(privateKey), state };
}

export async function* each(keyrings: readonly Keyring[]): AsyncGenerator<Keyring> {
  yield* keyrings;
}

export interface Dependencies extends SignerDependencies {
  /** Everything that was logged, one line each. */
  readonly lines: string[];
}

export function dependencies(folder: string, id = 'test'): Dependencies {
  const lines: string[] = [];
  const path = (written: string) => written;
  return {
    id,
    clock: systemClock,
    log: (level, event, fields) => lines.push(`${level} ${event} ${JSON.stringify(fields)}`),
    folder,
    readSecret: (setting) => readSecret(setting, { path, env: {} }),
    path,
    lines,
  };
}

export interface Mail {
  readonly verdict: string;
  /** Selectors of signatures that verify with these keys, in order; `SELECTOR!` for one that does not. */
  readonly signedBy: readonly string[];
}

/** One message of an authenticated user through rspamd's milter, as Postfix hands it over. */
export async function sendMail(
  rspamd: RspamdServer,
  domain: string,
  keys: readonly { readonly selector: string; readonly privateKey: KeyObject }[],
): Promise<Mail> {
  const message = testMessage(domain);
  using client = await connectMilter(rspamd.milter, undefined, 15_000);
  const outcome = await client.deliver({ ...message, clientAddress: '127.0.0.1' });
  const headers: HeaderField[] = message.headers.map(([name, value]) => ({
    name,
    raw: Buffer.from(`${name}:${value.toString()}`, 'latin1'),
  }));
  const hasher = new BodyHasher(['relaxed', 'simple']);
  hasher.update(message.body);
  const body = hasher.finish();
  const signedBy = outcome.added
    .filter(({ name }) => name.toLowerCase() === 'dkim-signature')
    .map(({ name, value }) => {
      const list = parseTagList(value);
      const selector = withoutFolds((list.ok ? list.tags : []).find((tag) => tag.name === 's')?.value ?? '');
      const key = keys.find((candidate) => candidate.selector === selector);
      const valid =
        key !== undefined &&
        verifyOwn(headers, body, `${name}:${value}`, createPublicKey(key.privateKey)).kind === 'valid';
      return valid ? selector : `${selector}!`;
    });
  return { verdict: outcome.verdict, signedBy: signedBy.toSorted() };
}

/** Texts that no output may hold: every private key among them in the forms in which they travel. */
export function secretsOf(keys: readonly KeyringKey[]): readonly string[] {
  return keys.flatMap(({ privateKey }) => {
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const { d } = privateKey.export({ format: 'jwk' });
    return [pem.split('\n')[2] ?? pem, ...(d === undefined ? [] : [d, Buffer.from(d, 'base64url').toString('base64')])];
  });
}

/** The message as it leaves the mail server, for verifiers that are not ours; null where it was put off. */
export async function sendThrough(rspamd: RspamdServer, domain: string): Promise<Buffer | null> {
  const message = testMessage(domain);
  using client = await connectMilter(rspamd.milter, undefined, 15_000);
  const outcome = await client.deliver({ ...message, clientAddress: '127.0.0.1' });
  if (outcome.verdict !== 'accepted') return null;
  const fields = [
    ...outcome.added.map(({ name, value }) => `${name}:${value.replaceAll(/\r?\n/g, '\r\n')}`),
    ...message.headers.map(([name, value]) => `${name}:${value.toString()}`),
  ];
  return Buffer.concat([Buffer.from(`${fields.join('\r\n')}\r\n\r\n`, 'latin1'), message.body]);
}

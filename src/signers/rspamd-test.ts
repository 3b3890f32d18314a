/** rspamd's own word: it is given a test message as authenticated mail, and what it would sign it with is checked. */
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { BodyHasher } from '../dkim/body-hash.ts';
import { splitMessage } from '../dkim/message.ts';
import { parseTagList, withoutFolds } from '../dkim/tag-list.ts';
import { verifyOwn } from '../dkim/verify-own.ts';
import type { Clock } from '../lifecycle/clock.ts';
import { type SecretSetting, secret } from '../settings/secret.ts';
import { durationBetween } from '../settings/values.ts';
import type { SelfTest } from './signer.ts';

/** `test:` of every kind for rspamd. */
export const rspamdTest = z
  .strictObject({
    /** The scanning worker ("normal", port 11333), or the controller (11334) with its password. */
    url: z.url({ protocol: /^https?$/, error: 'expected an address such as http://127.0.0.1:11333' }),
    password: secret.optional(),
    timeout: durationBetween(100, 60_000).prefault('10s'),
  })
  .optional();

export interface RspamdProbe {
  /** A message of the domain's, and the values of the DKIM-Signature fields that rspamd would add. @throws Error saying what it answered. */
  sign(domain: string): Promise<{ readonly message: Buffer; readonly fields: readonly string[] }>;
  /** The selectors that sign a message of the domain's now, each with its whole field. @throws Error saying what rspamd answered. */
  signatures(domain: string): Promise<readonly ProbedSignature[]>;
  /** Whether a message of the domain's is signed with the key, by the key's public half. */
  test(domain: string, selector: string, publicKey: KeyObject): Promise<SelfTest>;
}

export interface ProbedSignature {
  readonly domain: string;
  readonly selector: string;
  readonly algorithm: string;
  /** Whether it is this key's signature of the test message. */
  isBy(publicKey: KeyObject): boolean;
}

export function createRspamdProbe(
  {
    url,
    password,
    timeout,
  }: { readonly url: string; readonly password?: SecretSetting | undefined; readonly timeout: number },
  { clock, readSecret }: { readonly clock: Clock; readonly readSecret: (setting: SecretSetting) => string },
): RspamdProbe {
  const address = new URL('checkv2', url.endsWith('/') ? url : `${url}/`);
  const secretText = password === undefined ? null : readSecret(password);
  const probe: RspamdProbe = {
    async sign(domain) {
      const user = `postmaster@${domain}`;
      const message = testMessage(domain, clock.now());
      const headers = {
        // Mail of an authenticated user: what the module signs wherever it is asked to sign at all.
        User: user,
        From: user,
        Rcpt: user,
        IP: '127.0.0.1',
        'Content-Type': 'message/rfc822',
        ...(secretText === null ? {} : { Password: secretText }),
      };
      const answer = await ask(address, message, headers, timeout);
      return { message, fields: fieldsOf(answer) };
    },
    async signatures(domain) {
      const { message, fields } = await probe.sign(domain);
      return fields.map((value) => probed(message, value));
    },
    async test(domain, selector, publicKey) {
      const name = `${selector}._domainkey.${domain}`;
      const failed = (message: string): SelfTest => ({
        kind: 'failed',
        message: `Testing ${name} with rspamd at ${url}: ${message}`,
      });
      try {
        const found = await probe.signatures(domain);
        if (found.some((each) => each.domain === domain && each.selector === selector && each.isBy(publicKey))) {
          return { kind: 'signed' };
        }
        if (found.length === 0)
          return failed('it did not sign a message of an authenticated user; see its log for "dkim_signing"');
        return failed(
          `it signed, but not with this key: ${found.map((each) => `${each.selector} of ${each.domain}`).join(', ')}`,
        );
      } catch (error) {
        return failed(error instanceof Error ? error.message : String(error));
      }
    },
  };
  return probe;
}

async function ask(
  url: URL,
  body: Buffer,
  headers: Readonly<Record<string, string>>,
  timeout: number,
): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      body: new Uint8Array(body),
      headers,
      signal: AbortSignal.timeout(timeout),
    });
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new Error(`it cannot be reached (${cause}); is it running, and is this the address of its scanning worker?`);
  }
  const text = await response.text();
  if (response.status === 401 || response.status === 403)
    throw new Error('it refused the password; see `test.password`');
  if (!response.ok) throw new Error(`it answered ${response.status}`);
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('its answer is not JSON');
  }
}

const addedField = z
  .union([z.string(), z.looseObject({ value: z.string() })])
  .transform((field) => (typeof field === 'string' ? field : field.value));
const addedFields = z.union([addedField.transform((one) => [one]), z.array(addedField)]).optional();
const scanned = z.looseObject({
  'dkim-signature': addedFields,
  milter: z.looseObject({ add_headers: z.looseObject({ 'DKIM-Signature': addedFields }).optional() }).optional(),
});

/** rspamd tells of signatures in one of two places (`use_milter_headers`), as one text, an object with a place, or a list of them. */
function fieldsOf(answer: unknown): readonly string[] {
  const { success, data } = scanned.safeParse(answer);
  if (!success) throw new Error('its answer is not one of rspamd');
  return [...(data['dkim-signature'] ?? []), ...(data.milter?.add_headers?.['DKIM-Signature'] ?? [])];
}

function probed(message: Buffer, value: string): ProbedSignature {
  const { headers, body } = splitMessage(message);
  const hasher = new BodyHasher(['relaxed', 'simple']);
  hasher.update(body);
  const hashes = hasher.finish();
  const list = parseTagList(value);
  const tag = (name: string) =>
    withoutFolds((list.ok ? list.tags : []).find((each) => each.name === name)?.value ?? '');
  return {
    domain: tag('d').toLowerCase(),
    selector: tag('s'),
    algorithm: tag('a'),
    isBy: (publicKey) => verifyOwn(headers, hashes, `DKIM-Signature: ${value}`, publicKey).kind === 'valid',
  };
}

/** A small message that names no real person and goes nowhere. */
function testMessage(domain: string, at: number): Buffer {
  const address = `postmaster@${domain}`;
  return Buffer.from(
    [
      `From: Keyturn test <${address}>`,
      `To: <${address}>`,
      'Subject: Test of DKIM signing',
      `Date: ${new Date(at).toUTCString().replace('GMT', '+0000')}`,
      `Message-ID: <keyturn-test-${at}@${domain}>`,
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=us-ascii',
      '',
      'This message tests DKIM signing.  It goes nowhere.',
      '',
    ].join('\r\n'),
    'latin1',
  );
}

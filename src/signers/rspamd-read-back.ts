/** The test without rspamd: what it would read is read, and a message is signed with that. Weaker, for it says nothing of rspamd itself. */
import type { KeyObject } from 'node:crypto';
import { BodyHasher } from '../dkim/body-hash.ts';
import { importPrivateKey } from '../dkim/import-key.ts';
import { splitMessage } from '../dkim/message.ts';
import { signMessage } from '../dkim/sign.ts';
import { verifyOwn } from '../dkim/verify-own.ts';
import type { SelfTest } from './signer.ts';

const message = Buffer.from('From: postmaster@test.invalid\r\nSubject: Test\r\n\r\nIt goes nowhere.\r\n', 'latin1');

/** Signs with the text that was read back, and checks the signature with the public half of the key that should stand there. */
export async function testReadBack(
  { domain, selector }: { readonly domain: string; readonly selector: string },
  text: string | null,
  publicKey: KeyObject,
): Promise<SelfTest> {
  const failed = (why: string): SelfTest => ({
    kind: 'failed',
    message: `Testing ${selector}._domainkey.${domain}: ${why}`,
  });
  if (text === null) return failed('its private half does not stand where it was put');
  const imported = importPrivateKey(text);
  if (!imported.ok) return failed(`what was read back is no key: ${imported.error.message}`);
  const { privateKey } = imported.pair;
  const algorithm = privateKey.asymmetricKeyType === 'rsa' ? 'rsa-sha256' : 'ed25519-sha256';
  const { headers, body } = splitMessage(message);
  const hasher = new BodyHasher(['relaxed']);
  hasher.update(body);
  const hashes = hasher.finish();
  const fields = await signMessage(headers, hashes, [{ domain, selector, algorithm, privateKey }], { timestamp: 0 });
  const valid = fields.some(({ field }) => verifyOwn(headers, hashes, field, publicKey).kind === 'valid');
  return valid ? { kind: 'signed' } : failed('what stands there is another key');
}

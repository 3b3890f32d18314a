import { hash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { BodyHasher } from '../../src/dkim/body-hash.ts';
import { importPrivateKey } from '../../src/dkim/import-key.ts';
import type { KeyPair } from '../../src/dkim/key-pair.ts';
import { publicKeyData } from '../../src/dkim/key-pair.ts';
import { parseKeyRecord } from '../../src/dkim/key-record.ts';
import type { HeaderField } from '../../src/dkim/types.ts';
import { verifyOwn } from '../../src/dkim/verify-own.ts';
import {
  dinnerHeaders,
  rfc6376Body,
  rfc6376PrivateKey,
  rfc6376Received,
  rfc6376Signature,
  rfc8463Body,
  rfc8463Ed25519Record,
  rfc8463Ed25519Seed,
  rfc8463Ed25519Signature,
  rfc8463RsaPrivateKey,
  rfc8463RsaSignature,
} from './rfc-examples.ts';

function fields(lines: readonly string[]): HeaderField[] {
  return lines.map((line) => ({ name: line.slice(0, line.indexOf(':')), raw: Buffer.from(line) }));
}

function bodyHashes(text: string) {
  const hasher = new BodyHasher(['simple', 'relaxed']);
  hasher.update(Buffer.from(text));
  return hasher.finish();
}

function keyPair(text: string): KeyPair {
  const result = importPrivateKey(text);
  if (!result.ok) throw new Error(result.error.message);
  return result.pair;
}

describe('RFC 6376', () => {
  test('appendix A.2: the signed message verifies, to the last space', () => {
    const { publicKey } = keyPair(rfc6376PrivateKey);
    const headers = fields([rfc6376Received, ...dinnerHeaders]);
    expect(verifyOwn(headers, bodyHashes(rfc6376Body), rfc6376Signature, publicKey)).toEqual({ kind: 'valid' });
    const oneSpaceLess = fields([rfc6376Received.replace('com  [', 'com ['), ...dinnerHeaders]);
    expect(verifyOwn(oneSpaceLess, bodyHashes(rfc6376Body), rfc6376Signature, publicKey)).toEqual({
      kind: 'invalid',
      reason: 'bad-signature',
    });
    expect(verifyOwn(headers, bodyHashes(`${rfc6376Body}PS\r\n`), rfc6376Signature, publicKey)).toEqual({
      kind: 'invalid',
      reason: 'other-body',
    });
  });

  test('section 3.4.5: the body of the example', () => {
    const hashes = bodyHashes(' C \r\nD \t E\r\n\r\n\r\n');
    expect(hashes.relaxed).toBe(hash('sha256', ' C\r\nD E\r\n', 'base64'));
    expect(hashes.simple).toBe(hash('sha256', ' C \r\nD \t E\r\n', 'base64'));
  });

  test('sections 3.4.3 and 3.4.4: the hashes of an empty body', () => {
    expect(bodyHashes('')).toEqual({
      bytes: 0,
      simple: 'frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=',
      relaxed: '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=',
    });
  });
});

describe('RFC 8463', () => {
  test('appendix A.3: both signatures of the message verify', () => {
    const headers = fields(dinnerHeaders);
    const body = bodyHashes(rfc8463Body);
    const ed25519 = keyPair(rfc8463Ed25519Seed);
    const rsa = keyPair(rfc8463RsaPrivateKey);
    expect(verifyOwn(headers, body, rfc8463Ed25519Signature, ed25519.publicKey)).toEqual({ kind: 'valid' });
    expect(verifyOwn(headers, body, rfc8463RsaSignature, rsa.publicKey)).toEqual({ kind: 'valid' });
    expect(verifyOwn(headers, body, rfc8463RsaSignature, ed25519.publicKey)).toEqual({
      kind: 'invalid',
      reason: 'unsupported',
    });
    const other = fields(dinnerHeaders.map((line) => line.replace('dinner', 'supper')));
    expect(verifyOwn(other, body, rfc8463Ed25519Signature, ed25519.publicKey)).toEqual({
      kind: 'invalid',
      reason: 'bad-signature',
    });
  });

  test('appendix A.2: the record of the seed', () => {
    const record = parseKeyRecord(rfc8463Ed25519Record);
    expect(record).toMatchObject({ kind: 'key', algorithm: 'ed25519', bits: 256 });
    expect(`v=DKIM1; k=ed25519; p=${publicKeyData(keyPair(rfc8463Ed25519Seed).privateKey)}`).toBe(rfc8463Ed25519Record);
  });
});

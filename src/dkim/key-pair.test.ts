import { createPrivateKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  ed25519Seed,
  exportPrivateKeyPem,
  generateKeyPair,
  keyBits,
  keyPairOf,
  privateKeyFromSeed,
  publicKeyData,
  publicKeyFromData,
} from './key-pair.ts';

test.each([2048, 3072, 4096] as const)('RSA of %i bits is made off the thread', { timeout: 60_000 }, async (bits) => {
  const pair = await generateKeyPair({ algorithm: 'rsa', bits });
  expect(pair).toMatchObject({ algorithm: 'rsa', bits });
  expect(pair.privateKey.asymmetricKeyDetails?.publicExponent).toBe(65_537n);
  const data = publicKeyData(pair.publicKey);
  expect(publicKeyData(pair.privateKey)).toBe(data);
  const read = publicKeyFromData('rsa', data);
  if (!read.ok) throw new Error(read.reason);
  expect(read).toMatchObject({ bits, bareRsa: false });
  expect(verify('sha256', Buffer.from('x'), read.key, sign('sha256', Buffer.from('x'), pair.privateKey))).toBe(true);
  const pem = exportPrivateKeyPem(pair.privateKey);
  expect(pem).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
  expect(createPrivateKey(pem).equals(pair.privateKey)).toBe(true);
});

test('Ed25519 and its seed', async () => {
  const pair = await generateKeyPair({ algorithm: 'ed25519' });
  expect(pair).toMatchObject({ algorithm: 'ed25519', bits: 256 });
  const seed = ed25519Seed(pair.privateKey);
  expect(seed).toHaveLength(32);
  expect(privateKeyFromSeed(seed).equals(pair.privateKey)).toBe(true);
  expect(Buffer.from(publicKeyData(pair.publicKey), 'base64')).toHaveLength(32);
  const read = publicKeyFromData('ed25519', publicKeyData(pair.publicKey));
  expect(read.ok && read.key.equals(pair.publicKey)).toBe(true);
});

test('no two keys are the same', async () => {
  const [first, second] = await Promise.all([1, 2].map(() => generateKeyPair({ algorithm: 'ed25519' })));
  expect(first?.privateKey.equals(second?.privateKey ?? first.privateKey)).toBe(false);
});

test('keys and seeds of other kinds are refused', () => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  expect(() => keyBits(ec)).toThrow(TypeError);
  expect(() => keyPairOf(ec)).toThrow('type ec');
  expect(() => ed25519Seed(ec)).toThrow(TypeError);
  expect(() => privateKeyFromSeed(Buffer.alloc(31))).toThrow(RangeError);
});

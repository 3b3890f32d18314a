import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { createKeyringBook } from '../signers/keyring-book.ts';
import type { StoredKeyring } from '../store/store.ts';
import { toKeyring, toUnparsedKeyring } from './keyring.ts';

function storedWith(pkcs8: Uint8Array): StoredKeyring {
  const key = { id: 'k', selector: 's1', algorithm: 'ed25519', bits: 256, pkcs8 } as const;
  const foreign = { ...key, id: 'f', selector: 's2', pkcs8: null };
  const streams = [{ name: 'default', keys: [key, foreign] }];
  return { domain: 'example.test', generation: 3, mustSign: true, streams };
}

test('a key that is parsed at its first use is the same key, parsed once, whatever becomes of the buffer it came in', () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
  const stored = storedWith(pkcs8);
  const eager = toKeyring(stored);
  const book = createKeyringBook();
  expect(book.put(toUnparsedKeyring(stored)).kind).toBe('loaded');
  pkcs8.fill(0);
  const keys = book.find('example.test')?.streams.get('default') ?? [];
  expect(keys.map(({ selector }) => selector)).toEqual(['s1']);
  expect(keys[0]?.privateKey.equals(privateKey)).toBe(true);
  expect(keys[0]?.privateKey).toBe(keys[0]?.privateKey);
  expect(book.put(eager).kind).toBe('known');
});

test('what is no key is found at once, or at its first use; the error does not hold it', () => {
  const stored = storedWith(Buffer.from('not a key but a secret'));
  expect(() => toKeyring(stored)).toThrow();
  const keyring = toUnparsedKeyring(stored);
  const use = () => keyring.streams.default?.[0]?.privateKey;
  for (const _ of [1, 2]) {
    expect(use).toThrow();
    expect(use).not.toThrow(/secret/);
  }
});

import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { importPrivateKey, type KeyImportErrorKind } from './import-key.ts';
import { ed25519Seed, exportPrivateKeyPem, publicKeyData } from './key-pair.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ed25519 = generateKeyPairSync('ed25519');
const pkcs1 = rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
const pkcs8 = exportPrivateKeyPem(rsa.privateKey);
const edPem = exportPrivateKeyPem(ed25519.privateKey);
const seed = ed25519Seed(ed25519.privateKey);
const der = (key: KeyObject, type: 'pkcs1' | 'pkcs8') => key.export({ type, format: 'der' });

function expectKey(input: string | Uint8Array, key: KeyObject): void {
  const result = importPrivateKey(input);
  if (!result.ok) throw new Error(result.error.message);
  expect(result.pair.privateKey.equals(key)).toBe(true);
  expect(result.warnings).toEqual([]);
}

describe('what is taken in', () => {
  const { privateKey } = rsa;
  const twistedLabel = pkcs8.replaceAll('PRIVATE KEY', 'RSA PRIVATE KEY');
  test.each<[string, string | Uint8Array, KeyObject]>([
    ['PKCS#1', pkcs1, privateKey],
    ['PKCS#8', pkcs8, privateKey],
    ['PKCS#8 of Ed25519', edPem, ed25519.privateKey],
    ['octets of PEM', Buffer.from(pkcs1), privateKey],
    ['CRLF', pkcs1.replaceAll('\n', '\r\n'), privateKey],
    ['CR only', pkcs1.replaceAll('\n', '\r'), privateKey],
    ['leading white space', `\n\t  ${pkcs1.replaceAll('\n', '\n    ')}`, privateKey],
    ['a byte order mark', `\uFEFF${pkcs1}`, privateKey],
    ['one line with spaces', pkcs1.replaceAll('\n', ' '), privateKey],
    ['one line with nothing between', pkcs1.replaceAll('\n', ''), privateKey],
    ['line ends written out', pkcs1.replaceAll('\n', '\\n'), privateKey],
    ['quotes around', `"${pkcs8.replaceAll('\n', '\\r\\n')}"`, privateKey],
    ['text before and after', `Key of example.com:\n${pkcs8}\nEnd of file\n`, privateKey],
    ['a certificate before', `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n${pkcs8}`, privateKey],
    ['PKCS#8 under the label of PKCS#1', twistedLabel, privateKey],
    ['DER of PKCS#1', der(privateKey, 'pkcs1'), privateKey],
    ['DER of PKCS#8', der(privateKey, 'pkcs8'), privateKey],
    ['base64 of DER', der(privateKey, 'pkcs1').toString('base64'), privateKey],
    [
      'base64 of DER in lines',
      der(privateKey, 'pkcs8')
        .toString('base64')
        .replaceAll(/(.{64})/g, '$1\n'),
      privateKey,
    ],
    ['a seed', seed, ed25519.privateKey],
    ['base64 of a seed', `${seed.toString('base64')}\n`, ed25519.privateKey],
    ['octets of base64 of a seed', Buffer.from(`${seed.toString('base64')}\n`), ed25519.privateKey],
    [
      'a seed and its public key',
      Buffer.concat([seed, Buffer.from(publicKeyData(ed25519.publicKey), 'base64')]),
      ed25519.privateKey,
    ],
  ])('%s', (_, input, key) => {
    expectKey(input, key);
  });

  test('RSA of 1024 bits, with a warning', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
    const result = importPrivateKey(exportPrivateKeyPem(weak));
    expect(result).toMatchObject({ ok: true, pair: { bits: 1024 }, warnings: [{ kind: 'weak-rsa' }] });
  });
});

describe('what is not', () => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = { format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'secret' } as const;
  const encryptedDer = rsa.privateKey.export({ ...pem, format: 'der' });
  const oldEncrypted = rsa.privateKey.export({ ...pem, type: 'pkcs1', cipher: 'aes-128-cbc' }).toString();
  const base64 = der(rsa.privateKey, 'pkcs8').toString('base64');
  // Another modulus's last octet: it decodes, and signs nothing that verifies.
  const inconsistent = Buffer.from(der(rsa.privateKey, 'pkcs1'));
  inconsistent.writeUInt8((inconsistent[200] ?? 0) ^ 0x10, 200);
  const otherPublic = Buffer.concat([seed, Buffer.alloc(32, 7)]);

  const cases: [string, string | Uint8Array, KeyImportErrorKind][] = [
    ['nothing', '', 'empty'],
    ['no octets', Buffer.alloc(0), 'empty'],
    ['white space', ' \n\t', 'empty'],
    ['encrypted PKCS#8', rsa.privateKey.export(pem).toString(), 'encrypted'],
    ['encrypted PKCS#1', oldEncrypted, 'encrypted'],
    ['encrypted DER', encryptedDer, 'encrypted'],
    ['a public key', rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString(), 'public-key'],
    ['a PKCS#1 public key', rsa.publicKey.export({ type: 'pkcs1', format: 'pem' }).toString(), 'public-key'],
    ['the base64 of a public key', publicKeyData(rsa.publicKey), 'public-key'],
    ['a certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', 'certificate'],
    ['an EC key', ec.privateKey.export({ type: 'sec1', format: 'pem' }).toString(), 'unsupported-algorithm'],
    ['an EC key in PKCS#8', exportPrivateKeyPem(ec.privateKey), 'unsupported-algorithm'],
    ['an EC key in DER', ec.privateKey.export({ type: 'sec1', format: 'der' }), 'unsupported-algorithm'],
    ['an Ed448 key', exportPrivateKeyPem(generateKeyPairSync('ed448').privateKey), 'unsupported-algorithm'],
    [
      'an RSA-PSS key',
      exportPrivateKeyPem(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey),
      'unsupported-algorithm',
    ],
    [
      'an OpenSSH key',
      '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----',
      'unsupported-format',
    ],
    [
      'RSA of 768 bits',
      exportPrivateKeyPem(generateKeyPairSync('rsa', { modulusLength: 768 }).privateKey),
      'too-short',
    ],
    ['a key whose parts disagree', inconsistent, 'inconsistent'],
    ['a seed with another public key', otherPublic, 'inconsistent'],
    ['PEM without an end', pkcs8.slice(0, -40), 'unreadable'],
    ['PEM cut in the middle', pkcs8.replace(/.{400}\n-----END/s, '\n-----END'), 'unreadable'],
    ['PEM with other signs in it', pkcs8.replace('\nMII', '\nM*I'), 'unreadable'],
    ['labels that differ', pkcs8.replace('END PRIVATE', 'END RSA PRIVATE'), 'unreadable'],
    ['something else in PEM', '-----BEGIN X-----\nAAAA\n-----END X-----', 'unreadable'],
    ['words', 'open sesame, please', 'unreadable'],
    ['base64 of something', Buffer.from('hello').toString('base64'), 'unreadable'],
    ['DER cut short', Buffer.from(base64, 'base64').subarray(0, 600), 'unreadable'],
    ['octets', Buffer.from([1, 2, 3]), 'unreadable'],
    ['too much', 'A'.repeat(100_000), 'too-large'],
  ];

  test.each(cases)('%s', (_, input, kind) => {
    const result = importPrivateKey(input);
    expect(result.ok ? result.pair.bits : result.error.kind).toBe(kind);
    if (result.ok) return;
    // Nothing of the input may show in the message: no run of eight characters of it.
    const text = Buffer.from(input)
      .toString('latin1')
      .replaceAll(/-----[A-Z0-9 ]+-----/g, '');
    for (let i = 0; i + 8 <= Math.min(text.length, 4000); i++) {
      expect(result.error.message.includes(text.slice(i, i + 8)), 'the input shows in the message').toBe(false);
    }
  });

  test.each([' ', '-----BEGIN X-----', '-', '-----END X-----', '\\n', 'A'])(
    'many times %j costs no more than its length',
    (unit) => {
      const text = `-----BEGIN PRIVATE KEY-----${unit.repeat(Math.floor(60_000 / unit.length))}x`;
      expect(importPrivateKey(text).ok).toBe(false);
      expect(importPrivateKey(text.slice(27)).ok).toBe(false);
    },
  );

  test('anything at all gives an answer and no error', () => {
    const damaged = fc
      .tuple(fc.constantFrom(pkcs1, pkcs8, edPem), fc.nat({ max: 2000 }), fc.string({ maxLength: 4 }))
      .map(([text, at, other]) => text.slice(0, at % text.length) + other + text.slice((at % text.length) + 1));
    const damagedDer = fc
      .tuple(
        fc.constantFrom(der(rsa.privateKey, 'pkcs1'), der(ed25519.privateKey, 'pkcs8')),
        fc.nat(),
        fc.nat({ max: 255 }),
      )
      .map(([octets, at, value]) => {
        const copy = Buffer.from(octets);
        copy.writeUInt8(value, at % copy.length);
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.uint8Array({ maxLength: 100 }), damaged, damagedDer), (input) => {
        const result = importPrivateKey(input);
        if (result.ok) createPrivateKey(exportPrivateKeyPem(result.pair.privateKey));
        else expect(result.error.message).not.toBe('');
      }),
      { numRuns: 1000 },
    );
  });
});

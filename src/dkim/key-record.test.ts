import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { publicKeyData } from './key-pair.ts';
import {
  buildKeyRecord,
  buildRevokedRecord,
  describeKeyRecordDefect,
  describeKeyRecordNote,
  formatKeyRecord,
  parseKeyRecord,
} from './key-record.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ed25519 = generateKeyPairSync('ed25519');
const rsaData = publicKeyData(rsa.publicKey);
const edData = publicKeyData(ed25519.publicKey);
const rsaOf = (bits: number): string => publicKeyData(generateKeyPairSync('rsa', { modulusLength: bits }).publicKey);

describe('building', () => {
  test('a record in the common form', () => {
    expect(buildKeyRecord({ algorithm: 'rsa', publicKey: rsaData })).toBe(`v=DKIM1; k=rsa; p=${rsaData}`);
    expect(buildKeyRecord({ algorithm: 'ed25519', publicKey: edData })).toBe(`v=DKIM1; k=ed25519; p=${edData}`);
  });

  test('a revoked record', () => {
    expect(buildRevokedRecord('ed25519')).toBe('v=DKIM1; k=ed25519; p=');
    expect(parseKeyRecord(buildRevokedRecord('rsa'))).toMatchObject({ kind: 'revoked', notes: [] });
  });

  test('and parsing are each the other way round', () => {
    const fields = fc.record(
      {
        algorithm: fc.constantFrom('rsa' as const, 'ed25519' as const),
        hash: fc.constant('sha256' as const),
        service: fc.constant('email' as const),
        flags: fc.constantFrom<readonly ('y' | 's')[]>([], ['y'], ['s'], ['y', 's']),
        notes: fc.string({ unit: 'grapheme' }),
      },
      { requiredKeys: ['algorithm'] },
    );
    fc.assert(
      fc.property(fields, (chosen) => {
        const publicKey = chosen.algorithm === 'rsa' ? rsaData : edData;
        const text = buildKeyRecord({ ...chosen, publicKey });
        const parsed = parseKeyRecord(text);
        if (parsed.kind !== 'key') throw new Error(`${text} is ${parsed.kind}`);
        expect(parsed.algorithm).toBe(chosen.algorithm);
        expect(parsed.record.hashes).toEqual(chosen.hash === undefined ? undefined : ['sha256']);
        expect(parsed.record.services).toEqual([chosen.service ?? '*']);
        expect(parsed.record.flags).toEqual(chosen.flags ?? []);
        expect(parsed.record.notes ?? '').toBe(chosen.notes ?? '');
        expect(publicKeyData(parsed.publicKey)).toBe(publicKey);
        expect(formatKeyRecord(parsed.record.tags)).toBe(text);
      }),
    );
  });
});

describe('a usable record', () => {
  test('may leave out all but p=, and have it in pieces', () => {
    const spaced = rsaData.replaceAll(/(.{64})/g, '$1 \t');
    expect(parseKeyRecord(`p=${spaced}`)).toMatchObject({
      kind: 'key',
      algorithm: 'rsa',
      bits: 2048,
      record: { keyType: 'rsa', publicKeyData: rsaData },
      notes: [{ kind: 'no-version' }],
    });
  });

  test('keeps unknown tags in their order and says so', () => {
    const text = `v=DKIM1; g=*; k=rsa; zz=1; p=${rsaData}`;
    const parsed = parseKeyRecord(text);
    expect(parsed).toMatchObject({ kind: 'key', notes: [{ tag: 'g' }, { kind: 'unknown-tag', tag: 'zz' }] });
    expect(parsed.kind === 'key' && formatKeyRecord(parsed.record.tags)).toBe(text);
  });

  test('is noted to be testing, strict, or weak', () => {
    const weak = rsaOf(1024);
    const parsed = parseKeyRecord(`v=DKIM1; t=y : s : q; s=email:other; h=sha1:SHA256; p=${weak}`);
    if (parsed.kind !== 'key') throw new Error(parsed.kind);
    expect(parsed.notes).toEqual([
      { kind: 'testing' },
      { kind: 'strict' },
      { kind: 'unknown-flag', flag: 'q' },
      { kind: 'weak-rsa', bits: 1024 },
    ]);
    for (const note of parsed.notes) expect(describeKeyRecordNote(note)).not.toBe('');
  });

  test('may hold the bare RSAPublicKey that the RFC names', () => {
    const bare = rsa.publicKey.export({ type: 'pkcs1', format: 'der' }).toString('base64');
    const parsed = parseKeyRecord(`v=DKIM1; p=${bare}`);
    expect(parsed).toMatchObject({ kind: 'key', bits: 2048, notes: [{ kind: 'bare-rsa' }] });
    expect(parsed.kind === 'key' && parsed.publicKey.equals(createPublicKey(rsa.privateKey))).toBe(true);
  });
});

describe('a record that cannot be used', () => {
  const spki = ed25519.publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  const ecSpki = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' });
  test.each([
    ['', [{ kind: 'bad-syntax', defect: { kind: 'empty' } }]],
    ['hello world', [{ kind: 'bad-syntax', defect: { kind: 'no-equals-sign', index: 0 } }]],
    [`v=DKIM1; p=; p=${rsaData}`, [{ kind: 'bad-syntax', defect: { kind: 'duplicate', index: 2, tag: 'p' } }]],
    [`k=rsa; v=DKIM1; p=${rsaData}`, [{ kind: 'version-not-first' }]],
    [`v=DKIM2; p=${rsaData}`, [{ kind: 'bad-version' }]],
    [`v=dkim1; p=${rsaData}`, [{ kind: 'bad-version' }]],
    ['v=DKIM1; k=rsa', [{ kind: 'no-public-key' }]],
    [`v=DKIM1; k=dsa; p=${rsaData}`, [{ kind: 'unknown-key-type' }]],
    [`v=DKIM1; k=RSA; p=${rsaData}`, [{ kind: 'unknown-key-type' }]],
    [`v=DKIM1; h=sha1; p=${rsaData}`, [{ kind: 'no-sha256' }]],
    [`v=DKIM1; s=tlsrpt; p=${rsaData}`, [{ kind: 'not-for-email' }]],
    ['k=x; h=sha1; s=y', ['no-public-key', 'unknown-key-type', 'no-sha256', 'not-for-email'].map((kind) => ({ kind }))],
    ['v=DKIM1; p=not*base64', [{ kind: 'bad-base64' }]],
    [`v=DKIM1; p=${rsaData.slice(0, -3)}`, [{ kind: 'bad-base64' }]],
    [`v=DKIM1; p=${rsaData.slice(0, 256)}`, [{ kind: 'undecodable-key' }]],
    ['v=DKIM1; p=aGVsbG8=', [{ kind: 'undecodable-key' }]],
    [`v=DKIM1; k=rsa; p=${edData}`, [{ kind: 'other-key-type' }]],
    [`v=DKIM1; k=rsa; p=${spki}`, [{ kind: 'other-key-type' }]],
    [`v=DKIM1; k=rsa; p=${ecSpki.toString('base64')}`, [{ kind: 'other-key-type' }]],
    [`v=DKIM1; k=ed25519; p=${rsaData}`, [{ kind: 'other-key-type' }]],
    [`v=DKIM1; k=ed25519; p=${spki}`, [{ kind: 'undecodable-key' }]],
    [`v=DKIM1; p=${rsaOf(768)}`, [{ kind: 'rsa-too-short', bits: 768 }]],
  ])('%#: %.60s', (text, defects) => {
    const parsed = parseKeyRecord(text);
    expect(parsed).toMatchObject({ kind: 'invalid', defects });
    if (parsed.kind === 'invalid') {
      for (const defect of parsed.defects) expect(describeKeyRecordDefect(defect)).not.toBe('');
    }
  });

  test('is never an error, whatever the text', () => {
    const tag = fc
      .tuple(fc.constantFrom(...'vhknpst', 'x'), fc.string({ maxLength: 20 }))
      .map((pair) => pair.join('='));
    const nearly = fc.array(tag, { maxLength: 8 }).map((tags) => tags.join(';'));
    const damaged = fc
      .tuple(fc.nat({ max: rsaData.length }), fc.string({ maxLength: 3 }))
      .map(([at, text]) => `v=DKIM1; p=${rsaData.slice(0, at)}${text}${rsaData.slice(at + text.length)}`);
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), nearly, damaged), (text) => {
        expect(['key', 'revoked', 'invalid']).toContain(parseKeyRecord(text).kind);
      }),
      { numRuns: 3000 },
    );
  });
});

import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { BodyHasher } from './body-hash.ts';
import { generateKeyPair, type KeyPair } from './key-pair.ts';
import { prepareSigner, SigningError, signMessage } from './sign.ts';
import { defaultSignedHeaders, signedInstancesPerName } from './signed-headers.ts';
import { parseTagList, withoutFolds } from './tag-list.ts';
import type { HeaderField, SigningKey } from './types.ts';
import { verifyOwn } from './verify-own.ts';

let rsa: KeyPair;
let ed25519: KeyPair;
let keys: readonly SigningKey[];
const timestamp = 1_700_000_000;

beforeAll(async () => {
  rsa = await generateKeyPair({ algorithm: 'rsa', bits: 2048 });
  ed25519 = await generateKeyPair({ algorithm: 'ed25519' });
  keys = [
    { domain: 'example.com', selector: 'r1', algorithm: 'rsa-sha256', privateKey: rsa.privateKey },
    { domain: 'example.com', selector: 'e1', algorithm: 'ed25519-sha256', privateKey: ed25519.privateKey },
  ];
});

function fields(...lines: string[]): HeaderField[] {
  return lines.map((line) => ({ name: line.slice(0, line.indexOf(':')), raw: Buffer.from(line) }));
}

function bodyOf(text: string, canonicalizations: readonly ('simple' | 'relaxed')[] = ['relaxed']) {
  const hasher = new BodyHasher(canonicalizations);
  hasher.update(Buffer.from(text));
  return hasher.finish();
}

function tagsOf(value: string): Record<string, string> {
  const list = parseTagList(value);
  if (!list.ok) throw new Error(`not a tag-list: ${list.defect.kind}`);
  return Object.fromEntries(list.tags.map((tag) => [tag.name, withoutFolds(tag.value)]));
}

const headers = fields('From: a@example.com', 'To: b@example.net', 'Subject: hello');

describe('the field', () => {
  test('has the tags of RFC 6376 section 3.5, one field for each key', async () => {
    const body = bodyOf('text\r\n');
    const signatures = await signMessage(headers, body, keys, {
      timestamp,
      expiresIn: 600,
      identity: '@mail.example.com',
    });
    expect(signatures.map(({ key }) => key)).toEqual(keys);
    const [first, second] = signatures.map(({ value }) => tagsOf(value));
    expect(Object.keys(first ?? {})).toEqual(['v', 'a', 'c', 'd', 's', 'i', 'h', 'bh', 't', 'x', 'b']);
    expect(first).toMatchObject({
      v: '1',
      a: 'rsa-sha256',
      c: 'relaxed/relaxed',
      d: 'example.com',
      s: 'r1',
      i: '@mail.example.com',
      bh: body.relaxed,
      t: '1700000000',
      x: '1700000600',
    });
    expect(second).toMatchObject({ a: 'ed25519-sha256', s: 'e1', bh: body.relaxed });
  });

  test('is folded at 78 columns, with CRLF or LF', async () => {
    const long = fields('From: a@example.com', ...defaultSignedHeaders.slice(1).map((name) => `${name}: x`));
    const crlf = await signMessage(long, bodyOf(''), keys, { timestamp, expiresIn: 1_000_000 });
    const lf = await signMessage(long, bodyOf(''), keys, { timestamp, expiresIn: 1_000_000, lineEnd: 'lf' });
    for (const [index, { field, value }] of crlf.entries()) {
      expect(field).toBe(`DKIM-Signature: ${value}`);
      const lines = field.split('\r\n');
      expect(lines.length).toBeGreaterThan(4);
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(78);
      for (const line of lines.slice(1)) expect(line).toMatch(/^ \S/);
      expect(lf[index]?.field).toBe(field.replaceAll('\r\n', '\n'));
    }
  });

  test('quotes what a local part may hold and a tag may not (section 2.11)', async () => {
    const [signature] = await signMessage(headers, bodyOf(''), keys, { timestamp, identity: 'a;b=c d@example.com' });
    expect(tagsOf(signature?.value ?? '').i).toBe('a=3Bb=3Dc=20d@example.com');
  });
});

describe('the signed headers', () => {
  async function namesOf(lines: string[], options: Partial<Parameters<typeof signMessage>[3]> = {}): Promise<string[]> {
    const [signature] = await signMessage(fields(...lines), bodyOf(''), keys.slice(1), { timestamp, ...options });
    return (tagsOf(signature?.value ?? '').h ?? '').split(':');
  }

  test('are those present, and the oversigned ones once more', async () => {
    const names = await namesOf(['Received: x', 'From: a@example.com', 'Date: now', 'X-Other: y', 'subject: s'], {
      oversignedHeaders: ['From', 'Reply-To'],
    });
    expect(names).toEqual(['from', 'from', 'reply-to', 'subject', 'date']);
  });

  test('are each instance of a repeated field, from the last upwards', async () => {
    const repeated = fields('To: first', 'From: a@example.com', 'To: last');
    const options = { timestamp, signedHeaders: ['To'], oversignedHeaders: [] };
    const [signature] = await signMessage(repeated, bodyOf(''), keys.slice(1), options);
    const value = signature?.field ?? '';
    expect(tagsOf(signature?.value ?? '').h).toBe('from:to:to');
    const inOrder = (...lines: string[]) => verifyOwn(fields(...lines), bodyOf(''), value, ed25519.publicKey).kind;
    expect(inOrder('To: first', 'From: a@example.com', 'To: last')).toBe('valid');
    expect(inOrder('To: last', 'From: a@example.com', 'To: first')).toBe('invalid');
    // A further field above is not covered unless the name is oversigned.
    expect(inOrder('To: added', 'To: first', 'From: a@example.com', 'To: last')).toBe('valid');
  });

  test('oversigned, do not let another be slipped in', async () => {
    const [signature] = await signMessage(headers, bodyOf(''), keys.slice(1), { timestamp });
    const added = fields('From: evil@example.org', 'From: a@example.com', 'To: b@example.net', 'Subject: hello');
    expect(verifyOwn(added, bodyOf(''), signature?.field ?? '', ed25519.publicKey).kind).toBe('invalid');
    const replyTo = [...headers, ...fields('Reply-To: evil@example.org')];
    expect(verifyOwn(replyTo, bodyOf(''), signature?.field ?? '', ed25519.publicKey).kind).toBe('invalid');
  });

  test('are bounded for a message of 10,000 fields of one name', async () => {
    const many = ['From: a@example.com', ...Array.from({ length: 10_000 }, (_, index) => `To: ${index}@example.net`)];
    const names = await namesOf(many);
    expect(names.filter((name) => name === 'to')).toHaveLength(signedInstancesPerName);
    const [signature] = await signMessage(fields(...many), bodyOf(''), keys.slice(1), { timestamp });
    expect(verifyOwn(fields(...many), bodyOf(''), signature?.field ?? '', ed25519.publicKey)).toEqual({
      kind: 'valid',
    });
  });

  test('may have white space before their colon', async () => {
    const spaced = fields('From : a@example.com', 'Subject\t: x');
    const [signature] = await signMessage(spaced, bodyOf(''), keys.slice(1), { timestamp, oversignedHeaders: [] });
    expect(tagsOf(signature?.value ?? '').h).toBe('from:subject');
    expect(verifyOwn(spaced, bodyOf(''), signature?.field ?? '', ed25519.publicKey)).toEqual({ kind: 'valid' });
  });

  test('may be larger than the buffer kept for them', async () => {
    const large = fields('From: a@example.com', `Subject: ${'x'.repeat(40_000)}`, `To: ${'y'.repeat(900_000)}`);
    for (const { field, key } of await signMessage(large, bodyOf(''), keys, { timestamp })) {
      expect(verifyOwn(large, bodyOf(''), field, createPublicKey(key.privateKey))).toEqual({ kind: 'valid' });
    }
  });

  test('of messages signed at the same time do not mix', async () => {
    const signer = prepareSigner({});
    const mails = Array.from({ length: 40 }, (_, index) => fields('From: a@example.com', `Subject: ${index}`));
    const body = bodyOf('');
    const signed = await Promise.all(mails.map((mail) => signer.sign(mail, body, keys, timestamp)));
    for (const [index, signatures] of signed.entries()) {
      for (const { field, key } of signatures) {
        const publicKey = createPublicKey(key.privateKey);
        expect(verifyOwn(mails[index] ?? [], body, field, publicKey)).toEqual({ kind: 'valid' });
        expect(verifyOwn(mails[index + 1] ?? [], body, field, publicKey).kind).toBe('invalid');
      }
    }
  });
});

describe('what cannot be signed', () => {
  async function reasonOf(attempt: Promise<unknown>): Promise<string> {
    const problem = await attempt.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(problem).toBeInstanceOf(SigningError);
    return problem instanceof SigningError ? problem.reason : '';
  }

  test('a message without From', async () => {
    expect(await reasonOf(signMessage(fields('To: x'), bodyOf(''), keys, { timestamp }))).toBe('no-from');
    expect(await reasonOf(signMessage([], bodyOf(''), keys, { timestamp }))).toBe('no-from');
  });

  test('a body that was hashed for another canonicalization', async () => {
    expect(await reasonOf(signMessage(headers, bodyOf('', ['simple']), keys, { timestamp }))).toBe('no-body-hash');
  });

  test('a key of another kind, a name that is none, an identity elsewhere', async () => {
    const [rsaKey, edKey] = keys as [SigningKey, SigningKey];
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const unfit: SigningKey[] = [
      { ...rsaKey, privateKey: edKey.privateKey },
      { ...rsaKey, privateKey: ec },
      { ...rsaKey, privateKey: rsa.publicKey },
      { ...rsaKey, domain: 'exa mple.com' },
      { ...rsaKey, domain: 'example.com; l=0' },
      { ...rsaKey, selector: '' },
      { ...rsaKey, selector: 'a..b' },
      { ...rsaKey, selector: 's\r\n' },
    ];
    for (const key of unfit) {
      expect(await reasonOf(signMessage(headers, bodyOf(''), [edKey, key], { timestamp }))).toBe('unfit-key');
    }
    for (const identity of ['a@example.org', 'example.com', 'a@notexample.com', 'a@', 'a@b c.example.com']) {
      const attempt = signMessage(headers, bodyOf(''), keys, { timestamp, identity });
      expect(await reasonOf(attempt)).toBe('unfit-identity');
    }
  });

  test('no keys give no signatures', async () => {
    expect(await signMessage(headers, bodyOf(''), [], { timestamp })).toEqual([]);
  });
});

describe('the test of oneself', () => {
  test('takes a field with LF folds for what it is', async () => {
    const options = { timestamp, lineEnd: 'lf', canonicalization: { header: 'simple', body: 'simple' } } as const;
    const body = bodyOf('x', ['simple']);
    const [signature] = await signMessage(headers, body, keys, options);
    expect(verifyOwn(headers, body, signature?.field ?? '', rsa.publicKey)).toEqual({ kind: 'valid' });
  });

  test('says what is wrong', async () => {
    const body = bodyOf('x');
    const [signature] = await signMessage(headers, body, keys, { timestamp });
    const field = signature?.field ?? '';
    const verdict = (text: string, hashes = body, key = rsa.publicKey) => verifyOwn(headers, hashes, text, key);
    expect(verdict('')).toEqual({ kind: 'invalid', reason: 'not-a-signature' });
    expect(verdict(field.replace('DKIM-', 'ARC-'))).toEqual({ kind: 'invalid', reason: 'not-a-signature' });
    expect(verdict(field.replace('h=from:from:', 'h='))).toEqual({ kind: 'invalid', reason: 'not-a-signature' });
    expect(verdict(field.replace('b=', 'b=!'))).toEqual({ kind: 'invalid', reason: 'not-a-signature' });
    expect(verdict(field.replace('v=1;', 'v=1; l=0;'))).toEqual({ kind: 'invalid', reason: 'unsupported' });
    expect(verdict(field, bodyOf('y'))).toEqual({ kind: 'invalid', reason: 'other-body' });
    expect(verdict(field, bodyOf('x', ['simple']))).toEqual({ kind: 'invalid', reason: 'no-body-hash' });
    expect(verdict(field, body, ed25519.publicKey)).toEqual({ kind: 'invalid', reason: 'unsupported' });
    expect(verdict(field.replace('t=1700000000', 't=1700000001'))).toEqual({
      kind: 'invalid',
      reason: 'bad-signature',
    });
  });
});

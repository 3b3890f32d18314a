/** What we sign, others verify: mailauth, dkimpy and Mail::DKIM, on messages made up at random. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BodyHasher } from '../../src/dkim/body-hash.ts';
import { generateKeyPair, publicKeyData } from '../../src/dkim/key-pair.ts';
import { buildKeyRecord } from '../../src/dkim/key-record.ts';
import { prepareSigner, type SignerOptions } from '../../src/dkim/sign.ts';
import type { Canonicalization, HeaderField, SigningKey } from '../../src/dkim/types.ts';
import { verifyOwn } from '../../src/dkim/verify-own.ts';
import { dkimpy, haveDkimpy, haveMailDkim, mailauth, mailDkim, type Records, type Verifier } from './verifiers.ts';

/** A moment in the past, so that no verifier thinks the signature comes from the future. */
const timestamp = 1_700_000_000;

const rsa = await generateKeyPair({ algorithm: 'rsa', bits: 2048 });
const ed25519 = await generateKeyPair({ algorithm: 'ed25519' });
const domain = 'example.com';
const keys: readonly SigningKey[] = [
  { domain, selector: 'rsa', algorithm: 'rsa-sha256', privateKey: rsa.privateKey },
  { domain, selector: 'ed', algorithm: 'ed25519-sha256', privateKey: ed25519.privateKey },
];
const records: Records = {
  'rsa._domainkey.example.com.': buildKeyRecord({ algorithm: 'rsa', publicKey: publicKeyData(rsa.publicKey) }),
  'ed._domainkey.example.com.': buildKeyRecord({ algorithm: 'ed25519', publicKey: publicKeyData(ed25519.publicKey) }),
};

interface Mail {
  /** Whole fields, folds as CRLF. */
  readonly fields: readonly Buffer[];
  readonly body: Buffer;
}

function headerFields(mail: Mail): HeaderField[] {
  return mail.fields.map((raw) => ({ name: raw.subarray(0, raw.indexOf(':')).toString('latin1').trimEnd(), raw }));
}

/** What the signer is given: lines may end in LF there, as milters get folds, while the message travels with CRLF. */
function handedOver(mail: Mail, lineEnd: 'crlf' | 'lf'): Mail {
  if (lineEnd === 'crlf') return mail;
  const withLf = (octets: Buffer): Buffer => Buffer.from(octets.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
  return { fields: mail.fields.map(withLf), body: withLf(mail.body) };
}

async function sign(
  mail: Mail,
  options: SignerOptions & { canonicalization: { header: Canonicalization; body: Canonicalization } },
): Promise<Buffer> {
  const given = handedOver(mail, options.lineEnd ?? 'crlf');
  const signer = prepareSigner(options);
  const hasher = new BodyHasher([signer.bodyCanonicalization]);
  hasher.update(given.body);
  const hashes = hasher.finish();
  const headers = headerFields(given);
  const signatures = await signer.sign(headers, hashes, keys, timestamp);
  for (const { field, key } of signatures) {
    const pair = key.algorithm === 'rsa-sha256' ? rsa : ed25519;
    expect(verifyOwn(headers, hashes, field, pair.publicKey)).toEqual({ kind: 'valid' });
  }
  const lines = [
    ...signatures.map(({ field }) => Buffer.from(field.replaceAll(/\r?\n/g, '\r\n'), 'latin1')),
    ...mail.fields,
  ];
  return Buffer.concat([...lines.flatMap((line) => [line, Buffer.from('\r\n')]), Buffer.from('\r\n'), mail.body]);
}

/** Octets that MTAs hand over: anything but CR and LF, with much white space and some NUL and 8-bit among them. */
const octet = fc.oneof(
  { weight: 10, arbitrary: fc.integer({ min: 0x21, max: 0x7e }) },
  { weight: 5, arbitrary: fc.constantFrom(0x20, 0x09) },
  { weight: 1, arbitrary: fc.integer({ min: 0x80, max: 0xff }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0x1f }).filter((code) => code !== 10 && code !== 13) },
);
const isEdgeSpace = (code: number | undefined): boolean => code === 0x0b || code === 0x0c;
/**
 * Verifiers strip vertical tabs and form feeds from the ends of a value as if they were white space, which RFC 6376 does not
 * say: mail with those there is left out. Elsewhere they stay in.
 */
const line = fc
  .array(octet, { maxLength: 60 })
  .map((octets) => Buffer.from(octets.some(isEdgeSpace) && octets.length > 0 ? [0x2a, ...octets, 0x2a] : octets));
const content = line.filter((octets) => octets.toString('latin1').replaceAll(/[ \t]/g, '') !== '');

const fieldName = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom('To', 'SUBJECT', 'subject', 'Cc', 'Date', 'Message-ID', 'List-Unsubscribe', 'Received'),
  },
  { weight: 1, arbitrary: fc.stringMatching(/^X-[!-9;-~]{1,30}$/) },
);
const field = fc
  .tuple(fieldName, fc.array(fc.tuple(fc.constantFrom(' ', '\t', '  ', '\t \t'), content), { maxLength: 4 }), line)
  .map(([name, folds, first]) =>
    Buffer.concat([
      Buffer.from(`${name}:`),
      first,
      ...folds.flatMap(([space, text]) => [Buffer.from(`\r\n${space}`), text]),
    ]),
  );
const from = fc
  .constantFrom('From: a@example.com', 'from:"A  B"\t<a@example.com> ', 'FROM:\r\n\tA (c)\r\n  <a@example.com>')
  .map((text) => Buffer.from(text, 'latin1'));
const bodyLine = fc.oneof(
  { weight: 6, arbitrary: line },
  { weight: 2, arbitrary: fc.constantFrom('', ' ', '\t  \t', '   ').map((text) => Buffer.from(text)) },
  { weight: 1, arbitrary: fc.integer({ min: 900, max: 20_000 }).map((length) => Buffer.alloc(length, 'long  ')) },
);
const body = fc
  .array(bodyLine, { maxLength: 12 })
  .map((lines) => Buffer.concat(lines.flatMap((text) => [text, Buffer.from('\r\n')])));
const mail = fc
  .tuple(from, fc.array(field, { maxLength: 8 }), fc.nat(), body)
  .map(([author, fields, place, text]): Mail => {
    const all = [...fields];
    all.splice(place % (all.length + 1), 0, author);
    return { fields: all, body: text };
  });
const canonicalization = fc.record({
  header: fc.constantFrom<Canonicalization>('relaxed', 'simple'),
  body: fc.constantFrom<Canonicalization>('relaxed', 'simple'),
});
const options = fc.record({
  canonicalization,
  oversignedHeaders: fc.constantFrom<readonly string[]>(['from'], ['from', 'to', 'subject', 'x-none'], []),
  lineEnd: fc.constantFrom<'crlf' | 'lf'>('crlf', 'lf'),
  identity: fc.constantFrom('a@example.com', '@news.example.com', 'a=b;c@example.com'),
});

const verifiers = [
  { name: 'mailauth', start: mailauth, here: true },
  { name: 'dkimpy', start: dkimpy, here: haveDkimpy() },
  { name: 'Mail::DKIM', start: mailDkim, here: haveMailDkim() },
];

describe.each(verifiers)('$name', ({ start, here }) => {
  describe.skipIf(!here)('when installed', () => {
    let verifier: Verifier;
    beforeAll(() => {
      verifier = start(records);
    });
    afterAll(() => verifier[Symbol.asyncDispose]());

    async function expectPass(message: Buffer): Promise<void> {
      const verdicts = await verifier.verify(message);
      const wanted = keys.map(({ algorithm }) => verifier.algorithms.includes(algorithm));
      const known = verdicts.filter((_, index) => wanted[index]);
      expect(known).toEqual(wanted.filter(Boolean).map(() => 'pass'));
    }

    test('verifies whatever an MTA may hand over', { timeout: 120_000 }, async () => {
      await fc.assert(
        fc.asyncProperty(mail, options, async (message, chosen) => expectPass(await sign(message, chosen))),
        { numRuns: 800 },
      );
    });

    test.each<Canonicalization>(['relaxed', 'simple'])('says no to a changed message (%s)', async (how) => {
      const chosen = { canonicalization: { header: how, body: how } } as const;
      const original: Mail = {
        fields: ['From: a@example.com', 'Subject: hello', 'To: b@example.net'].map((text) => Buffer.from(text)),
        body: Buffer.from('One\r\nTwo\r\n'),
      };
      const signed = (await sign(original, chosen)).toString('latin1');
      await expectPass(Buffer.from(signed, 'latin1'));
      const changes = [
        signed.replace('One', 'one'),
        signed.replace('hello', 'hallo'),
        signed.replace('From: a@', 'From: c@'),
        signed.replace('Subject:', 'Subject: another\r\nSubject:'),
        signed.replace('From: a@', 'From: c@example.com\r\nFrom: a@'),
      ];
      for (const changed of changes) {
        const verdicts = await verifier.verify(Buffer.from(changed, 'latin1'));
        expect(verdicts.length).toBeGreaterThan(0);
        expect(verdicts).not.toContain('pass');
      }
    });
  });
});

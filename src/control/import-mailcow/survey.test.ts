import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { MailcowHashes } from './source.ts';
import { type MailcowSurvey, surveyMailcow } from './survey.ts';

const pairs = Array.from({ length: 3 }, () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  return {
    pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString().trim(),
    pkcs1: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
    spki: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
  };
});
const [one, two, three] = pairs as [(typeof pairs)[0], (typeof pairs)[0], (typeof pairs)[0]];

function hashes(
  active: ReadonlyArray<readonly [domain: string, selector: string, pair: typeof one]>,
  more: { readonly privateKeys?: Record<string, string>; readonly domains?: readonly string[] } = {},
): MailcowHashes {
  return {
    publicKeys: new Map(active.map(([domain, , { spki }]) => [domain, spki])),
    selectors: new Map(active.map(([domain, selector]) => [domain, selector])),
    privateKeys: new Map([
      ...active.map(([domain, selector, { pem }]) => [`${selector}.${domain}`, pem] as const),
      ...Object.entries(more.privateKeys ?? {}),
    ]),
    domains: more.domains === undefined ? null : new Set(more.domains),
    complete: true,
  };
}

const survey = (given: MailcowHashes, patterns = ['dkim-*'], only: string[] = []): Promise<MailcowSurvey> =>
  surveyMailcow(given, { shadowPatterns: patterns, only });
const keysOf = ({ domains }: MailcowSurvey) =>
  Object.fromEntries(domains.map(({ name, keys }) => [name, keys.map(({ role, selector }) => `${role} ${selector}`)]));

describe('a survey of mailcow', () => {
  test('gives a private key to the longest domain that its field can belong to', async () => {
    const found = await survey(
      hashes(
        [
          ['example.com', 's1', one],
          ['mail.example.com', 's1', two],
        ],
        {
          privateKeys: { 'old.mail.example.com': three.pem, 'old.example.com': three.pkcs1, 'x.y.other.test': one.pem },
        },
      ),
    );
    expect(keysOf(found)).toEqual({
      'example.com': ['active s1', 'blind old'],
      'mail.example.com': ['active s1', 'blind old'],
    });
    expect(found.orphans).toEqual([expect.objectContaining({ kind: 'key-without-domain', what: 'x.y.other.test' })]);
  });

  test('names two domains that sign with one field, for a selector has a dot', async () => {
    const found = await survey(
      hashes([
        ['example.com', 's1.mail', one],
        ['mail.example.com', 's1', one],
      ]),
    );
    expect(found.orphans).toEqual([expect.objectContaining({ kind: 'collision', what: 's1.mail.example.com' })]);
  });

  test('tells helper domains by their names, with the nearest domain above that there is', async () => {
    const given = hashes(
      [
        ['example.com', 's1', one],
        ['dkim-1.example.com', 'k1', two],
        ['dkim-2.sub.example.com', 'k2', two],
        ['dkim-3.elsewhere.test', 'k3', two],
        ['spare.keys.example.com', 'k4', three],
      ],
      { domains: ['example.com', 'sub.example.com'] },
    );
    const found = await survey(given, ['dkim-*', '*.keys.example.com']);
    expect(found.domains.map(({ name, kind, shadowOf }) => [name, kind, shadowOf])).toEqual([
      ['dkim-1.example.com', 'shadow', 'example.com'],
      ['dkim-2.sub.example.com', 'shadow', 'sub.example.com'],
      ['dkim-3.elsewhere.test', 'shadow', null],
      ['example.com', 'mail', null],
      ['spare.keys.example.com', 'shadow', 'example.com'],
    ]);
    const only = await survey(given, ['dkim-*'], ['example.com']);
    expect(only.domains.map(({ name }) => name)).toEqual(['dkim-1.example.com', 'example.com']);
    expect(only.orphans).toEqual([]);
  });

  test('takes a copy of the key above for a perhaps: DNS decides', async () => {
    const found = await survey(
      hashes([
        ['example.com', 's1', one],
        ['shop.example.com', 's1', one],
        ['other.test', 's1', one],
      ]),
    );
    expect(found.domains.map(({ name, kind, perhapsShadowOf }) => [name, kind, perhapsShadowOf])).toEqual([
      ['example.com', 'mail', null],
      ['other.test', 'mail', null],
      ['shop.example.com', 'mail', 'example.com'],
    ]);
  });

  test.each([
    ['capital letters', hashes([['example.com', 'S1', one]]), 'unusable-name'],
    ['no selector', hashes([['example.com', '', one]]), 'unusable-name'],
    ['no key', { ...hashes([['example.com', 's1', one]]), privateKeys: new Map() }, 'selector-without-key'],
    ['a broken key', hashes([['example.com', 's1', { ...one, pem: one.pem.slice(0, 300) }]]), 'unreadable-key'],
  ] as const)(
    'reports a domain with %s instead of taking it over, and shows nothing of the key',
    async (_what, given, kind) => {
      const found = await survey(given);
      expect(found.domains).toEqual([]);
      expect(found.orphans.map((orphan) => orphan.kind)).toContain(kind);
      expect(JSON.stringify(found)).not.toContain(one.pem.slice(60, 100));
    },
  );
});

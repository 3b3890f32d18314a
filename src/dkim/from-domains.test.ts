import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromDomains } from './from-domains.ts';
import type { HeaderField } from './types.ts';

function from(...values: string[]): HeaderField[] {
  return values.map((value) => ({ name: 'From', raw: Buffer.from(`From:${value}`) }));
}

function one(value: string): string {
  const result = fromDomains(from(value));
  return result.kind === 'one' ? result.domain : JSON.stringify(result);
}

describe('one author domain', () => {
  test.each([
    [' a@example.com', 'example.com'],
    [' <a@Example.COM>', 'example.com'],
    [' "Last, First" <a@example.com>', 'example.com'],
    [' "a@evil.example" <a@example.com>', 'example.com'],
    [' "quo\\"te <a@evil.example>" <a@example.com>', 'example.com'],
    [' a@evil.example <a@example.com>', 'example.com'],
    [' =?utf-8?q?J=C3=B6rg_=3Ca=40evil=2Eexample=3E?= <a@example.com>', 'example.com'],
    [' J. Q. Public (who? (nested <a@evil.example>) \\)) <a@example.com> (b@evil.example)', 'example.com'],
    [' Jörg <a@example.com>', 'example.com'],
    [' a@example.com (Name)', 'example.com'],
    [' (a@evil.example) a@example.com', 'example.com'],
    [' "a@b"@example.com', 'example.com'],
    [' "a b"@example.com', 'example.com'],
    ['\r\n <a@example.com>', 'example.com'],
    [' <a@\r\n\texample.com>', 'example.com'],
    [' a @ example . com', 'example.com'],
    [' <@relay.example,@other.example:a@example.com>', 'example.com'],
    [' a@example.com, b@example.com', 'example.com'],
    [' , a@example.com,,', 'example.com'],
    [' Doe, John <a@example.com>', 'example.com'],
    [' Team: a@example.com, b@example.com;', 'example.com'],
    [' [Bracketed] Name <a@example.com>', 'example.com'],
    [' a@localhost', 'localhost'],
    [' a@xn--bcher-kva.example', 'xn--bcher-kva.example'],
    [' a@BÜCHER.example', 'xn--bcher-kva.example'],
  ])('%j', (value, domain) => {
    expect(one(value)).toBe(domain);
  });
});

test('several author domains', () => {
  expect(fromDomains(from('a@example.com, "x" <b@example.org>, c@EXAMPLE.com'))).toEqual({
    kind: 'several',
    domains: ['example.com', 'example.org'],
  });
});

test('no From, several From', () => {
  expect(fromDomains([])).toEqual({ kind: 'missing' });
  expect(fromDomains([{ name: 'X-From', raw: Buffer.from('X-From: a@b') }])).toEqual({ kind: 'missing' });
  const fields = [...from('a@example.com', '<b@example.org>', 'junk@')];
  expect(fromDomains(fields)).toEqual({ kind: 'repeated', count: 3, domains: ['example.com', 'example.org'] });
  expect(
    fromDomains([...from('a@example.com'), { name: 'From ', raw: Buffer.from('From : b@b.example') }]),
  ).toMatchObject({
    kind: 'repeated',
  });
  expect(fromDomains([{ name: 'FROM', raw: Buffer.from('FROM : a@example.com') }])).toMatchObject({ kind: 'one' });
});

test.each([
  ['', 'no-address'],
  [' ', 'no-address'],
  ['nobody', 'no-address'],
  ['undisclosed: ;', 'no-address'],
  ['<>', 'no-address'],
  ['"a@example.com', 'unclosed-quote'],
  ['(a@example.com', 'unclosed-comment'],
  ['<a@example.com', 'unclosed-bracket'],
  ['a@[192.0.2.1', 'unclosed-bracket'],
  ['a@example.com>', 'misplaced-character'],
  ['<<a@example.com>>', 'misplaced-character'],
  ['<a@example.com> <b@example.org>', 'misplaced-character'],
  ['<a@example.com> b@example.org', 'misplaced-character'],
  ['a@b@example.com', 'misplaced-character'],
  ['@example.com', 'misplaced-character'],
  ['a@example.com; b@example.org', 'misplaced-character'],
  ['x: y: a@example.com;', 'misplaced-character'],
  ['a@[192.0.2.1]', 'address-literal'],
  ['a@', 'bad-domain'],
  ['a@.example.com', 'bad-domain'],
  ['a@example..com', 'bad-domain'],
  ['a@exam ple.com', 'bad-domain'],
  ['a@"example.com"', 'bad-domain'],
  ['a@example.com/path', 'bad-domain'],
  [`a@${'x'.repeat(64)}.com`, 'bad-domain'],
  ['=?utf-8?q?a@example.com?=', 'bad-domain'],
  ['a@exa\0mple.com', 'bad-domain'],
  ['a@\ufffd.com', 'bad-domain'],
])('%j is unreadable', (value, reason) => {
  expect(fromDomains(from(value))).toEqual({ kind: 'unreadable', reason });
});

test('never an error, and only domains come out', () => {
  const unit = fc.constantFrom(
    'a',
    '@',
    '.',
    'example.com',
    '<',
    '>',
    '"',
    '(',
    ')',
    '[',
    ']',
    '\\',
    ',',
    ':',
    ';',
    ' ',
    '\r\n ',
    'ü',
    '\0',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(unit, { maxLength: 30 }).map((all) => all.join('')),
        fc.string({ unit: 'binary' }),
      ),
      (value) => {
        const result = fromDomains(from(value));
        const domains = result.kind === 'one' ? [result.domain] : result.kind === 'several' ? result.domains : [];
        for (const domain of domains) expect(domain).toMatch(/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/);
      },
    ),
    { numRuns: 10_000 },
  );
});

test.each(['(', '"', '<', '[', '@[', ',', ':', ';', '\\', 'a@b,', '()', 'ü', ' ', '(\\'])(
  'a million times %j costs no more than its length',
  { timeout: 10_000 },
  (unit) => {
    expect(['one', 'several', 'unreadable']).toContain(fromDomains(from(unit.repeat(1_000_000))).kind);
  },
);

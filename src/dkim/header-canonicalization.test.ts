import fc from 'fast-check';
import { expect, test } from 'vitest';
import { appendHeader, canonicalHeaderRoom } from './header-canonicalization.ts';
import type { Canonicalization } from './types.ts';

function canonical(field: string, canonicalization: Canonicalization): string {
  const raw = Buffer.from(field, 'latin1');
  const output = Buffer.alloc(canonicalHeaderRoom(raw.length) + 3);
  const end = appendHeader(raw, canonicalization, output, 3);
  return output.subarray(3, end).toString('latin1');
}

test('the example of RFC 6376 section 3.4.5', () => {
  expect(canonical('A: X', 'relaxed')).toBe('a:X\r\n');
  expect(canonical('B : Y\t\r\n\tZ  ', 'relaxed')).toBe('b:Y Z\r\n');
  expect(canonical('B : Y\t\r\n\tZ  ', 'simple')).toBe('B : Y\t\r\n\tZ  \r\n');
});

test('folds may come as bare LF, as milters get them', () => {
  expect(canonical('To: a,\n b', 'relaxed')).toBe('to:a, b\r\n');
  expect(canonical('To: a,\n b', 'simple')).toBe('To: a,\r\n b\r\n');
});

test.each([
  ['Subject:', 'subject:\r\n'],
  ['Subject: \r\n \t', 'subject:\r\n'],
  ['Subject:\0 \xe9', 'subject:\0 \xe9\r\n'],
  ['Subject: a\rb', 'subject:a\rb\r\n'],
  ['no colon', 'no colon:\r\n'],
  ['', ':\r\n'],
])('relaxed %j', (field, wanted) => {
  expect(canonical(field, 'relaxed')).toBe(wanted);
});

test('relaxed agrees with the standard told in regular expressions, for any field', () => {
  const unit = fc.constantFrom(' ', '\t', '\r\n ', '\r\n\t', 'a', 'B', ':', '\0', '\xff', '\r', ' \t ');
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 30 }), (pieces) => {
      const value = pieces.join('');
      const wanted = value
        .replaceAll('\r\n', '')
        .replaceAll(/[ \t]+/g, ' ')
        .replaceAll(/^ | $/g, '');
      expect(canonical(`Some-Name \t:${value}`, 'relaxed')).toBe(`some-name:${wanted}\r\n`);
      expect(canonical(`Some-Name:${value}`, 'simple')).toBe(`Some-Name:${value}\r\n`);
    }),
    { numRuns: 5000 },
  );
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { describeTagListDefect, parseTagList, withoutFolds } from './tag-list.ts';

test('tags keep their order, case and inner white space', () => {
  expect(parseTagList(' v = 1;\r\n\tB=a  b ;x_1=; c=d=e;')).toEqual({
    ok: true,
    tags: [
      { name: 'v', value: '1' },
      { name: 'B', value: 'a  b' },
      { name: 'x_1', value: '' },
      { name: 'c', value: 'd=e' },
    ],
  });
});

test.each([
  ['', { kind: 'empty' }],
  [' \r\n ', { kind: 'empty' }],
  [';', { kind: 'empty' }],
  [';a=1', { kind: 'empty-tag', index: 0 }],
  ['a=1;;b=2', { kind: 'empty-tag', index: 1 }],
  ['a=1; ;', { kind: 'empty-tag', index: 1 }],
  ['v=1; nonsense', { kind: 'no-equals-sign', index: 1 }],
  ['=1', { kind: 'bad-name', index: 0 }],
  ['1a=1', { kind: 'bad-name', index: 0 }],
  ['a-b=1', { kind: 'bad-name', index: 0 }],
  ['a b=1', { kind: 'bad-name', index: 0 }],
  ['"v=1"', { kind: 'bad-name', index: 0 }],
  ['a=1; b=\0', { kind: 'bad-value', index: 1, tag: 'b' }],
  ['a=é', { kind: 'bad-value', index: 0, tag: 'a' }],
  ['a=1\r\n2', { kind: 'bad-value', index: 0, tag: 'a' }],
  ['a=1\r2', { kind: 'bad-value', index: 0, tag: 'a' }],
  ['a=1; b=2; a=1', { kind: 'duplicate', index: 2, tag: 'a' }],
])('%j is refused', (text, defect) => {
  const result = parseTagList(text);
  expect(result).toEqual({ ok: false, defect });
  if (!result.ok) expect(describeTagListDefect(result.defect)).toMatch(/^(it is empty|tag \d+ .*)$/);
});

test('white space after the last semicolon does no harm, names differ by case', () => {
  expect(parseTagList('a=1; A=2; \r\n ')).toMatchObject({ ok: true, tags: [{ name: 'a' }, { name: 'A' }] });
});

test('any string is parsed without an error, and what was parsed is found again', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'ab=;: \t\r\n') })), (text) => {
      const result = parseTagList(text);
      if (!result.ok) return;
      const again = parseTagList(result.tags.map(({ name, value }) => `${name}=${value}`).join(';'));
      expect(again).toEqual(result);
    }),
    { numRuns: 5000 },
  );
});

test('a million semicolons and a million spaces take no time', () => {
  expect(parseTagList(';'.repeat(1_000_000)).ok).toBe(false);
  expect(parseTagList(`a=${' '.repeat(1_000_000)}x`)).toEqual({ ok: true, tags: [{ name: 'a', value: 'x' }] });
  expect(withoutFolds(`a${' \r\n'.repeat(300_000)}b`)).toBe('ab');
});

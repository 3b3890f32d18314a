import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { glob } from './glob.ts';

describe('glob', () => {
  it.each([
    ['*@example.com', 'Joe@Example.COM', true],
    ['*@example.com', 'joe@example.org', false],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['*', '', true],
    ['', '', true],
    ['a*b*c', 'aXXbYYbZZc', true],
    ['a*b*c', 'aXXbYYbZZ', false],
    ['**x', 'yx', true],
    ['plain', 'Plain', true],
    ['a.c', 'abc', false],
  ])('%s and %s: %s', (pattern, text, expected) => {
    expect(glob(pattern)(text)).toBe(expected);
  });

  it('agrees with a regular expression', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 12 });
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 8 });
    fc.assert(
      fc.property(pattern, text, (wanted, given) => {
        const expression = wanted.replaceAll('.', '\\.').replaceAll('?', '.').replaceAll(/\*+/g, '.*');
        expect(glob(wanted)(given)).toBe(new RegExp(`^${expression}$`, 's').test(given));
      }),
      { numRuns: 1000 },
    );
  });

  it('takes no more steps than pattern times text for what makes backtracking explode', () => {
    // A backtracking matcher would need some 10^20 steps here and never come back.
    expect(glob(`${'*a'.repeat(30)}*b`)('a'.repeat(20_000))).toBe(false);
  });
});

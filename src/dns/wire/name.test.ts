import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyName } from '../../../tests/dns/wire-arbitraries.ts';
import { WireError } from './error.ts';
import { isSubdomain, labelCount, nameKey, nameLabels, normalizeName, parent, sameName } from './name.ts';

describe('names', () => {
  it('keep every octet through their text', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 4 }), (labels) => {
        const escaped = labels.map((label) => Array.from(label, (o) => `\\${String(o).padStart(3, '0')}`).join(''));
        const text = normalizeName(escaped.join('.'));
        expect(nameLabels(text).map((label) => [...label])).toEqual(labels.map((label) => [...label]));
        expect(normalizeName(text)).toBe(text);
      }),
    );
  });

  it.each([
    ['example.com.', 'example.com'],
    ['.', '.'],
    ['', '.'],
    ['a\\.b.c', 'a\\.b.c'],
    ['\\097b', 'ab'],
    ['\\x', 'x'],
    ['a b', 'a\\032b'],
    ['hostmaster@x', 'hostmaster\\@x'],
    ['\\000\\255', '\\000\\255'],
  ])('writes %j as %j', (given, expected) => {
    expect(normalizeName(given)).toBe(expected);
  });

  it.each([
    ['an empty label', 'a..b'],
    ['a dot at the start', '.a'],
    ['a label of 64 octets', 'x'.repeat(64)],
    ['a name of 256 octets', Array(4).fill('x'.repeat(63)).join('.')],
    ['an escape at the end', 'a\\'],
    ['an octet over 255', '\\256'],
    ['a short escape', '\\1'],
    ['a letter outside ASCII', 'bücher.example'],
    ['an escaped letter outside ASCII', '\\ü'],
  ])('refuses %s', (_, name) => {
    expect(() => nameLabels(name)).toThrow(WireError);
  });

  it('takes the longest name that the wire allows', () => {
    const name = [...Array(3).fill('x'.repeat(63)), 'y'.repeat(61)].join('.');
    expect(nameLabels(name)).toHaveLength(4);
    expect(() => nameLabels(`${name}y`)).toThrow(/longer than 255/);
  });

  it('compares without the case of ASCII letters, and of nothing else', () => {
    expect(sameName('S1._DomainKey.Example.COM', 's1._domainkey.example.com.')).toBe(true);
    expect(sameName('\\065.b', 'a.b')).toBe(true);
    expect(sameName('\\196', '\\228')).toBe(false);
    expect(sameName('a.b', 'a\\.b')).toBe(false);
    expect(nameKey('EXAMPLE.com')).toBe('example.com');
  });

  it('knows what lies beneath what', () => {
    expect(isSubdomain('s1._domainkey.example.com', 'Example.com')).toBe(true);
    expect(isSubdomain('example.com', 'example.com')).toBe(true);
    expect(isSubdomain('example.com', '.')).toBe(true);
    expect(isSubdomain('notexample.com', 'example.com')).toBe(false);
    expect(isSubdomain('com', 'example.com')).toBe(false);
    expect(isSubdomain('a\\.example.com', 'example.com')).toBe(false);
    expect(isSubdomain('a\\\\.example.com', 'example.com')).toBe(true);
  });

  it('climbs to the root in as many steps as there are labels', () => {
    fc.assert(
      fc.property(anyName, (name) => {
        let steps = 0;
        for (let at = parent(name); at !== null; at = parent(at)) {
          expect(isSubdomain(name, at)).toBe(true);
          steps++;
        }
        expect(steps).toBe(labelCount(name));
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sameField } from './one-field.ts';

describe('two names of one field', () => {
  test('a dotted selector is a subdomain’s, and the other way round', () => {
    expect(sameField('example.com', 's1.mail')).toEqual([{ domain: 'mail.example.com', selector: 's1' }]);
    expect(sameField('mail.example.com', 's1')).toEqual([{ domain: 'example.com', selector: 's1.mail' }]);
    expect(sameField('example.com', 's1')).toEqual([]);
  });

  test('every other reading is the same text, and finds this one in turn', () => {
    const label = fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/);
    const name = (least: number, most: number) =>
      fc.array(label, { minLength: least, maxLength: most }).map((labels) => labels.join('.'));
    fc.assert(
      fc.property(name(2, 5), name(1, 3), (domain, selector) => {
        for (const other of sameField(domain, selector)) {
          expect(`${other.selector}.${other.domain}`).toBe(`${selector}.${domain}`);
          expect(other).not.toEqual({ domain, selector });
          expect(sameField(other.domain, other.selector)).toContainEqual({ domain, selector });
        }
      }),
    );
  });
});

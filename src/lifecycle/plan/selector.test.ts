import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { newLife } from '../testing.ts';

function selectorsFrom(selectorTemplate: string): readonly string[] {
  const life = newLife({ selectorTemplate, standby: 3 });
  life.live(1000);
  return life.keys().map((key) => key.selector);
}

it('fills the template in, and counts where it must', () => {
  expect(selectorsFrom('{stream}-{date}-{algorithm}{n}').slice(0, 2)).toEqual([
    'default-20261124-rsa1',
    'default-20261124-rsa2',
  ]);
  expect(selectorsFrom('{algorithm}').slice(0, 2)).toEqual(['rsa', 'rsa2']);
});

it('makes valid and distinct labels of any template', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 90 }), fc.boolean(), (text, numbered) => {
      const selectors = selectorsFrom(numbered ? `${text}{n}` : text);
      expect(new Set(selectors).size).toBe(8);
      for (const label of selectors.flatMap((selector) => selector.split('.'))) {
        expect(label).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
      }
    }),
    { numRuns: 200 },
  );
});

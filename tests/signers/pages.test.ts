import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { parseConfig } from '../../src/control/config/load.ts';
import { readable } from '../../src/control/config/show.ts';

const pages = ['exec', 'exim', 'files', 'opendkim', 'webhook'];

test.each(pages)(
  'the configurations that docs/signers/%s.md shows are right, and can be shown and read back',
  (page) => {
    const text = readFileSync(new URL(`../../docs/signers/${page}.md`, import.meta.url), 'utf8');
    const examples = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml]) => yaml ?? '');
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) {
      const whole = example.startsWith('signers:') ? example : `signers:\n${example}`;
      const config = parseConfig(whole, page);
      expect((parse(whole) as { signers: unknown[] }).signers).toHaveLength(config.signers.length);
      const { signers } = parseConfig(stringify(readable(config)), 'shown');
      expect(signers).toEqual(config.signers);
    }
  },
);

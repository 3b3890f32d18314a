import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { checkLayers, importsOf, violationsOf } from '../../scripts/layers.ts';

const packages = new Set(['zod', '@scope/kept']);
const check = (file: string, source: string): string[] =>
  violationsOf(file, source, packages).map((found) => found.why);

describe('layers', () => {
  test('every import of the program points downward', () => {
    const { files, violations } = checkLayers(fileURLToPath(new URL('../..', import.meta.url)));
    expect(violations).toEqual([]);
    expect(files).toBeGreaterThan(5);
  });

  test.each([
    ['src/cli/a.ts', "import { x } from '../control/b.ts';"],
    ['src/control/a.ts', "import type { X } from '../dkim/b.ts';"],
    ['src/dns/publish/a.ts', "export * from '../wire/message.ts';"],
    ['src/signers/a.ts', "import { z } from 'zod';\nimport { connect } from 'node:net';"],
    ['src/store/a.ts', "const { x } = await import('@scope/kept/sub.js');"],
    ['src/lifecycle/a.ts', "import { createHash } from 'node:crypto';"],
    ['src/lifecycle/simulate/main.ts', "import { parseArgs } from 'node:util';"],
    ['src/lifecycle/a.test.ts', "import { test } from 'vitest';\nimport '../cli/main.ts';"],
    ['src/cli/a.ts', " * import { x } from '../../elsewhere.ts';"],
  ])('%s may say %s', (file, source) => {
    expect(check(file, source)).toEqual([]);
  });

  test.each([
    ['src/lifecycle/a.ts', "import { x } from '../store/b.ts';", 'store lies above lifecycle'],
    ['src/dkim/a.ts', "import type { X } from '../lifecycle/types.ts';", 'lifecycle lies above dkim'],
    ['src/store/a.ts', "import {\n  x,\n  y,\n} from '../signers/b.ts';", 'store and signers lie side by side'],
    ['src/dns/lookup/a.ts', "export { x } from '../../store/b.ts';", 'dns and store lie side by side'],
    ['src/api/a.ts', "await import('../cli/b.ts');", 'api and cli lie side by side'],
    ['src/control/a.ts', "import '../cli/main.ts';", 'cli lies above control'],
    ['src/lifecycle/a.ts', "import { readFileSync } from 'node:fs';", 'lifecycle is pure'],
    ['src/dkim/a.ts', "import { z } from 'zod';", 'dkim is pure'],
    ['src/dkim/a.ts', "import { x } from 'crypto';", 'dkim is pure'],
    ['src/cli/a.ts', "import { readFileSync } from 'fs';", 'named node:fs'],
    ['src/cli/a.ts', "import { test } from 'vitest';", 'not among the dependencies'],
    ['src/cli/a.ts', "import { x } from '@scope/other';", '@scope/other is not among the dependencies'],
    ['src/cli/a.ts', "import { x } from './b';", 'with the extension'],
    ['src/cli/a.ts', "import { need } from '../../tests/support/need.ts';", 'outside of src/'],
    ['src/cli/a.ts', "import { x } from './b.test.ts';", 'tests are not part'],
    ['src/elsewhere/a.ts', '', 'no room'],
    ['src/a.ts', '', 'no room'],
  ])('%s may not say %s', (file, source, why) => {
    expect(check(file, source)).toEqual([expect.stringContaining(why)]);
  });

  test('imports are found however they are written', () => {
    const source = `import a from "a";
import {
  b, // with a note
} from 'b';
import type { C } from 'c';
export { d } from 'd';
export * from 'e';
import 'f';
const g = () => import('g');
const text = "import x from 'no'";
export const h = 'no';
export type I = import('i').I;
`;
    expect(importsOf(source)).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'i']);
  });
});

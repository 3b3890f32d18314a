import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type Finished, run } from '../support/processes.ts';
import { type TempDir, tempDir } from '../support/temp.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const inRoot = (path: string): string => join(root, path);

const summary = (dir: TempDir, vitestExit: string): Promise<Finished> =>
  run(process.execPath, [inRoot('scripts/test/summary.ts'), dir.path, vitestExit], { env: { NODE_OPTIONS: '' } });

describe('the last line of a test run', () => {
  test('counts what passed, failed and was skipped, and a file that does not load as a failure', async () => {
    using dir = tempDir('counts');
    symlinkSync(inRoot('node_modules'), dir.join('node_modules'));
    // The conditional form, as in the real tests: what is missing is skipped by its name.
    const skipped = "test.skipIf(true)('skipped', () => {});";
    writeFileSync(
      dir.join('one.test.ts'),
      `import { expect, test } from 'vitest';\ntest('passes', () => {});\ntest('fails', () => expect(1).toBe(2));\n${skipped}\n`,
    );
    writeFileSync(dir.join('two.test.ts'), "throw new Error('does not load');\n");
    const reporter = inRoot('scripts/test/count-reporter.ts');
    const vitest = await run(
      process.execPath,
      [inRoot('node_modules/vitest/vitest.mjs'), 'run', '--root', dir.path, `--reporter=${reporter}`],
      { cwd: dir.path, env: { NODE_OPTIONS: '', VITEST: undefined, KEYTURN_TEST_REPORT: dir.path } },
    );
    expect(vitest.code).toBe(1);
    writeFileSync(dir.join('checks'), 'passed\nfailed\n');
    writeFileSync(dir.join('missing'), 'knotd: not installed; apt-get install knot\n'.repeat(2));
    const { code, stdout } = await summary(dir, '1');
    expect(code).toBe(1);
    expect(stdout.trim().split('\n').at(-1)).toBe('2 passed, 3 failed, 1 skipped');
    expect(stdout.match(/apt-get install knot/g)).toHaveLength(1);
  });

  test('is good only when everything is', async () => {
    using dir = tempDir('counts');
    writeFileSync(dir.join('counts.json'), '{"passed":7,"failed":0,"skipped":0}');
    writeFileSync(dir.join('checks'), 'passed\npassed\n');
    expect(await summary(dir, '0')).toMatchObject({ code: 0, stdout: '\n9 passed, 0 failed, 0 skipped\n' });
    // Vitest's own failure, such as a crash after its last test.
    expect(await summary(dir, '1')).toMatchObject({ code: 1, stdout: '\n9 passed, 1 failed, 0 skipped\n' });
  });
});

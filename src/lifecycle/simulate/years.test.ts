import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const execute = promisify(execFile);

/** Runs the command line in a process of its own: two of them share two processors, and no test runner slows them down. */
async function simulate(...args: readonly string[]): Promise<{ code: number; line: string }> {
  try {
    const { stdout } = await execute(process.execPath, [main, ...args]);
    return { code: 0, line: stdout };
  } catch (error) {
    const { code, stdout } = error as { code: number; stdout: string };
    return { code, line: stdout };
  }
}

it('10,000 domain-years, ordinary and hard, break nothing', { timeout: 600_000 }, async () => {
  const [ordinary, hard] = await Promise.all([
    simulate('--years', '7500', '--seed', '1', '--hardship', '0.5'),
    simulate('--years', '2500', '--seed', '1000001', '--hardship', '2'),
  ]);
  expect(ordinary.line).toMatch(/^75\d\d domain-years in \d+ histories: \d{5} changes .* nothing broke \(seed 1\)\n$/);
  expect(hard.line).toMatch(
    /^25\d\d domain-years in \d+ histories: \d{5} changes .* nothing broke \(seed 1000001\)\n$/,
  );
  expect([ordinary.code, hard.code]).toEqual([0, 0]);
});

it('a broken rule ends with one line and exit code 1, wrong arguments with 2', async () => {
  const broken = await simulate('--years', '200', '--without', 'overlap');
  expect(broken.code).toBe(1);
  expect(broken.line).toMatch(/^broken after [\d.]+ days of seed \d+, with \d+ incidents: .*\n$/);
  expect((await simulate('--years', 'many')).code).toBe(2);
});

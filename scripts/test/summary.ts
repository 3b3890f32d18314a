/**
 * Ends a test run: names the real parts that were left out, with the line that installs each, then the plain line of counts.
 * `node summary.ts FOLDER EXITCODE`, the folder in which the run left its notes and vitest's exit code.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Counts } from './count-reporter.ts';

const [folder = '.', vitestExit = '1'] = process.argv.slice(2);
const read = (name: string): string => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : '');
const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

const counts: Counts = JSON.parse(read('counts.json') || '{"passed":0,"failed":0,"skipped":0}');
for (const result of lines(read('checks'))) counts[result === 'passed' ? 'passed' : 'failed'] += 1;
// Vitest fails for more than tests: no file that fits the arguments, a crash of its own.
if (vitestExit !== '0' && counts.failed === 0) counts.failed += 1;

const missing = [...new Set(lines(read('missing')))].sort();
if (missing.length > 0) {
  console.log('\nLeft out, because this machine lacks what they need:');
  for (const line of missing) console.log(`  ${line}`);
}
console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed > 0 ? 1 : 0;

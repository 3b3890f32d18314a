/** A vitest reporter that leaves the counts for `summary.ts`: a file that could not be loaded counts as one failed test. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Vitest makes a reporter by `new` from its module's default export. */
// biome-ignore lint/style/noDefaultExport: see above.
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const counts: Counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      let failedHere = 0;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') counts.passed += 1;
        else if (state === 'failed') failedHere += 1;
        else counts.skipped += 1;
      }
      counts.failed += failedHere === 0 && module.state() === 'failed' ? 1 : failedHere;
    }
    const folder = process.env.KEYTURN_TEST_REPORT;
    if (folder !== undefined) writeFileSync(join(folder, 'counts.json'), JSON.stringify(counts));
  }
}

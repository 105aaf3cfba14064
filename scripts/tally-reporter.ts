/** Leaves the totals of a run in a file, for the closing line of `npm test`. */
import { writeFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestModule } from 'vitest/node';

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

/** A file that does not load and an error outside any test count as one failure each. */
export function tally(modules: readonly TestModule[], errors: readonly SerializedError[]): Tally {
  const sum: Tally = { passed: 0, failed: errors.length, skipped: 0 };
  for (const module of modules) {
    sum.failed += module.errors().length;
    for (const suite of module.children.allSuites()) sum.failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') sum.passed += 1;
      else if (state === 'skipped') sum.skipped += 1;
      else sum.failed += 1;
    }
  }
  return sum;
}

export default class TallyReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const file = process.env['HOLDFAST_TALLY_FILE'];
    if (file !== undefined) writeFileSync(file, JSON.stringify(tally(modules, errors)));
  }
}

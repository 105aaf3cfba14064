/**
 * `npm test`: prepares the clone, runs every test, and prints the totals as the very last line.
 * Arguments after `--` go to vitest: `npm test -- packages/log`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inModules, prepare, ROOT } from './prepare.mjs';

prepare();

const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-test-'));
const tallyFile = path.join(scratch, 'tally.json');
const reporters = ['--reporter=default', '--reporter=./scripts/tally-reporter.ts'];
const run = spawnSync(
  process.execPath,
  [inModules('vitest/vitest.mjs'), 'run', ...reporters, ...process.argv.slice(2)],
  { cwd: ROOT, stdio: 'inherit', env: { ...process.env, HOLDFAST_TALLY_FILE: tallyFile } },
);
const tally = readTally();
rmSync(scratch, { recursive: true, force: true });

// A run that ended badly with no failed test (a crash, no tests found) still counts as a failure.
if (run.status !== 0 && tally.failed === 0) tally.failed = 1;
const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : '';
process.stdout.write(`${tally.passed} passed, ${tally.failed} failed${skipped}\n`);
process.exitCode = tally.failed === 0 ? 0 : 1;

function readTally() {
  try {
    return JSON.parse(readFileSync(tallyFile, 'utf8'));
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}

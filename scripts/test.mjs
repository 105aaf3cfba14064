/**
 * `npm test`: prepares the clone, runs every test, and prints the totals as the very last line.
 * A whole run also fails when there is an error code that no test produced. Arguments after `--`
 * go to vitest: `npm test -- packages/log`.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inModules, prepare, ROOT } from './prepare.mjs';
import { producedErrors } from './produced-errors.mjs';

prepare();

const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-test-'));
const tallyFile = path.join(scratch, 'tally.json');
const recordedErrors = path.join(scratch, 'errors');
mkdirSync(recordedErrors);
const wanted = process.argv.slice(2);
const reporters = ['--reporter=default', '--reporter=./scripts/tally-reporter.ts'];
const run = spawnSync(
  process.execPath,
  [inModules('vitest/vitest.mjs'), 'run', ...reporters, ...wanted],
  {
    cwd: ROOT,
    stdio: 'inherit',
    env: {
      ...process.env,
      HOLDFAST_TALLY_FILE: tallyFile,
      HOLDFAST_RECORDED_ERRORS: recordedErrors,
    },
  },
);
const tally = readTally();
const { codes, missing } = producedErrors(recordedErrors);
rmSync(scratch, { recursive: true, force: true });

// A run that ended badly with no failed test (a crash, no tests found) still counts as a failure.
if (run.status !== 0 && tally.failed === 0) tally.failed = 1;
if (wanted.length === 0) {
  process.stdout.write(
    `error codes: ${codes.length - missing.length} of ${codes.length} produced\n`,
  );
  if (missing.length > 0) {
    process.stdout.write(`no test produces: ${missing.join(', ')}\n`);
    tally.failed += 1;
  }
}
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

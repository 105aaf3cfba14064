/**
 * `npm run check`: everything about the code that can be judged without running it. All steps run,
 * so that one pass shows every complaint.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { inModules, ROOT } from './prepare.mjs';

const folders = ['packages', 'scripts', 'bench', 'examples', 'vitest.config.ts'].filter((name) =>
  existsSync(path.join(ROOT, name)),
);

const STEPS = [
  ['format', 'prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.'],
  // Before lint: the types of tests come from what this builds.
  ['types', 'typescript/bin/tsc', '-b'],
  ['lint', 'oxlint/bin/oxlint', '--type-aware', '--report-unused-disable-directives', ...folders],
  ['types of tests', 'typescript/bin/tsc', '-p', 'tsconfig.tests.json'],
  ['layers', 'dependency-cruiser/bin/dependency-cruise.mjs', 'packages'],
  ['dead code', 'knip/bin/knip.js'],
  ['tidy', 'tsx/dist/cli.mjs', 'scripts/tidy.ts'],
];

const failed = [];
for (const [title, tool, ...args] of STEPS) {
  const started = performance.now();
  const run = spawnSync(process.execPath, [inModules(tool), ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 ** 2,
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${run.status === 0 ? 'ok  ' : 'FAIL'} ${title} (${seconds} s)`);
  if (run.status === 0) continue;
  failed.push(title);
  console.log(`${run.stdout}${run.stderr}`.trimEnd());
}

if (failed.length > 0) {
  console.log(`\ncheck failed: ${failed.join(', ')}`);
  process.exitCode = 1;
}

/** The benches run: a few milliseconds of each scenario, so that their code does not rot. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const SOURCE = ['--conditions', 'x-source', '--import', 'tsx'];

function bench(script: string, ...args: string[]): string {
  const run = spawnSync(process.execPath, [...SOURCE, path.join('bench', script), ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  expect([run.status, run.status === 0 ? '' : run.stderr.slice(-2_000)]).toEqual([0, '']);
  return run.stdout;
}

// The bench reads memory and processor time from /proc.
it.skipIf(process.platform !== 'linux')(
  'every scenario of the server bench runs on every server and fills its tables',
  () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-bench-smoke-'));
    try {
      const file = path.join(directory, 'results.json');
      const printed = bench('servers.bench.ts', '--quick', '--source', '--json', file);
      const results = JSON.parse(readFileSync(file, 'utf8')) as {
        failures: string[];
        scenarios: Record<string, Record<string, unknown>>;
      };
      expect(results.failures).toEqual([]);
      for (const by of Object.values(results.scenarios)) expect(by).toHaveProperty('holdfast');
      expect(printed).not.toContain('not measured');
      expect(bench('servers.bench.ts', '--tables', file)).toBe(printed);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
  120_000,
);

it('the in-process bench runs and says whether its goal is reached', () => {
  expect(bench('in-process.bench.ts', '--quick')).toMatch(/Goal of 200,000\/s .*: /);
}, 60_000);

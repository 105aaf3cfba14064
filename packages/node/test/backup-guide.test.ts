/** The program of docs/BACKUP.md is run as it stands there; its commands are run by scripts/. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { NodeRandom } from '@holdfast/core';
import { generateKeyFile } from '@holdfast/node';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const GUIDE = readFileSync(path.join(ROOT, 'docs/BACKUP.md'), 'utf8');

it('the embedded program marks, makes a snapshot, verifies it, and archives the rest', async () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'holdfast-guide-'));
  await generateKeyFile(path.join(dir, 'key'), new NodeRandom());
  const shown = /^```ts\n(.*?)^```/ms.exec(GUIDE)?.[1] ?? '';
  expect(shown).toContain('openNode');
  const program = shown
    .replace("'holdfast'", JSON.stringify(path.join(ROOT, 'packages/node/src/index.ts')))
    .replaceAll("'./", `'${dir}/`)
    .replace('s3://my-bucket/node-1', path.join(dir, 'backup'));
  const end = 'console.log(JSON.stringify(node.stats().backup)); await node.close();';
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...['--import', 'tsx', '--conditions', 'x-source', '--input-type=module'],
      ...['--eval', `${program}\n${end}`],
    ],
    { cwd: ROOT, env: { ...process.env, NODE_OPTIONS: '' }, encoding: 'utf8' },
  );
  expect([status, stderr]).toEqual([0, '']);
  const last = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as object;
  expect(last).toMatchObject({ archive: { lagRecords: 0 }, snapshots: { created: 1 } });
  rmSync(dir, { recursive: true });
});

/**
 * Question: what does encryption cost? The server without a key beside the same server with one,
 * built (`npm run build`).
 *
 *   node --import tsx bench/encrypted.bench.ts [--only a,b] [--rounds N] [--quick]
 *
 * A ratio above 1 means: more of it with a key.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { BenchTarget } from './bench-target.ts';
import { compareServers } from './compare-servers.ts';
import { FULL, QUICK } from './scenario.ts';

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});

const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-bench-'));
const keyFile = path.join(directory, 'key');
writeFileSync(keyFile, randomBytes(32), { mode: 0o600 });
const common = { name: 'holdfast', source: false } as const;
try {
  await compareServers(
    new BenchTarget({ ...common, directory: path.join(directory, 'plain') }),
    new BenchTarget({
      ...common,
      directory: path.join(directory, 'encrypted'),
      serveArgs: ['--key-file', keyFile],
    }),
    {
      scale: { ...(flags.quick ? QUICK : FULL), rounds: Number(flags.rounds ?? 5) },
      only: flags.only?.split(','),
    },
  );
} finally {
  rmSync(directory, { recursive: true, force: true });
}

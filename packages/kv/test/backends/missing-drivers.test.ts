/** Whoever opens a store without the package that it needs is told which one to install. */
import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { removeScratch, scratch } from './servers.ts';

const PROGRAM = fileURLToPath(new URL('./without-drivers.ts', import.meta.url));
const PACKAGES = {
  lmdb: ['lmdb'],
  sqlite: ['node:sqlite', 'better-sqlite3'],
  postgres: ['pg'],
  redis: ['ioredis', 'iovalkey'],
  nats: ['@nats-io/transport-node', '@nats-io/kv'],
};
const KINDS = Object.keys(PACKAGES);
const NAMES = Object.values(PACKAGES).flat();

interface Said {
  readonly code: string;
  readonly message: string;
  readonly effect: string;
}

async function open(
  how: 'missing' | 'broken',
  kinds: readonly string[],
  packages: readonly string[],
): Promise<Record<string, Said>> {
  const directory = scratch();
  const node = ['--conditions', 'x-source', '--import', 'tsx', PROGRAM];
  const args = [directory, how, kinds.join(','), packages.join(',')];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [...node, ...args], {
      cwd: dirname(PROGRAM),
    });
    return JSON.parse(stdout) as Record<string, Said>;
  } finally {
    removeScratch(directory);
  }
}

function names(what: string): object {
  return {
    code: 'DRIVER_MISSING',
    effect: 'none',
    message: expect.stringMatching(new RegExp(`${what}$`)) as string,
  };
}

describe('a store whose package is not installed', { timeout: 60_000 }, () => {
  it('names it, whatever its kind', async () => {
    expect(await open('missing', KINDS, NAMES)).toEqual({
      lmdb: names('LMDB needs .*: npm install lmdb'),
      sqlite: names('SQLite needs .*: npm install better-sqlite3'),
      postgres: names('Postgres needs .*: npm install pg'),
      redis: names('Redis needs .*: npm install ioredis, or iovalkey'),
      nats: names('NATS needs .*: npm install @nats-io/transport-node @nats-io/kv'),
    });
  });

  it('names what is missing of two', async () => {
    const { nats } = await open('missing', ['nats'], ['@nats-io/kv']);
    expect(nats).toEqual(names('npm install @nats-io/kv'));
  });

  it('says how to build one that is there and does not load', async () => {
    expect(await open('broken', KINDS, NAMES)).toEqual({
      lmdb: names('LMDB needs .*: npm rebuild lmdb'),
      sqlite: names('SQLite needs .*: npm rebuild .*'),
      postgres: names('Postgres needs .*: npm rebuild pg'),
      redis: names('Redis needs .*: npm rebuild ioredis'),
      nats: names('NATS needs .*: npm rebuild @nats-io/transport-node'),
    });
  });
});

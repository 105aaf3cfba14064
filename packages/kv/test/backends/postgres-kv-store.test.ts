import { NodeClock } from '@holdfast/core';
import { openPostgresKvStore } from '@holdfast/kv/backends/postgres';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { findRealPostgres, RealPostgres } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { onServer, removeScratch, scratch, serverTests } from './servers.ts';

const clock = new NodeClock();
const program = findRealPostgres();

// Skipped only where the server is not installed, which is said, and is an error in CI.
describe.skipIf(!serverTests('Postgres', program))('a store in Postgres', () => {
  const directory = scratch();
  let server: RealPostgres;
  beforeAll(async () => {
    server = await RealPostgres.start(program as string, directory);
  }, 60_000);
  afterAll(async () => {
    await server.stop();
    removeScratch(directory);
  });

  kvStoreConformance({
    it,
    open: () =>
      onServer((table) => openPostgresKvStore({ clock }, { id: 'pg', url: server.url, table })),
    unsupported: { watch: 'other processes may write, and what they change is not kept' },
  });
});

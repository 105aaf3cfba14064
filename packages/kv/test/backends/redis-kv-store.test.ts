import { NodeClock } from '@holdfast/core';
import { openRedisKvStore } from '@holdfast/kv/backends/redis';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { findRealRedis, RealRedis } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { onServer, removeScratch, scratch, serverTests } from './servers.ts';

const clock = new NodeClock();
const program = findRealRedis();

// Skipped only where the server is not installed, which is said, and is an error in CI.
describe.skipIf(!serverTests('Redis', program))('a store in Redis', () => {
  const directory = scratch();
  let server: RealRedis;
  beforeAll(async () => {
    server = await RealRedis.start({ program: program as string, directory });
  }, 60_000);
  afterAll(async () => {
    await server.stop();
    removeScratch(directory);
  });

  kvStoreConformance({
    it,
    open: () =>
      onServer((name) => openRedisKvStore({ clock }, { id: 'redis', url: server.url, name })),
    unsupported: { watch: 'other processes may write, and what they change is not kept' },
  });
});

import { NodeClock, NodeRandom } from '@holdfast/core';
import { openNatsKvStore } from '@holdfast/kv/backends/nats';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { findRealNats, RealNats } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { onServer, removeScratch, scratch, serverTests } from './servers.ts';

const seams = { clock: new NodeClock(), random: new NodeRandom() };
const program = findRealNats();

// Skipped only where the server is not installed, which is said, and is an error in CI.
describe.skipIf(!serverTests('NATS', program))('a store in NATS', () => {
  const directory = scratch();
  let server: RealNats;
  beforeAll(async () => {
    server = await RealNats.start(program as string, directory);
  });
  afterAll(async () => {
    await server.stop();
    removeScratch(directory);
  });

  kvStoreConformance({
    it,
    open: () =>
      onServer((bucket) => openNatsKvStore(seams, { id: 'nats', servers: server.url, bucket })),
    unsupported: {
      atomicBatch: 'each entry is a message of its own',
      watch: 'changes are not kept',
    },
  });
});

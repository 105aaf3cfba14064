import { NodeClock, NodeRandom } from '@holdfast/core';
import { openS3KvStore } from '@holdfast/kv/backends/s3';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { MemoryObjectStore, type ObjectStore, openS3ObjectStore } from '@holdfast/objects';
import { findRealS3Server, RealS3Server } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { briefly, onServer, removeScratch, scratch, serverTests } from './servers.ts';

const seams = { clock: new NodeClock(), random: new NodeRandom() };
const unsupported = {
  atomicBatch: 'each entry is an object of its own',
  watch: 'changes are not kept',
};
const program = findRealS3Server();

describe('a store in an object store', () => {
  kvStoreConformance({
    it,
    open: () => {
      const objects = new MemoryObjectStore(seams);
      return onServer(() => openS3KvStore({ ...seams, objects }, { id: 's3' }));
    },
    unsupported,
  });
});

// Skipped only where the server is not installed, which is said, and is an error in CI.
describe.skipIf(!serverTests('S3 server', program))('a store in S3', () => {
  const directory = scratch();
  const opened: ObjectStore[] = [];
  let server: RealS3Server;
  beforeAll(async () => {
    server = await RealS3Server.start({ program: program as string, directory });
  });
  afterAll(async () => {
    for (const objects of opened) await objects.close();
    await server.kill(); // it would wait for connections
    removeScratch(directory);
  }, 120_000);

  kvStoreConformance({
    it: briefly,
    open: async () => {
      const { bucket, endpoint, region, credentials } = server;
      return onServer(async (prefix) => {
        const place = { bucket, endpoint, region, credentials, prefix };
        const objects = await openS3ObjectStore(place, seams);
        opened.push(objects);
        return openS3KvStore({ ...seams, objects }, { id: 's3' });
      });
    },
    unsupported,
  });
});

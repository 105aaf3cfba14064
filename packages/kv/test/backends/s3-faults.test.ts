import { NodeClock, NodeRandom } from '@holdfast/core';
import { openS3KvStore } from '@holdfast/kv/backends/s3';
import { type ObjectStore, openS3ObjectStore, readObject } from '@holdfast/objects';
import { findRealS3Server, RealS3Server } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { nameOf } from '../../src/backends/objects/entry-names.ts';
import { type FaultyPlace, faultTests, rejects, rotten } from './faults.ts';
import { removeScratch, scratch, serverTests } from './servers.ts';

const seams = { clock: new NodeClock(), random: new NodeRandom() };
const program = findRealS3Server();
const MIB = 1024 * 1024;

// Skipped only where the server is not installed, which is said, and is an error in CI.
describe.skipIf(!serverTests('S3 server', program))('a store in an S3 with faults', () => {
  const directory = scratch();
  const opened: ObjectStore[] = [];
  let server: RealS3Server;
  let places = 0;
  beforeAll(async () => {
    server = await RealS3Server.start({ program: program as string, directory });
  });
  afterAll(async () => {
    for (const objects of opened) await objects.close();
    await server.kill(); // it would wait for connections
    removeScratch(directory);
  });

  const newPlace = async (): Promise<FaultyPlace> => {
    const { bucket, endpoint, region, credentials } = server;
    const prefix = `faulty-${++places}`;
    const objectsOf = async (): Promise<ObjectStore> => {
      const place = { bucket, endpoint, region, credentials, prefix, silenceMs: 3_000 };
      const objects = await openS3ObjectStore(place, seams);
      opened.push(objects);
      return objects;
    };
    const raw = await objectsOf();
    return {
      open: async (epoch = 0) =>
        openS3KvStore({ ...seams, objects: await objectsOf() }, { id: 's3', epoch }),
      kill: () => server.kill(),
      restart: () => server.restart(),
      rot: async (key, at) => {
        const name = `e/${nameOf(key)}`;
        await raw.put(name, rotten(await readObject(raw, name, { maxBytes: MIB }), at));
      },
    };
  };

  faultTests(newPlace);

  it('refuses an object store that puts without conditions', async () => {
    const { bucket, endpoint, region, credentials } = server;
    const place = { bucket, endpoint, region, credentials, conditions: 'none' as const };
    const objects = await openS3ObjectStore(place, seams);
    await rejects(openS3KvStore({ ...seams, objects }, { id: 's3' }), 'OBJECT_STORE_UNSUPPORTED');
    await objects.close();
  });
});

/** The S3 store against the fake: the conformance of each kind of server there is. */
import { NodeClock, NodeRandom } from '@holdfast/core';
import { openS3ObjectStore } from '@holdfast/objects';
import { objectStoreConformance, type ObjectStoreFeature } from '@holdfast/objects/conformance';
import { FakeS3Server, type FakeS3Options } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, it } from 'vitest';

const PART_BYTES = 5 * 1024 * 1024;
/** Three parts; one for the servers where parts are not the question. */
const LARGE = 2 * PART_BYTES + 12_345;
const SMALL = 300_000;
const seams = { clock: new NodeClock(), random: new NodeRandom() };

function conformance(
  options: FakeS3Options,
  unsupported: Partial<Record<ObjectStoreFeature, string>>,
  largeBytes = SMALL,
): void {
  let server: FakeS3Server;
  let places = 0;
  beforeAll(async () => {
    server = await FakeS3Server.start(options);
  });
  afterAll(() => server.stop());
  objectStoreConformance({
    it,
    open: async () => {
      const { bucket, endpoint, identity } = server;
      const prefix = `place ${++places}/é+&%`;
      const settings = { bucket, endpoint, prefix, credentials: identity, partBytes: PART_BYTES };
      const reopen = () => openS3ObjectStore(settings, seams);
      return { store: await reopen(), reopen };
    },
    unsupported,
    largeBytes,
  });
}

describe('S3 store on a server like Amazon’s', () => {
  conformance({}, {}, LARGE);
});

describe('S3 store on a server with small pages and keys as they are', () => {
  conformance({ pageKeys: 2, escapesKeys: false }, {});
});

describe('S3 store on a server that ignores conditions', () => {
  conformance(
    { conditions: 'ignored' },
    {
      ifAbsent: 'accepted and not looked at',
      ifMatch: 'accepted and not looked at',
      largeCondition: 'there is no condition at all',
    },
  );
});

describe('S3 store on a server without conditions', () => {
  conformance(
    { conditions: 'refused' },
    { ifAbsent: '501', ifMatch: '501', largeCondition: '501' },
  );
});

describe('S3 store on a server like radosgw 16', () => {
  conformance(
    { conditions: 'unquoted', conditionalUploads: false },
    { largeCondition: 'the end of an upload looks at no condition' },
    LARGE,
  );
});

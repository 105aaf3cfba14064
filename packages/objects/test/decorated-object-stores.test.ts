/** The contract holds for composites too, with a store inside that works and with one that fails. */
import { NodeClock, NodeRandom } from '@holdfast/core';
import {
  InstrumentedObjectStore,
  MemoryObjectStore,
  openS3ObjectStore,
  RetryingObjectStore,
} from '@holdfast/objects';
import { objectStoreConformance } from '@holdfast/objects/conformance';
import { FakeS3Server, type S3FaultKind, SeededRandom } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, it } from 'vitest';

const seams = { clock: new NodeClock(), random: new NodeRandom() };
const unsupported = { reopen: 'memory is gone with its store' };

describe('a retrying store', () => {
  objectStoreConformance({
    it,
    open: async () => ({ store: new RetryingObjectStore(new MemoryObjectStore(seams), seams) }),
    unsupported,
  });
});

describe('an instrumented store', () => {
  objectStoreConformance({
    it,
    open: async () => ({ store: new InstrumentedObjectStore(new MemoryObjectStore(seams), seams) }),
    unsupported,
  });
});

/** Every fifth request goes wrong, in a way that may be tried again. */
const FAULTS: readonly S3FaultKind[] = [
  'slow-down',
  'internal-error',
  'internal-error-after',
  'late-error',
  'bad-gateway',
  'not-found-page',
  'reset',
  'reset-after',
  'truncate',
  'expired-token',
  'conflict',
];

describe('an instrumented, retrying S3 store on a server that often fails', () => {
  const random = new SeededRandom(4);
  let server: FakeS3Server;
  let places = 0;
  beforeAll(async () => {
    server = await FakeS3Server.start();
    for (const kind of FAULTS) {
      const suits = (method: string): boolean =>
        kind === 'truncate' ? method === 'GET' : kind !== 'late-error' || method === 'POST';
      const when = ({ method }: { method: string }): boolean =>
        !opening && suits(method) && random.chance(1 / (5 * FAULTS.length));
      server.fail({ kind, times: Infinity, when });
    }
  });
  afterAll(() => server.stop());
  let opening = true;

  objectStoreConformance({
    it,
    open: async () => {
      const { bucket, endpoint, identity } = server;
      const settings = { bucket, endpoint, prefix: `p${++places}`, credentials: identity };
      const reopen = async (): Promise<InstrumentedObjectStore> => {
        opening = true;
        const s3 = await openS3ObjectStore(settings, seams);
        opening = false;
        const quick = { attempts: 12, retryMs: 2, maxRetryMs: 20 };
        return new InstrumentedObjectStore(new RetryingObjectStore(s3, seams, quick), seams);
      };
      return { store: await reopen(), reopen };
    },
    largeBytes: 300_000,
    losesAnswers: true,
  });
});

/** The contract holds for composites too, with a store inside that works and with one that fails. */
import { HoldfastError, NodeClock, NodeRandom } from '@holdfast/core';
import {
  InstrumentedObjectStore,
  LateObjectStore,
  MemoryObjectStore,
  openS3ObjectStore,
  RetryingObjectStore,
} from '@holdfast/objects';
import { objectStoreConformance } from '@holdfast/objects/conformance';
import { FakeS3Server, type S3FaultKind, SeededRandom } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

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

describe('a store that is opened late', () => {
  const assumed = { ...new MemoryObjectStore(seams).capabilities };
  objectStoreConformance({
    it,
    open: async () => ({
      store: new LateObjectStore(async () => new MemoryObjectStore(seams), assumed),
    }),
    unsupported,
  });

  it('is tried again by the next call after it could not be opened, and opened once', async () => {
    let attempts = 0;
    const store = new LateObjectStore(async () => {
      attempts++;
      if (attempts === 1) throw new HoldfastError('STORAGE_UNAVAILABLE', 'nobody answers');
      return new MemoryObjectStore(seams);
    }, assumed);
    expect(attempts).toBe(0);
    const [one, other] = await Promise.allSettled([store.head('a'), store.list()]);
    expect([one.status, other.status, attempts]).toEqual(['rejected', 'rejected', 1]);
    await Promise.all([store.put('a', Buffer.from('x')), store.put('b', Buffer.from('y'))]);
    expect([attempts, (await store.list()).objects.length]).toEqual([2, 2]);
    await store.close();
  });

  it('that is closed while it is being opened is closed, and opens no more', async () => {
    const inner = new MemoryObjectStore(seams);
    let go = (): void => undefined;
    const gate = new Promise<void>((resolve) => (go = resolve));
    const store = new LateObjectStore(async () => gate.then(() => inner), assumed);
    const listed = store.list();
    const closed = store.close();
    await expect(listed).rejects.toMatchObject({ code: 'CLOSED' });
    go();
    await closed;
    await expect(inner.list()).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(store.list()).rejects.toMatchObject({ code: 'CLOSED' });
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

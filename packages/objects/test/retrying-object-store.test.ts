/** When an answer was lost: what a retry may do, and what it has to find out. */
import { HoldfastError, NodeClock, NodeRandom } from '@holdfast/core';
import {
  InstrumentedObjectStore,
  MemoryObjectStore,
  type ObjectStore,
  openS3ObjectStore,
  readObject,
  RetryingObjectStore,
} from '@holdfast/objects';
import { FakeS3Server, SeededRandom, SimClock } from '@holdfast/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const seams = { clock: new NodeClock(), random: new NodeRandom() };
const quick = { attempts: 4, retryMs: 2, maxRetryMs: 10 };
let server: FakeS3Server;
let inner: ObjectStore;
let store: RetryingObjectStore;

beforeAll(async () => {
  server = await FakeS3Server.start();
});
afterAll(() => server.stop());
beforeEach(async () => {
  const { bucket, endpoint, identity: credentials } = server;
  inner = await openS3ObjectStore({ bucket, endpoint, credentials, silenceMs: 1_500 }, seams);
  store = new RetryingObjectStore(inner, seams, quick);
  await store.delete('key');
});
afterEach(async () => {
  server.clearFaults();
  await store.close();
});

const isPut = ({ method }: { method: string }): boolean => method === 'PUT';

describe('a conditional put whose answer was lost', () => {
  for (const kind of ['reset-after', 'internal-error-after', 'hang-after'] as const) {
    it(`by ${kind} has won when the object there is its own`, async () => {
      server.fail({ kind, when: isPut });
      const { etag, size } = await store.put('key', Buffer.from('mine'), { ifAbsent: true });
      expect(await inner.head('key')).toMatchObject({ etag, size });
      server.fail({ kind, when: isPut });
      const next = await store.put('key', Buffer.from('next'), { ifMatch: etag });
      expect((await inner.head('key')).etag).toBe(next.etag);
      expect(server.faultsLeft).toBe(0);
    });
  }

  it('has lost when the object there is another one, even of the same bytes', async () => {
    await inner.put('key', Buffer.from('same'));
    server.fail({ kind: 'reset', when: isPut });
    const put = store.put('key', Buffer.from('same'), { ifAbsent: true });
    await expect(put).rejects.toMatchObject({ code: 'PRECONDITION_FAILED', effect: 'unknown' });
  });

  it('is not certain of having changed nothing when its object was replaced meanwhile', async () => {
    const { etag } = await inner.put('key', Buffer.from('before'));
    let other: Promise<unknown> | undefined;
    server.fail({ kind: 'internal-error-after', when: isPut });
    server.fail({
      kind: 'slow-down',
      when: (call) => {
        if (!isPut(call)) return false;
        other ??= inner.put('key', Buffer.from('theirs')); // after our first, before our second
        return call.body.toString() === 'mine';
      },
    });
    const put = store.put('key', Buffer.from('mine'), { ifMatch: etag });
    await expect(put).rejects.toMatchObject({ code: 'PRECONDITION_FAILED', effect: 'unknown' });
    await other;
    expect((await readObject(inner, 'key', { maxBytes: 10 })).toString()).toBe('theirs');
  });

  it('refused at once is refused, with effect none and without a second attempt', async () => {
    await inner.put('key', Buffer.from('theirs'));
    const from = server.requests.length;
    const put = store.put('key', Buffer.from('mine'), { ifAbsent: true });
    await expect(put).rejects.toMatchObject({ code: 'PRECONDITION_FAILED', effect: 'none' });
    expect(server.requests.length).toBe(from + 1);
  });
});

describe('a retrying store', () => {
  it('gives up after its attempts, and remembers that one of them was uncertain', async () => {
    server.fail({ kind: 'reset', when: isPut });
    server.fail({ kind: 'slow-down', times: Infinity });
    const from = server.requests.length;
    await expect(store.put('key', Buffer.from('x'))).rejects.toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
      effect: 'unknown',
    });
    expect(server.requests.length).toBe(from + quick.attempts);
    await expect(store.get('key')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
  });

  it('puts a body that is given once only once', async () => {
    const once = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from('once');
    };
    server.fail({ kind: 'slow-down' });
    await expect(store.put('key', once())).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    server.fail({ kind: 'slow-down' });
    await store.put('key', once); // made anew for each attempt
    expect((await readObject(inner, 'key', { maxBytes: 10 })).toString()).toBe('once');
  });

  it('goes on in a body where it broke', async () => {
    const bytes = new SeededRandom(1).bytes(700_000);
    await inner.put('key', bytes);
    server.fail({ kind: 'truncate', times: 5, when: ({ method }) => method === 'GET' });
    expect((await readObject(store, 'key', { maxBytes: 1_000_000 })).equals(bytes)).toBe(true);
    expect(server.faultsLeft).toBe(0);
  });

  it('never goes on in another object', async () => {
    await inner.put('key', Buffer.alloc(500_000, 'a'));
    server.fail({ kind: 'truncate', when: ({ method }) => method === 'GET' });
    const content = await store.get('key');
    await inner.put('key', Buffer.alloc(500_000, 'b'));
    const reading = (async () => {
      for await (const piece of content.body) expect(piece.includes('b')).toBe(false);
    })();
    await expect(reading).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' });
  });

  it('tries nothing again that will not get better', async () => {
    const from = server.requests.length;
    await expect(store.get('none')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' });
    expect(server.requests.length).toBe(from + 1);
  });
});

describe('the pauses of a retrying store', () => {
  /** Fails always, and notes when it was asked. */
  function failing(clock: SimClock, details = {}): { store: ObjectStore; askedMs: number[] } {
    const askedMs: number[] = [];
    const memory = new MemoryObjectStore({ clock });
    memory.head = () => {
      askedMs.push(clock.monotonicMs());
      const error = new HoldfastError('STORAGE_UNAVAILABLE', 'down', { details });
      return Promise.reject(error);
    };
    return { store: memory, askedMs };
  }

  it('double, are shortened by chance, and end', async () => {
    const random = new SeededRandom(3);
    const clock = new SimClock(random);
    const { store: down, askedMs } = failing(clock);
    const settings = { attempts: 7, retryMs: 100, maxRetryMs: 1_000 };
    const patient = new RetryingObjectStore(down, { clock, random }, settings);
    await expect(clock.run(patient.head('key'))).rejects.toThrow('down');
    expect(askedMs.length).toBe(7);
    const longest = [100, 200, 400, 800, 1_000, 1_000];
    for (const [at, most] of longest.entries()) {
      const pauseMs = (askedMs[at + 1] ?? 0) - (askedMs[at] ?? 0);
      expect(pauseMs).toBeGreaterThan(0);
      expect(pauseMs).toBeLessThanOrEqual(most);
    }
  });

  it('are as long as the store asked for', async () => {
    const random = new SeededRandom(3);
    const clock = new SimClock(random);
    const { store: down, askedMs } = failing(clock, { retryAfterMs: 7_000 });
    const patient = new RetryingObjectStore(down, { clock, random }, { attempts: 2 });
    await expect(clock.run(patient.head('key'))).rejects.toThrow('down');
    expect((askedMs[1] ?? 0) - (askedMs[0] ?? 0)).toBe(7_000);
  });

  it('end with the signal and with the store', async () => {
    const random = new SeededRandom(3);
    const clock = new SimClock(random);
    const settings = { attempts: 9, retryMs: 1_000_000, maxRetryMs: 1_000_000 };
    const patient = new RetryingObjectStore(failing(clock).store, { clock, random }, settings);
    const controller = new AbortController();
    const aborted = patient.head('key', { signal: controller.signal });
    const closed = patient.head('key');
    setImmediate(() => {
      controller.abort();
      void patient.close();
    });
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(closed).rejects.toMatchObject({ code: 'CLOSED' });
  });
});

describe('an instrumented store', () => {
  it('counts calls, outcomes, bytes and time, and knows no keys', async () => {
    const clock = new SimClock(new SeededRandom(1));
    const measured = new InstrumentedObjectStore(new MemoryObjectStore({ clock }), { clock });
    await measured.put('secret-name', Buffer.alloc(300_000));
    await measured.head('secret-name');
    await expect(measured.head('none')).rejects.toThrow();
    expect((await readObject(measured, 'secret-name', { maxBytes: 1e6 })).length).toBe(300_000);
    for await (const piece of (await measured.get('secret-name')).body) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    await expect(measured.put('.', Buffer.alloc(1))).rejects.toThrow();
    const { operations, bytesPut, bytesRead } = measured.metrics();
    expect(operations.put.outcomes).toEqual({ ok: 1, INVALID_OBJECT_KEY: 1 });
    expect(operations.head.outcomes).toEqual({ ok: 1, OBJECT_NOT_FOUND: 1 });
    expect(operations.read.outcomes).toEqual({ ok: 1, left: 1 });
    expect(operations.head.latency.counts.reduce((sum, count) => sum + count)).toBe(2);
    expect([bytesPut, bytesRead]).toEqual([300_000, 300_000 + 256 * 1024]);
    expect(Object.values(operations).every(({ underWay }) => underWay === 0)).toBe(true);
    expect(JSON.stringify(measured.metrics())).not.toContain('secret-name');
    await measured.close();
  });
});

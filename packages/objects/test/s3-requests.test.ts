/** How requests are made: how many at once, how long they wait, how they are signed. */
import { NodeRandom } from '@holdfast/core';
import {
  type HttpAnswer,
  HttpFailure,
  type HttpRequest,
  type HttpTransport,
  type ObjectStore,
  openS3ObjectStore,
  type S3Settings,
} from '@holdfast/objects';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';

/** Says nothing until it is told to. */
class SilentServer implements HttpTransport {
  readonly clock = new SimClock(new SeededRandom(1));
  readonly waiting: { request: HttpRequest; answer: (status: number) => void }[] = [];

  send(request: HttpRequest): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const fail = (): void => reject(new HttpFailure('given up', true, undefined));
      request.signal.addEventListener('abort', fail, { once: true });
      this.waiting.push({ request, answer: (status) => resolve(emptyAnswer(status)) });
    });
  }

  close(): void {}

  open(settings: Partial<S3Settings> = {}): Promise<ObjectStore> {
    const credentials = { accessKeyId: 'KEY', secretAccessKey: 'secret' };
    return openS3ObjectStore(
      { bucket: 'bucket', conditions: 'none', credentials, ...settings },
      { clock: this.clock, random: new NodeRandom(), transport: this },
    );
  }
}

function emptyAnswer(status: number): HttpAnswer {
  const headers = {
    etag: '"e"',
    'content-length': '0',
    'last-modified': 'Fri, 20 Nov 2026 11:39:27 GMT',
  };
  return { status, headers, body: (async function* () {})(), discard: () => undefined };
}

/** Until so many requests were made; signing takes real time. Then a moment for one too many. */
async function made(server: SilentServer, count: number): Promise<void> {
  while (server.waiting.length < count) await new Promise((done) => setTimeout(done, 1));
  for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done));
}

describe('requests to S3', () => {
  it('are given up after the time of silence, and not before', async () => {
    const server = new SilentServer();
    const store = await server.open({ silenceMs: 5_000 });
    const put = store.put('key', Buffer.from('x'));
    const failed = expect(put).rejects.toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
      effect: 'unknown',
    });
    await made(server, 1);
    await server.clock.advance(4_999);
    expect(server.waiting[0]?.request.signal.aborted).toBe(false);
    server.waiting[0]?.request.onProgress?.();
    await server.clock.advance(4_999);
    expect(server.waiting[0]?.request.signal.aborted).toBe(false);
    await server.clock.advance(2);
    await failed;
    expect(server.waiting.length).toBe(1); // nothing is tried twice in here
    await store.close();
  });

  it('are sixteen at a time, in the order they came; who gives up waiting takes no turn', async () => {
    const server = new SilentServer();
    const store = await server.open();
    const controller = new AbortController();
    const heads = Array.from({ length: 40 }, (_, at) =>
      store.head(`key-${at}`, at === 20 ? { signal: controller.signal } : {}),
    );
    const settled = Promise.allSettled(heads);
    await made(server, 16);
    expect(server.waiting.length).toBe(16);
    controller.abort();
    for (let answered = 0; answered < 39; answered++) {
      server.waiting[answered]?.answer(200);
      const wanted = Math.min(39, 16 + answered + 1);
      await made(server, wanted);
      expect(server.waiting.length).toBe(wanted);
    }
    const outcomes = (await settled).map(({ status }) => status);
    expect(outcomes.filter((status) => status === 'rejected').length).toBe(1);
    expect(server.waiting.map(({ request }) => request.url.pathname)).not.toContain('/key-20');
    await store.close();
  });

  it('end with their signal and with the store, with effect unknown once they were sent', async () => {
    const server = new SilentServer();
    const store = await server.open();
    const controller = new AbortController();
    const aborted = store.put('a', Buffer.from('x'), { signal: controller.signal });
    const closed = store.put('b', Buffer.from('x'));
    const outcomes = Promise.allSettled([aborted, closed]);
    await made(server, 2);
    controller.abort();
    await store.close();
    expect(await outcomes).toMatchObject([
      { reason: { code: 'ABORTED', effect: 'unknown' } },
      { reason: { code: 'CLOSED', effect: 'unknown' } },
    ]);
  });

  it('carry the hash of their body and no secret', async () => {
    const server = new SilentServer();
    const store = await server.open({ region: 'eu-west-1' });
    const put = store.put('a b/+', Buffer.from('x'), { writeId: 'ab'.repeat(16) });
    await made(server, 1);
    const [{ request, answer } = { request: undefined, answer: () => undefined }] = server.waiting;
    expect(request?.url.href).toBe('https://bucket.s3.eu-west-1.amazonaws.com/a%20b/%2B');
    expect(request?.headers).toMatchObject({
      'x-amz-content-sha256': '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881',
      'x-amz-meta-holdfast-write': 'ab'.repeat(16),
      'x-amz-date': '20260101T000000Z',
    });
    expect(JSON.stringify(request?.headers)).not.toContain('secret');
    answer(200);
    expect(await put).toEqual({ etag: 'e', size: 1 });
    await store.close();
  });
});

/** The published JavaScript client against the real server. */
import { DurableStream, IdempotentProducer, stream } from '@durable-streams/client';
import { describe, expect, it } from 'vitest';
import { JSON_TYPE, OCTETS, expectStatus, readAll, readMessages } from './http-request.ts';
import { ServerProcess } from './server-process.ts';
import { useServer } from './use-server.ts';

interface Numbered {
  readonly n: number;
}

const JSON_CONTENT = 'application/json';
const numbers = (count: number, from = 0): Numbered[] =>
  Array.from({ length: count }, (_, index) => ({ n: from + index }));

/**
 * The producer leaves lost connections to its fetch, and must see every 4xx itself: it
 * coordinates pipelined requests by the 409 of a sequence gap.
 */
const retryingFetch: typeof fetch = async (...request) => {
  for (;;) {
    const response = await fetch(...request).catch(() => undefined);
    if (response !== undefined && response.status < 500) return response;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

const server = useServer();

describe('published client', () => {
  it('creates, appends with its automatic batching, and reads back in order', async () => {
    const url = server().stream('client/batching');
    const handle = await DurableStream.create({ url, contentType: JSON_CONTENT });
    await Promise.all(numbers(500).map((message) => handle.append(JSON.stringify(message))));

    const response = await handle.stream<Numbered>({ json: true, live: false });
    expect(await response.json()).toEqual(numbers(500));

    const tail = (await expectStatus(200, 'HEAD', url)).nextOffset;
    expect(response.offset).toBe(tail);
    expect(response.upToDate).toBe(true);
  });

  it('keeps bytes of a binary stream, appended whole and as a stream', async () => {
    const url = server().stream('client/binary');
    const handle = await DurableStream.create({ url, contentType: 'application/octet-stream' });
    const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => (index * 31) % 256);
    await handle.append(bytes);
    const pieces = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += 7_000) {
          controller.enqueue(bytes.subarray(at, at + 7_000));
        }
        controller.close();
      },
    });
    await handle.appendStream(pieces);

    const read = await (await handle.stream({ live: false })).body();
    expect(Buffer.compare(read, Buffer.concat([bytes, bytes]))).toBe(0);
  });

  it('sees closure, refuses appends after it, and deletes', async () => {
    const url = server().stream('client/closing');
    const handle = await DurableStream.create({ url, contentType: JSON_CONTENT });
    await handle.append('{"n":0}');
    const { finalOffset } = await handle.close({ body: '{"n":1}' });

    const head = await DurableStream.head({ url });
    expect(head).toMatchObject({ exists: true, streamClosed: true, offset: finalOffset });
    await expect(handle.append('{"n":2}')).rejects.toMatchObject({ status: 409 });

    const response = await stream<Numbered>({ url, live: true, json: true });
    const seen: Numbered[] = [];
    for await (const message of response.jsonStream()) seen.push(message);
    expect(seen).toEqual(numbers(2));

    await DurableStream.delete({ url });
    await expect(stream({ url, live: false })).rejects.toMatchObject({ status: 404 });
  });

  it('ends with an error where the stream is not: nothing answers 404 with a retry', async () => {
    const url = server().stream('client/absent');
    const handle = new DurableStream({ url, contentType: 'text/plain' });
    await expect(handle.append('x')).rejects.toMatchObject({ status: 404 });
    await expect(stream({ url })).rejects.toMatchObject({ status: 404 });
  });
});

describe.each(['long-poll', 'sse'] as const)('published client, live by %s', (live) => {
  it('delivers what was there and what comes, once and in order, to the closing message', async () => {
    const url = server().stream(`client/live-${live}`);
    const handle = await DurableStream.create({ url, contentType: JSON_CONTENT });
    for (const message of numbers(10)) await handle.append(JSON.stringify(message));

    const response = await stream<Numbered>({ url, offset: '-1', live, json: true });
    const seen: Numbered[] = [];
    const reading = (async () => {
      for await (const message of response.jsonStream()) seen.push(message);
    })();
    for (const message of numbers(90, 10)) await handle.append(JSON.stringify(message));
    await handle.close({ body: '{"n":100}' });
    await reading;

    expect(seen).toEqual(numbers(101));
    expect(response.streamClosed).toBe(true);
  });

  it('carries binary messages unchanged', async () => {
    const url = server().stream(`client/live-binary-${live}`);
    const handle = await DurableStream.create({ url, contentType: 'application/octet-stream' });
    const response = await stream({ url, offset: '-1', live });
    const received: Uint8Array[] = [];
    const reading = (async () => {
      for await (const chunk of response.bodyStream()) received.push(chunk);
    })();
    const all: Uint8Array[] = [];
    for (let index = 0; index < 20; index++) {
      const bytes = Uint8Array.from({ length: 1 + index * 97 }, (_, at) => (at * 7 + index) % 256);
      all.push(bytes);
      await handle.append(bytes);
    }
    await handle.close();
    await reading;
    expect(Buffer.concat(received).equals(Buffer.concat(all))).toBe(true);
  });
});

describe('published client, over a crash of the server', () => {
  it.each(['long-poll', 'sse'] as const)(
    'resumes a live read by %s after kill and restart, without loss or repetition',
    async (live) => {
      await using own = await ServerProcess.start();
      const url = own.stream(`resume-${live}`);
      await expectStatus(201, 'PUT', url, { headers: JSON_TYPE });
      const append = (n: number) =>
        expectStatus(204, 'POST', url, { headers: JSON_TYPE, body: `{"n":${n}}` });
      for (let n = 0; n < 20; n++) await append(n);

      // Read by offset over several sessions, as a client that keeps its offset does.
      let offset = '-1';
      const seen: Numbered[] = [];
      const readSession = async (until: number): Promise<void> => {
        const abort = new AbortController();
        const response = await stream<Numbered>({
          url,
          offset,
          live,
          json: true,
          signal: abort.signal,
        });
        await new Promise<void>((resolve) => {
          response.subscribeJson((batch) => {
            seen.push(...batch.items);
            offset = batch.offset;
            if (seen.length >= until) resolve();
          });
        });
        response.cancel();
        abort.abort();
      };
      await readSession(20);
      await own.kill();
      await own.restart();
      for (let n = 20; n < 40; n++) await append(n);
      await readSession(40);
      expect(seen).toEqual(numbers(40));
    },
    60_000,
  );

  it('an idempotent producer that retries over kills leaves every message once, in order', async () => {
    await using own = await ServerProcess.start();
    const url = own.stream('producer');
    const handle = await DurableStream.create({ url, contentType: JSON_CONTENT });
    const failures: Error[] = [];
    const producer = new IdempotentProducer(handle, 'writer-1', {
      lingerMs: 0,
      maxBatchBytes: 200,
      fetch: retryingFetch,
      onError: (error) => failures.push(error),
    });
    let next = 0;
    for (let round = 0; round < 4; round++) {
      for (let index = 0; index < 150; index++) producer.append(`{"n":${next++}}`);
      // In the middle of its requests: acknowledged, written and lost ones are mixed.
      while (producer.pendingCount > 400) await new Promise((resolve) => setTimeout(resolve, 1));
      await own.kill();
      await own.restart();
    }
    await producer.flush();
    await producer.detach();

    expect(failures).toEqual([]);
    expect(await readMessages<Numbered>(url)).toEqual(numbers(next));
  }, 90_000);

  it('a plain retry of an acknowledged producer request after a kill is a duplicate, not data', async () => {
    await using own = await ServerProcess.start();
    const url = own.stream('retry');
    await expectStatus(201, 'PUT', url, { headers: OCTETS });
    const headers = { ...OCTETS, 'producer-id': 'p', 'producer-epoch': '3', 'producer-seq': '0' };
    await expectStatus(200, 'POST', url, { headers, body: 'once' });
    await own.kill();
    await own.restart();
    const again = await expectStatus(204, 'POST', url, { headers, body: 'once' });
    expect(again.headers['producer-seq']).toBe('0');
    expect((await readAll(url)).toString()).toBe('once');
    const stale = { ...headers, 'producer-epoch': '2' };
    const fenced = await expectStatus(403, 'POST', url, { headers: stale, body: 'zombie' });
    expect(fenced.headers['producer-epoch']).toBe('3');
  }, 60_000);
});

/** Faults other servers had with live readers. */
import { describe, expect, it } from 'vitest';
import { expectStatus, JSON_TYPE, OCTETS, request, TEXT } from '../http-request.ts';
import { LiveReader } from '../live-reader.ts';
import { hasProcessCounters, residentBytes } from '../process-counters.ts';
import { ServerProcess } from '../server-process.ts';
import { useServer } from '../use-server.ts';

const MIB = 1024 * 1024;
const server = useServer({ longPollTimeoutMs: 5_000 });

describe('closing', () => {
  it.each([
    ['bytes', OCTETS, 'last', 'last'],
    ['JSON', JSON_TYPE, '{"last":true}', '[{"last":true}]'],
  ])(
    'append-and-close gives a waiting long-poll the final %s',
    async (name, headers, body, read) => {
      const url = server().stream(`live/close-${name}`);
      const { nextOffset } = await expectStatus(201, 'PUT', url, { headers });
      const waiters = Array.from({ length: 20 }, () =>
        request('GET', `${url}?offset=${nextOffset}&live=long-poll`),
      );
      await untilParked();
      const closing = { ...headers, 'stream-closed': 'true' };
      const closed = await expectStatus(204, 'POST', url, { headers: closing, body });
      for (const answer of await Promise.all(waiters)) {
        expect([answer.status, answer.text]).toEqual([200, read]);
        expect(answer.nextOffset).toBe(closed.nextOffset);
        expect(answer.headers['stream-closed']).toBe('true');
      }
    },
  );

  it('append-and-close gives a parked SSE reader the final message, then the end', async () => {
    const url = server().stream('live/close-sse');
    await expectStatus(201, 'PUT', url, { headers: TEXT });
    const reader = await LiveReader.open(`${url}?offset=-1&live=sse`);
    await reader.untilEvents((events) => events.length > 0);
    const closing = { ...TEXT, 'stream-closed': 'true' };
    await expectStatus(204, 'POST', url, { headers: closing, body: 'the end' });
    await reader.untilEvents((events) => events.some((event) => /streamClosed/.test(event.data)));
    const data = reader.events().filter((event) => event.event === 'data');
    expect(data.map((event) => event.data)).toEqual(['the end']);
    expect(reader.controls().at(-1)).toMatchObject({ streamClosed: true });
    reader.destroy();
  });
});

describe('waking', () => {
  it('an append to a source wakes nobody who waits on its fork', async () => {
    const source = server().stream('live/source');
    const fork = server().stream('live/fork');
    await expectStatus(201, 'PUT', source, { headers: OCTETS, body: 'inherited' });
    const made = await expectStatus(201, 'PUT', fork, {
      headers: { 'stream-forked-from': new URL(source).pathname },
    });
    let woken = false;
    const waiter = request('GET', `${fork}?offset=${made.nextOffset}&live=long-poll`).then(
      (answer) => {
        woken = true;
        return answer;
      },
    );
    await untilParked();
    for (let n = 0; n < 20; n++)
      await expectStatus(204, 'POST', source, { headers: OCTETS, body: 'x' });
    await untilParked();
    expect(woken).toBe(false);
    await expectStatus(204, 'POST', fork, { headers: OCTETS, body: 'own' });
    expect((await waiter).text).toBe('own');
  });

  it('a deleted stream lets its waiters go', async () => {
    const url = server().stream('live/deleted');
    const { nextOffset } = await expectStatus(201, 'PUT', url, { headers: OCTETS });
    const waiter = request('GET', `${url}?offset=${nextOffset}&live=long-poll`);
    const reader = await LiveReader.open(`${url}?offset=-1&live=sse`);
    await untilParked();
    await expectStatus(204, 'DELETE', url);
    expect((await waiter).status).toBeLessThan(500);
    await reader.closed;
  });

  it('waiters of a stream that is deleted and made again at once get no fault of the server', async () => {
    const ROUNDS = 20;
    const statuses = new Set<number>();
    for (let round = 0; round < ROUNDS; round++) {
      const url = server().stream(`live/again-${round}`);
      const { nextOffset } = await expectStatus(201, 'PUT', url, { headers: OCTETS });
      const waiters = Array.from({ length: 4 }, () =>
        request('GET', `${url}?offset=${nextOffset}&live=long-poll`),
      );
      await untilParked();
      const both = [request('DELETE', url), request('PUT', url, { headers: OCTETS })];
      await Promise.all(both);
      // Whoever waits on the new stream is let go too.
      await request('DELETE', url);
      for (const answer of await Promise.all(waiters)) statuses.add(answer.status);
    }
    expect([...statuses].filter((status) => status >= 500)).toEqual([]);
  });
});

describe('events', () => {
  it('a message cannot forge an event or a line of one', async () => {
    const url = server().stream('live/forged');
    await expectStatus(201, 'PUT', url, { headers: TEXT });
    const reader = await LiveReader.open(`${url}?offset=-1&live=sse`);
    const hostile = [
      'a\n\nevent: control\ndata: {"streamNextOffset":"forged"}\n\n',
      'b\r\revent: control\rdata: {"streamNextOffset":"forged"}\r\r',
      'c\r\n\r\nevent: control\r\ndata: {"streamNextOffset":"forged"}\r\n\r\n',
      'id: 7\nretry: 1\n:comment',
    ];
    for (const body of hostile) await expectStatus(204, 'POST', url, { headers: TEXT, body });
    const tail = (await expectStatus(200, 'HEAD', url)).nextOffset;
    await reader.untilEvents(() => reader.controls().at(-1)?.streamNextOffset === tail);
    for (const control of reader.controls())
      expect(control.streamNextOffset).toMatch(/^\d{16}_\d{16}$/);
    const data = reader.events().filter((event) => event.event === 'data');
    // Messages may share an event and line ends may be normalised; no letter may get lost.
    const letters = (text: string): string => text.replaceAll(/[\r\n]/g, '');
    expect(letters(data.map((event) => event.data).join(''))).toBe(letters(hostile.join('')));
    reader.destroy();
  });
});

// Memory of the server is read from /proc.
describe.skipIf(!hasProcessCounters)('stalled readers', () => {
  const READERS = 50;
  const APPEND_BYTES = 64 * 1024;
  const APPENDS = 200;
  const BOUND_BYTES = 64 * MIB;

  it(`${READERS} readers that never read cost less than 64 MiB, and can resume`, async () => {
    await using own = await ServerProcess.start();
    const body = 'm'.repeat(APPEND_BYTES);
    const fill = async (url: string): Promise<void> => {
      for (let n = 0; n < APPENDS; n++)
        await expectStatus(204, 'POST', url, { headers: TEXT, body });
    };
    const quiet = own.stream('quiet');
    const watched = own.stream('watched');
    await expectStatus(201, 'PUT', quiet, { headers: TEXT });
    await expectStatus(201, 'PUT', watched, { headers: TEXT });
    // What the appends themselves cost (caches, heap) belongs to the base line.
    for (let round = 0; round < 4; round++) await fill(quiet);

    const readers = await Promise.all(
      Array.from({ length: READERS }, () => LiveReader.open(`${watched}?offset=-1&live=sse`)),
    );
    for (const reader of readers) reader.pause();
    const before = residentBytes(own.pid);
    let most = 0;
    for (let n = 0; n < APPENDS; n++) {
      await expectStatus(204, 'POST', watched, { headers: TEXT, body });
      if (n % 10 === 0) most = Math.max(most, residentBytes(own.pid));
    }
    most = Math.max(most, residentBytes(own.pid));
    console.log(`stalled readers: ${READERS}, resident +${((most - before) / MIB).toFixed(1)} MiB`);
    expect(most - before).toBeLessThan(BOUND_BYTES);

    // One of them wakes up: dropped or not, what it has is whole and it can go on from there.
    const late = readers[0] as LiveReader;
    late.resume();
    await Promise.race([
      late.closed,
      late.untilEvents(() => late.controls().at(-1)?.upToDate === true),
    ]);
    const last = late.controls().at(-1)?.streamNextOffset ?? '-1';
    const had = late
      .events()
      .filter((event) => event.event === 'data')
      .slice(0, late.controls().length)
      .reduce((sum, event) => sum + event.data.length, 0);
    let rest = 0;
    for (let at = last; ;) {
      const chunk = await expectStatus(200, 'GET', `${watched}?offset=${at}`);
      rest += chunk.body.length;
      if (chunk.headers['stream-up-to-date'] === 'true') break;
      at = chunk.nextOffset;
    }
    expect(had + rest).toBe(APPENDS * APPEND_BYTES);
    for (const reader of readers) reader.destroy();
  }, 60_000);
});

/** Long enough for requests on the way to be parked; too short only makes a test weaker. */
function untilParked(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 100));
}

/** What each way of failing means to the caller: the code, and whether the write may have happened. */
import { inspect } from 'node:util';
import { type Effect, type ErrorCode, NodeClock, NodeRandom } from '@holdfast/core';
import {
  type ObjectStore,
  openS3ObjectStore,
  readObject,
  type S3Settings,
} from '@holdfast/objects';
import { FakeS3Server, type S3FaultKind } from '@holdfast/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const PART_BYTES = 5 * 1024 * 1024;
const seams = { clock: new NodeClock(), random: new NodeRandom() };
let server: FakeS3Server;
let store: ObjectStore;
/** Waits a second; the other one long, because a busy machine is silent too. */
let hasty: ObjectStore;

function open(settings: Partial<S3Settings> = {}): Promise<ObjectStore> {
  const { bucket, endpoint, identity: credentials } = server;
  const place = { bucket, endpoint, credentials, partBytes: PART_BYTES };
  return openS3ObjectStore({ ...place, ...settings }, seams);
}

beforeAll(async () => {
  server = await FakeS3Server.start();
});
afterAll(() => server.stop());
beforeEach(async () => {
  store = await open();
  hasty = await open({ silenceMs: 1_000, conditions: 'none' });
  await store.put('key', Buffer.from('some bytes'));
});
afterEach(async () => {
  server.clearFaults();
  await store.close();
  await hasty.close();
});

const UNAVAILABLE: ErrorCode = 'STORAGE_UNAVAILABLE';

describe('a write that fails', () => {
  const table: readonly [S3FaultKind, Effect][] = [
    ['slow-down', 'none'],
    ['conflict', 'none'],
    ['expired-token', 'none'],
    ['internal-error', 'unknown'],
    ['internal-error-after', 'unknown'],
    ['bad-gateway', 'unknown'],
    ['not-found-page', 'unknown'],
    ['reset', 'unknown'],
    ['reset-after', 'unknown'],
    ['hang', 'unknown'],
    ['hang-after', 'unknown'],
  ];
  for (const [kind, effect] of table) {
    it(`by ${kind} has effect ${effect}, and is never a missing object`, async () => {
      const asked = kind.startsWith('hang') ? hasty : store;
      for (const write of [() => asked.put('key', Buffer.from('new')), () => asked.delete('key')]) {
        server.fail({ kind });
        await expect(write()).rejects.toMatchObject({ code: UNAVAILABLE, effect });
        expect(server.faultsLeft).toBe(0);
      }
    });
  }

  it('before anything was sent has effect none', async () => {
    await server.stop();
    const put = store.put('key', Buffer.from('new')).catch(() => undefined);
    await put; // this one may still find a connection that was kept
    await expect(store.put('key', Buffer.from('new'))).rejects.toMatchObject({
      code: UNAVAILABLE,
      effect: 'none',
    });
    await server.restart();
  });
});

describe('a read that fails', () => {
  const kinds: readonly S3FaultKind[] = [
    'slow-down',
    'internal-error',
    'bad-gateway',
    'not-found-page',
    'reset',
    'hang',
    'truncate',
    'stall',
  ];
  for (const kind of kinds) {
    it(`by ${kind} is unavailable, and never a missing or a shorter object`, async () => {
      const asked = kind === 'hang' || kind === 'stall' ? hasty : store;
      const unavailable = { code: UNAVAILABLE, effect: 'none' };
      server.fail({ kind });
      await expect(readObject(asked, 'key', { maxBytes: 100 })).rejects.toMatchObject(unavailable);
      server.fail({ kind });
      await expect(asked.list()).rejects.toMatchObject(unavailable);
      if (kind === 'truncate' || kind === 'stall') return; // a HEAD has no body
      server.fail({ kind, times: 2 });
      await expect(asked.head('key')).rejects.toMatchObject(unavailable);
    });
  }

  it('a list cut in the middle, and announced so, is refused', async () => {
    server.fail({ kind: 'garble' });
    await expect(store.list()).rejects.toMatchObject({ code: UNAVAILABLE });
  });

  it('a body without end is cut at its announced length, by what comes after', async () => {
    const content = await store.get('key', { range: { offset: 2, length: 3 } });
    const pieces: Buffer[] = [];
    for await (const piece of content.body) pieces.push(piece);
    expect(Buffer.concat(pieces).toString()).toBe('me ');
  });
});

describe('a large upload', () => {
  const large = Buffer.alloc(3 * PART_BYTES + 1, 'large');

  it('that fails in a part is aborted, and nobody ever saw it', async () => {
    for (const kind of ['slow-down', 'reset', 'internal-error-after'] as const) {
      let parts = 0;
      const when = ({ query }: { query: ReadonlyMap<string, string> }): boolean =>
        query.has('partNumber') && ++parts === 2;
      server.fail({ kind, when });
      await expect(store.put('large', large)).rejects.toMatchObject({
        code: UNAVAILABLE,
        effect: 'none',
      });
      expect(server.contents.uploads).toBe(0);
      expect(server.contents.keys).not.toContain('large');
    }
  });

  it('whose end fails in the answer that said 200 has failed', async () => {
    server.fail({ kind: 'late-error', when: ({ query, method }) => isEnd(method, query) });
    await expect(store.put('large', large)).rejects.toMatchObject({
      code: UNAVAILABLE,
      effect: 'unknown',
    });
  });

  it('whose end is lost may be there', async () => {
    server.fail({ kind: 'reset-after', when: ({ query, method }) => isEnd(method, query) });
    await expect(store.put('large', large)).rejects.toMatchObject({ effect: 'unknown' });
    expect(server.contents.keys).toContain('large');
    await store.delete('large');
  });

  it('that could not even be aborted is a leftover, and can be removed', async () => {
    const before = server.contents.uploads;
    for (let times = 0; times < 3; times++) {
      server.fail({ kind: 'slow-down', when: ({ query }) => query.has('partNumber') });
      server.fail({ kind: 'slow-down', when: ({ method }) => method === 'DELETE' });
      await expect(store.put(`left/${times}`, large)).rejects.toMatchObject({ effect: 'none' });
    }
    expect(server.contents.uploads).toBe(before + 3);
    expect(await store.removeLeftovers({ olderThanMs: 60_000 })).toBe(0);
    expect(await store.removeLeftovers({ olderThanMs: -10_000 })).toBe(before + 3);
    expect(server.contents.uploads).toBe(0);
  });

  it('holds no more parts in memory than it may', async () => {
    let underWay = 0;
    let most = 0;
    const total = 12;
    const inner = await open({ uploads: 2 });
    async function* source(): AsyncGenerator<Buffer> {
      for (let part = 0; part < total; part++) {
        underWay = part - partsDone();
        most = Math.max(most, underWay);
        yield Buffer.alloc(PART_BYTES, part);
      }
    }
    const from = server.requests.length;
    const partsDone = (): number =>
      server.requests.slice(from).filter((request) => request.includes('partNumber')).length;
    await inner.put('bounded', source());
    expect(most).toBeLessThanOrEqual(4); // two under way, one waiting, one being asked for
    expect((await inner.head('bounded')).size).toBe(total * PART_BYTES);
    await inner.close();
  });

  it('of more parts than S3 takes is refused before anything is sent', async () => {
    const from = server.requests.length;
    const contentLength = PART_BYTES * 10_000 + 1;
    await expect(
      store.put('huge', (async function* () {})(), { contentLength }),
    ).rejects.toMatchObject({ code: 'OBJECT_TOO_LARGE', effect: 'none' });
    expect(server.requests.length).toBe(from);
  });
});

describe('what S3 refuses', () => {
  it('is named: bucket, region, credentials, clock', async () => {
    const none = { conditions: 'none' as const };
    const cases: readonly [Partial<S3Settings>, ErrorCode][] = [
      [{ bucket: 'another-bucket' }, 'INVALID_SETTINGS'],
      [{ region: 'eu-west-9' }, 'INVALID_SETTINGS'],
      [{ credentials: { ...server.identity, secretAccessKey: 'wrong' } }, 'ACCESS_DENIED'],
      [{ credentials: { ...server.identity, accessKeyId: 'WRONG' } }, 'ACCESS_DENIED'],
    ];
    for (const [settings, code] of cases) {
      const other = await open({ ...none, ...settings });
      await expect(other.get('key')).rejects.toMatchObject({ code });
      await expect(other.head('key')).rejects.toMatchObject({ code });
      await expect(other.put('key', Buffer.from('x'))).rejects.toMatchObject({ code });
      await other.close();
      await expect(open(settings)).rejects.toMatchObject({ code }); // already the probe
    }
  });

  it('names no secret in any error', async () => {
    const secretAccessKey = 'S3CRET-0123456789-S3CRET';
    const other = await open({
      conditions: 'none',
      credentials: { accessKeyId: 'WRONG', secretAccessKey, sessionToken: 'T0KEN-T0KEN' },
    });
    for (const call of [() => other.get('key'), () => other.put('key', Buffer.from('x'))]) {
      const error: unknown = await call().catch((caught: unknown) => caught);
      const shown = inspect(error, { depth: 20, showHidden: true });
      expect(shown).not.toContain('S3CRET');
      expect(shown).not.toContain('T0KEN');
    }
    expect(inspect(other, { depth: 20, showHidden: true })).not.toContain('S3CRET');
    await other.close();
  });
});

function isEnd(method: string, query: ReadonlyMap<string, string>): boolean {
  return method === 'POST' && query.has('uploadId');
}

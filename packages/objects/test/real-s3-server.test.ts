/**
 * The S3 store against a real server: the same suite as against the fake, and a server that is
 * killed in the middle. `npm run s3-server -- install` brings the server; in CI it must be there.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeClock, NodeRandom, hasCode } from '@holdfast/core';
import {
  type ObjectStore,
  openS3ObjectStore,
  readObject,
  RetryingObjectStore,
} from '@holdfast/objects';
import { objectStoreConformance } from '@holdfast/objects/conformance';
import { findRealS3Server, RealS3Server } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const PART_BYTES = 5 * 1024 * 1024;
const HOW = 'no S3 server here: npm run s3-server -- install';
const seams = { clock: new NodeClock(), random: new NodeRandom() };
const program = findRealS3Server();

it('the real S3 server is installed wherever CI could have it', () => {
  const { CI, HOLDFAST_WITHOUT_S3_SERVER } = process.env;
  const needed = CI !== undefined && HOLDFAST_WITHOUT_S3_SERVER === undefined;
  expect(program !== undefined || !needed, HOW).toBe(true);
});

if (program === undefined) console.warn(`S3 tests against a real server are skipped: ${HOW}`);

// Skipped only where the server is not installed, which is said above and is an error in CI.
describe.skipIf(program === undefined)('on a real S3 server', () => {
  let directory: string;
  let server: RealS3Server;
  let places = 0;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'holdfast-s3-'));
    server = await RealS3Server.start({ program: program ?? '', directory });
  });
  afterAll(async () => {
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  });

  function open(prefix: string): Promise<ObjectStore> {
    const { bucket, endpoint, region, credentials } = server;
    const place = { bucket, endpoint, region, prefix };
    return openS3ObjectStore({ ...place, credentials, partBytes: PART_BYTES }, seams);
  }

  describe('the S3 store', () => {
    objectStoreConformance({
      it,
      open: async () => {
        const prefix = `place-${++places}`;
        return { store: await open(prefix), reopen: () => open(prefix) };
      },
      unsupported: { nestedKeys: 'it keeps objects as files, and a folder is no file' },
      largeBytes: 2 * PART_BYTES + 12_345,
    });
  });

  describe('the retrying S3 store', () => {
    objectStoreConformance({
      it,
      open: async () => ({
        store: new RetryingObjectStore(await open(`place-${++places}`), seams),
      }),
      unsupported: {
        nestedKeys: 'it keeps objects as files, and a folder is no file',
        reopen: 'shown above',
      },
      largeBytes: 300_000,
    });
  });

  it('a wrong secret and a bucket that is not there are no missing objects', async () => {
    const { bucket, endpoint, credentials } = server;
    const place = { endpoint, conditions: 'none' as const };
    const wrong = { ...credentials, secretAccessKey: 'wrong' };
    const stranger = await openS3ObjectStore({ ...place, bucket, credentials: wrong }, seams);
    await expect(stranger.get('key')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(stranger.head('key')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await stranger.close();
    const elsewhere = await openS3ObjectStore({ ...place, bucket: 'no-such', credentials }, seams);
    await expect(elsewhere.get('key')).rejects.toMatchObject({ code: 'INVALID_SETTINGS' });
    await expect(elsewhere.head('key')).rejects.toMatchObject({ code: 'INVALID_SETTINGS' });
    await expect(elsewhere.list()).rejects.toMatchObject({ code: 'INVALID_SETTINGS' });
    await elsewhere.close();
  });

  it('killed and started again in the middle, it loses nothing that was acknowledged', async () => {
    const patience = { attempts: 60, retryMs: 50, maxRetryMs: 200 };
    const inner = await open('killed');
    const store = new RetryingObjectStore(inner, seams, patience);
    const kept: { key: string; bytes: Buffer }[] = [];
    let winners = 0;
    const write = async (lane: number): Promise<void> => {
      for (let turn = 0; turn < 12; turn++) {
        const key = `lane-${lane}/turn-${turn}`;
        const bytes = Buffer.alloc(turn === 5 ? PART_BYTES + 10 : 1_000 + turn, `${lane}.${turn};`);
        await store.put(key, bytes, { ifAbsent: true });
        kept.push({ key, bytes });
        try {
          await store.put(`contended/${turn}`, Buffer.from(`${lane}`), { ifAbsent: true });
          winners++;
        } catch (error) {
          if (!hasCode(error, 'PRECONDITION_FAILED')) throw error;
        }
      }
    };
    const lanes = Promise.all([1, 2, 3].map(write));
    for (let kills = 0; kills < 3; kills++) {
      await new Promise((done) => setTimeout(done, 150));
      await server.kill();
      await new Promise((done) => setTimeout(done, 100));
      await server.restart();
    }
    await lanes;
    expect(winners).toBe(12);
    expect(kept.length).toBe(36);
    for (const { key, bytes } of kept) {
      const found = await readObject(store, key, { maxBytes: 2 * PART_BYTES });
      expect(found.equals(bytes), key).toBe(true);
    }
    await store.removeLeftovers({ olderThanMs: -60_000 });
    const listed = await store.list({ prefix: 'lane-' });
    expect(listed.objects.length).toBe(36);
    await store.close();
  });

  it('while it is down, every call says so, and nothing may have happened', async () => {
    const store = await open('down');
    await store.put('key', Buffer.from('x'));
    await server.kill();
    for (const call of [
      () => store.get('key'),
      () => store.head('key'),
      () => store.list(),
      () => store.put('key', Buffer.from('y')),
      () => store.delete('key'),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    }
    // Connections that were kept are broken by now, so that this one is refused at once.
    await expect(store.put('key', Buffer.from('y'))).rejects.toMatchObject({ effect: 'none' });
    await server.restart();
    expect((await readObject(store, 'key', { maxBytes: 10 })).toString()).toBe('x');
    await store.close();
  });
});

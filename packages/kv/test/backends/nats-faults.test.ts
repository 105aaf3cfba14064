import { LIMITS, NodeClock, NodeRandom } from '@holdfast/core';
import { openNatsKvStore } from '@holdfast/kv/backends/nats';
import { findRealNats, RealNats } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadNats, type NatsBucket } from '../../src/backends/nats/nats-driver.ts';
import { type FaultyPlace, faultTests, rejects, rotten, silenceTests } from './faults.ts';
import { removeScratch, scratch, serverTests } from './servers.ts';

const seams = { clock: new NodeClock(), random: new NodeRandom() };
const program = findRealNats();
const TIMEOUT_MS = 1_500;

// Skipped only where the server is not installed, which is said, and is an error in CI.
describe.skipIf(!serverTests('NATS', program))('a store in a NATS with faults', () => {
  const directory = scratch();
  let server: RealNats;
  let places = 0;
  beforeAll(async () => {
    server = await RealNats.start(program as string, directory);
  });
  afterAll(async () => {
    await server.stop();
    removeScratch(directory);
  });

  const withBucket = async (
    name: string,
    act: (bucket: NatsBucket) => Promise<void>,
    settings: object = {},
  ): Promise<void> => {
    const nats = await loadNats();
    const connection = await nats.connect({ servers: server.url });
    await act(await nats.bucket(connection, name, settings));
    await connection.close();
  };

  const newPlace = async (): Promise<Required<FaultyPlace>> => {
    const bucket = `faulty_${++places}`;
    const settings = { id: 'nats', servers: server.url, bucket, timeoutMs: TIMEOUT_MS };
    return {
      open: (epoch = 0) => openNatsKvStore(seams, { ...settings, epoch }),
      kill: () => server.kill(),
      restart: () => server.restart(),
      pause: () => server.pause(),
      resume: () => server.resume(),
      rot: (key, at) =>
        withBucket(bucket, async (opened) => {
          const name = `e.${Buffer.from(key).toString('base64url')}`;
          const entry = await opened.get(name);
          const { value = Buffer.alloc(0), revision: previousSeq = 0 } = entry ?? {};
          await opened.put(name, rotten(Buffer.from(value), at), { previousSeq });
        }),
    };
  };

  faultTests(newPlace);
  silenceTests(newPlace);

  it('refuses a bucket whose entries go by themselves', async () => {
    await withBucket('short', () => Promise.resolve(), { ttl: 60_000 });
    const settings = { id: 'nats', servers: server.url, bucket: 'short' };
    await rejects(openNatsKvStore(seams, settings), 'INVALID_SETTINGS');
  });

  it('drops what deleted entries leave once it is old, and nothing that came after', async () => {
    const bucket = 'old';
    const settings = { id: 'nats', servers: server.url, bucket };
    const store = await openNatsKvStore(seams, settings);
    for (const key of ['gone', 'again']) await store.put(key, Buffer.from('1'));
    for (const key of ['gone', 'again']) await store.del(key);
    await store.put('again', Buffer.from('2'));
    await store.close();
    const clock = new NodeClock();
    const later = await openNatsKvStore(
      { ...seams, clock: Object.assign(clock, { now: () => Date.now() + 2 * LIMITS.tombstoneMs }) },
      settings,
    );
    await later.put('other', Buffer.from('1')); // now it is the writer
    const name = (key: string): string => `e.${Buffer.from(key).toString('base64url')}`;
    await withBucket(bucket, async (opened) => {
      await vi.waitFor(async () => expect(await opened.get(name('gone'))).toBeNull(), {
        timeout: 10_000,
      });
      expect(Buffer.from((await opened.get(name('again')))?.value ?? []).includes('2')).toBe(true);
    });
    expect(await later.getMany(['gone', 'again'])).toEqual([undefined, Buffer.from('2')]);
    await later.close();
  });
});

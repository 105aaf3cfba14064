import { NodeClock } from '@holdfast/core';
import { openRedisKvStore } from '@holdfast/kv/backends/redis';
import { findRealRedis, RealRedis } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRedisClient } from '../../src/backends/redis/redis-driver.ts';
import { type FaultyPlace, faultTests, rejects, rotten, silenceTests } from './faults.ts';
import { removeScratch, scratch, serverTests } from './servers.ts';

const clock = new NodeClock();
const program = findRealRedis();
const TIMEOUT_MS = 1_000;

// Skipped only where the server is not installed, which is said, and is an error in CI.
describe.skipIf(!serverTests('Redis', program))('a store in a Redis with faults', () => {
  const directory = scratch();
  let server: RealRedis;
  let places = 0;
  beforeAll(async () => {
    server = await RealRedis.start({ program: program as string, directory });
  });
  afterAll(async () => {
    await server.stop();
    removeScratch(directory);
  });

  const newPlace = async (): Promise<Required<FaultyPlace>> => {
    const name = `faulty-${++places}`;
    const settings = { id: 'redis', url: server.url, name, timeoutMs: TIMEOUT_MS };
    return {
      open: (epoch = 0) => openRedisKvStore({ clock }, { ...settings, epoch }),
      kill: () => server.kill(),
      restart: () => server.restart(),
      pause: () => server.pause(),
      resume: () => server.resume(),
      rot: async (key, at) => {
        const client = await createRedisClient(server.url, {});
        const entry = `{${name}}:e:${key}`;
        const bytes = (await client.callBuffer('GET', entry)) as Buffer;
        await client.call('SET', entry, rotten(bytes, at));
        client.disconnect();
      },
    };
  };

  faultTests(newPlace);
  silenceTests(newPlace);

  it('tells how durable the server is, and refuses one that drops entries', async () => {
    const cases = [
      [['--appendonly', 'yes', '--appendfsync', 'always'], 'power'],
      [['--appendonly', 'yes', '--appendfsync', 'everysec'], 'process'],
      [['--appendonly', 'no'], 'none'],
      [['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'], undefined],
    ] as const;
    for (const [args, durability] of cases) {
      const folder = scratch();
      const other = await RealRedis.start({ program: program as string, directory: folder, args });
      const opening = openRedisKvStore({ clock }, { id: 'redis', url: other.url });
      if (durability === undefined) await rejects(opening, 'INVALID_SETTINGS');
      else {
        const store = await opening;
        expect(store.capabilities.durability).toBe(durability);
        await store.close();
      }
      await other.stop();
      removeScratch(folder);
    }
  });
});

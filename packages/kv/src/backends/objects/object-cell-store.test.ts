import { LIMITS, NodeClock, NodeRandom } from '@holdfast/core';
import { MemoryObjectStore } from '@holdfast/objects';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import type { FencedKvStore } from '../../fencing.ts';
import { openS3KvStore } from '../s3/index.ts';

async function namesOf(objects: MemoryObjectStore): Promise<string[]> {
  const { objects: listed } = await objects.list();
  return listed.map(({ key }) => key.slice(0, 2));
}

describe('objects of entries', () => {
  it('that were deleted go, with all their places, once no request can be as old', async () => {
    const random = new SeededRandom(1);
    const clock = new SimClock(random);
    const objects = new MemoryObjectStore({ clock });
    const store = await openS3KvStore({ clock, random, objects }, { id: 's3' });
    await store.put('stays', Buffer.from('1'));
    await store.put('goes', Buffer.from('1'), { ttlMs: 3_600_000 });
    await store.put('again', Buffer.from('1'));
    await store.del('goes');
    await store.del('again');
    await store.put('again', Buffer.from('2'));
    expect(await namesOf(objects)).toEqual(['e/', 'e/', 'e/', 'he', 'o/', 'o/', 't/', 't/']);
    await clock.advance(LIMITS.tombstoneMs - 10_000);
    expect(await namesOf(objects)).toContain('t/');
    await clock.advance(LIMITS.tombstoneMs + 20_000);
    expect(await namesOf(objects)).toEqual(['e/', 'e/', 'he', 'o/', 'o/']);
    expect(String(await store.get('again'))).toBe('2');
    await store.close();
  });

  it('are never twice the same, not even when they say that there is none', async () => {
    const seams = { clock: new NodeClock(), random: new NodeRandom() };
    const objects = new MemoryObjectStore(seams);
    const store = await openS3KvStore({ ...seams, objects }, { id: 's3' });
    const etags = new Set<string>();
    for (let round = 0; round < 6; round++) {
      if (round % 2 === 0) await store.put('key', Buffer.from('1'));
      else await store.del('key');
      const name = (await objects.list({ prefix: 'e/' })).objects[0]?.key as string;
      etags.add((await objects.head(name)).etag);
    }
    expect(etags.size).toBe(6);
    await store.close();
  });

  it('hold a damaged entry of another size, and a head that is damaged, back', async () => {
    const seams = { clock: new NodeClock(), random: new NodeRandom() };
    const objects = new MemoryObjectStore(seams);
    const open = (): Promise<FencedKvStore> => openS3KvStore({ ...seams, objects }, { id: 's3' });
    const store = await open();
    await store.put('key', Buffer.from('1'));
    const name = (await objects.list({ prefix: 'e/' })).objects[0]?.key as string;
    for (const bytes of [0, 1, 5, LIMITS.maxEntryValueBytes + 100]) {
      await objects.put(name, Buffer.alloc(bytes, 1));
      await expect(store.get('key')).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    }
    await objects.put('head', Buffer.alloc(40));
    await expect(open()).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    await store.close();
  });
});

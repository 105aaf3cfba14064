/** The fs store on a simulated disk: crashes, leftovers, damage, and a disk that went away. */
import { openFsObjectStore } from '@holdfast/objects';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { runObjectHistories } from './object-simulation.ts';

it('holds what was acknowledged and shows nothing half, whatever the disk does', async () => {
  const totals = await runObjectHistories({ seed: 1, count: 100 });
  expect(totals.histories).toBe(100);
  for (const [what, count] of Object.entries(totals)) expect(count, what).toBeGreaterThan(50);
});

it('frees what killed puts left, and nothing younger', async () => {
  const random = new SeededRandom(1);
  const clock = new SimClock(random);
  let fileSystem = new SimFs();
  await openFsObjectStore({ directory: '/data' }, { fileSystem, clock, random });
  for (let times = 0; times < 3; times++) {
    const store = await openFsObjectStore({ directory: '/data' }, { fileSystem, clock, random });
    fileSystem.disk.faults.plan({ effect: 'halt', operations: ['rename'] });
    await expect(store.put('key', Buffer.from('x'))).rejects.toThrow();
    fileSystem = fileSystem.kill();
    await clock.advance(1_000);
  }
  const store = await openFsObjectStore({ directory: '/data' }, { fileSystem, clock, random });
  expect((await fileSystem.list('/data/uploads')).length).toBe(3);
  expect((await store.list()).objects).toEqual([]);
  expect(await store.removeLeftovers({ olderThanMs: 1_500 })).toBe(2);
  expect(await store.removeLeftovers({ olderThanMs: -1 })).toBe(1);
  expect(await fileSystem.list('/data/uploads')).toEqual([]);
});

it('a store whose directory went away is unavailable, not empty', async () => {
  const random = new SeededRandom(1);
  const fileSystem = new SimFs();
  const components = { fileSystem, clock: new SimClock(random), random };
  const store = await openFsObjectStore({ directory: '/mnt/objects' }, components);
  await store.put('key', Buffer.from('x'));
  await fileSystem.rename('/mnt/objects', '/mnt/elsewhere');
  for (const call of [
    () => store.get('key'),
    () => store.head('key'),
    () => store.list(),
    () => store.delete('key'),
    () => store.put('key', Buffer.from('y')),
  ]) {
    await expect(call()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE', effect: 'none' });
  }
});

it('a damaged object is named, listed and deletable, and never read', async () => {
  const random = new SeededRandom(1);
  const fileSystem = new SimFs();
  const components = { fileSystem, clock: new SimClock(random), random };
  const store = await openFsObjectStore({ directory: '/data' }, components);
  await store.put('key', Buffer.from('some bytes'));
  const path = '/data/objects/key.obj';
  const file = await fileSystem.open(path, 'write');
  const size = await file.size();
  const whole = Buffer.alloc(size);
  await file.read(whole, 0);
  const restore = async (): Promise<void> => {
    await file.truncate(0);
    await file.write(whole, 0);
  };
  for (let cut = 0; cut < size; cut++) {
    await file.truncate(cut);
    await expect(store.get('key')).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    await restore();
  }
  for (let at = 10; at < size; at++) {
    await file.write(Buffer.from([(whole[at] ?? 0) ^ 1]), at);
    await expect(store.head('key')).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    await restore();
  }
  await file.truncate(3);
  expect((await store.list()).objects).toEqual([{ key: 'key', size: 0 }]);
  await expect(store.put('key', Buffer.from('x'), { ifAbsent: true })).rejects.toMatchObject({
    code: 'PRECONDITION_FAILED',
  });
  await store.delete('key');
  await expect(store.head('key')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' });
});

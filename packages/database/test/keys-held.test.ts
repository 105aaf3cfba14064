/** A key is not given up while something needs it that no manifest of the database names. */
import { MemoryObjectStore } from '@holdfast/objects';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { verifyDatabase } from '../src/index.ts';
import { openArchived, ringOf, write } from './archive-fixtures.ts';
import { fill, within } from './snapshot-fixtures.ts';

it('the memory of an archive is encrypted anew also while the database runs without its repository', async () => {
  const random = new SeededRandom(1);
  const clock = new SimClock(random);
  const fileSystem = new SimFs();
  const objects = new MemoryObjectStore({ clock });
  const old = ringOf(1).active.id;
  await clock.run(
    (async () => {
      const place = { fileSystem, clock, random };
      const archived = await openArchived({ ...place, objects, keys: ringOf(1) });
      await write(archived.engine, 1);
      await archived.database.close();
      const { database } = await openArchived({ ...place, keys: ringOf(1) });
      await database.rotateKeys(ringOf(2, 1).exportKeys());
      await expect(database.retireKey(old)).rejects.toMatchObject({ code: 'KEY_IN_USE' });
      await database.scrub();
      await database.retireKey(old);
      await database.close();
      const keys = ringOf(2);
      expect((await verifyDatabase({ fileSystem, keys }, { dir: '/data' })).problems).toEqual([]);
    })(),
  );
});

it('a key stays while a snapshot is made of files that are under it', () => {
  const ring = ringOf(1);
  const oldId = ring.active.id;
  return within(
    { keys: ring, snapshotPartBytes: 4_000 },
    async ({ database, engine, ...world }) => {
      await fill(engine, 0, 10);
      let refused: unknown;
      const rotated: Promise<void>[] = [];
      const rotate = async (): Promise<void> => {
        await database.rotateKeys(ringOf(2, 1).exportKeys());
        await database.scrub();
        await database.archive?.flush();
        for await (const { key, keyId } of world.repository.pieces()) {
          if (keyId === oldId) await world.objects.delete(key); // as a sweep does
        }
        refused = await database.retireKey(oldId).catch((error: unknown) => error);
      };
      const made = await world.snapshots.create({
        onProgress: () => {
          if (rotated.length === 0) rotated.push(rotate());
        },
        bytesPerSecond: 2_000,
      });
      await Promise.all(rotated);
      const { files } = await world.snapshots.get(made.snapshotId);
      expect(files.some(({ keyId }) => keyId === oldId)).toBe(true);
      expect(refused).toMatchObject({ code: 'KEY_IN_USE' });
    },
  );
});

it('what is no block in the repository is under no key', () =>
  within({ keys: ringOf(1) }, async ({ database, engine, objects, repository }) => {
    await fill(engine, 0, 3);
    const lsn = await database.mark('here');
    await database.archive?.flush();
    await objects.put(repository.names.mark({ lsn, epoch: 1 }), Buffer.alloc(100, 7));
    expect((await database.keyStatus()).keys).toMatchObject([{ active: true }]);
  }));

it('a key that is missing is no damage: nothing is mended, set aside or served otherwise', async () => {
  const random = new SeededRandom(1);
  const clock = new SimClock(random);
  const fileSystem = new SimFs();
  const keys = ringOf(1);
  await clock.run(
    (async () => {
      const { database, engine } = await openArchived({ fileSystem, clock, random, keys });
      await fill(engine, 0, 10);
      await database.checkpoint();
      await database.scrub(); // second copies
      const { disk } = fileSystem;
      const files = (): Map<string, string> =>
        new Map(disk.paths().map((path) => [path, disk.content(path).toString('hex')]));
      const before = files();
      keys.replace(ringOf(2).exportKeys()); // as no rotation would
      await expect(engine.get('key 3')).rejects.toMatchObject({ code: 'KEY_MISSING' });
      await expect(database.verify()).rejects.toMatchObject({ code: 'KEY_MISSING' });
      await database.scrub().catch(() => undefined);
      expect(database.damages()).toEqual([]);
      expect(files()).toEqual(before);
      keys.replace(ringOf(1).exportKeys());
      expect((await engine.get('key 3'))?.length).toBe(3_000);
      expect(await database.verify()).toEqual([]);
      await database.close();
    })(),
  );
});

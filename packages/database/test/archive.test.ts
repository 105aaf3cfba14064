/** The continuous archive of one database: what is in the repository, and when the log may go. */
import { MemoryObjectStore } from '@holdfast/objects';
import { sleep } from '@holdfast/core';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { archivedHistory, openArchived, repositoryOf, ringOf, write } from './archive-fixtures.ts';

describe('an archive', () => {
  it('holds what was durable when it was flushed, and all of it after a close', async () => {
    const random = new SeededRandom(1);
    const clock = new SimClock(random);
    const fileSystem = new SimFs();
    const objects = new MemoryObjectStore({ clock });
    await clock.run(
      (async () => {
        const { database, engine } = await openArchived({ fileSystem, clock, random, objects });
        expect(database.archive?.stats()).toMatchObject({ state: 'archiving', epoch: 1 });
        for (let i = 0; i < 10; i++) await write(engine, i);
        await database.archive?.flush();
        const repository = await repositoryOf(fileSystem, objects);
        expect((await archivedHistory(repository)).records.map(({ lsn }) => lsn)).toEqual([
          ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        ]);
        const at = await database.mark('before the change');
        expect(at).toBe(11);
        await sleep(clock, 6_000);
        expect(await repository.restorePoints()).toMatchObject([
          { name: 'before the change', lsn: 11, epoch: 1 },
        ]);
        await write(engine, 11);
        await database.close();
        expect((await archivedHistory(repository)).records.at(-1)?.lsn).toBe(12);
      })(),
    );
  });
});

describe('an encrypted archive', () => {
  it('shows no byte of what it holds, and lets go of a key only when nothing is under it', async () => {
    const random = new SeededRandom(1);
    const clock = new SimClock(random);
    const fileSystem = new SimFs();
    const objects = new MemoryObjectStore({ clock });
    const [first, second] = [ringOf(1), ringOf(2, 1)];
    const [old, next] = [first.active.id, second.active.id];
    await clock.run(
      (async () => {
        const place = { fileSystem, clock, random, objects };
        const { database, engine } = await openArchived({ ...place, keys: first });
        await engine.write(new Map([['canary key', Buffer.from('canary value')]]));
        await database.mark('canary mark');
        await database.archive?.flush();
        for (const { key } of (await objects.list()).objects) {
          const pieces: Buffer[] = [];
          for await (const piece of (await objects.get(key)).body) pieces.push(piece);
          expect(Buffer.concat(pieces).includes('canary')).toBe(false);
        }
        await database.rotateKeys(second.exportKeys());
        await write(engine, 1);
        await database.archive?.flush();
        const repository = await repositoryOf(fileSystem, objects, second);
        const pieces = [];
        for await (const { keyId } of repository.pieces()) pieces.push(keyId);
        expect(pieces).toEqual([old, next]);
        await expect(database.retireKey(old)).rejects.toMatchObject({ code: 'KEY_IN_USE' });
        for await (const { key, keyId } of repository.pieces()) {
          if (keyId === old) await objects.delete(key); // as a sweep does behind a snapshot
        }
        const held = (await database.keyStatus()).keys.find(({ keyId }) => keyId === old);
        expect(held?.others).toEqual({});
        await database.close();
        const later = await openArchived({ ...place, keys: second });
        await later.database.scrub();
        await later.database.retireKey(old);
        await later.database.close();
        const { database: alone } = await openArchived({ ...place, keys: ringOf(2) });
        expect(alone.archive?.stats()).toMatchObject({ state: 'archiving', epoch: 3 });
        expect(await repository.restorePoints()).toMatchObject([{ name: 'canary mark' }]);
        await alone.close();
      })(),
    );
  });
});

it('pieces and parts of sizes that could not be read again are refused', async () => {
  const random = new SeededRandom(1);
  const clock = new SimClock(random);
  const objects = new MemoryObjectStore({ clock });
  const sizes = [{ archivePieceBytes: 11 * 1024 * 1024 }, { archivePieceBytes: 0 }];
  for (const backup of [...sizes, { snapshotPartBytes: 0 }, { snapshotPartBytes: 1.5 }]) {
    const opened = clock.run(
      openArchived({ fileSystem: new SimFs(), clock, random, objects }, backup),
    );
    await expect(opened).rejects.toMatchObject({ code: 'INVALID_SETTINGS' });
  }
});

describe('a mark', () => {
  it('is refused with a name nobody could type, and works without an archive', async () => {
    const random = new SeededRandom(1);
    const clock = new SimClock(random);
    let fileSystem = new SimFs();
    await clock.run(
      (async () => {
        const { database, engine } = await openArchived({ fileSystem, clock, random });
        await write(engine, 1);
        for (const name of ['', ' ', 'a\nb', 'x'.repeat(257), '\ud800']) {
          await expect(database.mark(name)).rejects.toMatchObject({
            code: 'INVALID_RESTORE_POINT',
          });
        }
        expect(await database.mark('x'.repeat(256))).toBe(2);
        expect(await database.mark('größer')).toBe(3);
        fileSystem = fileSystem.kill();
        const { database: again } = await openArchived({ fileSystem, clock, random });
        expect(again.appliedLsn).toBe(3);
        await again.close();
        await expect(again.mark('late')).rejects.toMatchObject({ code: 'CLOSED' });
      })(),
    );
  });
});

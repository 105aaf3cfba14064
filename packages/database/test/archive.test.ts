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
void ringOf;

/** Snapshots of one database into a repository: what they hold, what is uploaded, what is refused. */
import { sleep } from '@holdfast/core';
import { MemoryObjectStore } from '@holdfast/objects';
import {
  decodeManifest,
  extentFileName,
  manifestFileName,
  mirrorOf,
  readWholeFile,
  tableFileName,
} from '@holdfast/tables';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import type { Repository } from '../src/backup/repository/repository.ts';
import { openArchived, repositoryOf, ringOf, write } from './archive-fixtures.ts';
import { errorOf, fill, within } from './snapshot-fixtures.ts';

async function flip(fs: SimFs, path: string, position: number): Promise<void> {
  const handle = await fs.open(path, 'write');
  const byte = Buffer.alloc(1);
  await handle.read(byte, position);
  await handle.write(Buffer.from([(byte[0] as number) ^ 1]), position);
  await handle.datasync();
  await handle.close();
}

describe('a snapshot', () => {
  it('holds everything up to its LSN, verifies, and is listed', () =>
    within({}, async ({ engine, snapshots, repository }) => {
      const lsn = await fill(engine, 0, 20);
      const made = await snapshots.create();
      expect(made).toMatchObject({ kind: 'incremental', epoch: 1, lsn, previousId: undefined });
      expect(made.uploadedBytes).toBe(made.totalBytes);
      const { snapshots: listed, unreadable } = await snapshots.list();
      expect(unreadable).toEqual([]);
      expect(listed).toEqual([made]);
      expect(await repository.restorePoints()).toEqual([]);
      const report = await snapshots.verify(made.snapshotId);
      expect(report).toEqual({
        problems: [],
        files: made.fileCount,
        parts: made.partCount,
        bytes: made.totalBytes,
      });
      expect(snapshots.stats()).toMatchObject({
        lastSnapshotId: made.snapshotId,
        lastSnapshotLsn: lsn,
        created: 1,
        underWay: undefined,
        lastError: undefined,
      });
    }));

  it('is one of an empty database too', () =>
    within({}, async ({ snapshots }) => {
      const made = await snapshots.create();
      expect(made).toMatchObject({ lsn: 0, fileCount: 1 });
      expect((await snapshots.verify(made.snapshotId)).problems).toEqual([]);
    }));

  it('puts only what is not there, and all of it when it is a full one', () =>
    within({ snapshotPartBytes: 8_000 }, async ({ engine, snapshots }) => {
      await fill(engine, 0, 40);
      const first = await snapshots.create();
      await fill(engine, 40, 2);
      const second = await snapshots.create();
      expect(second.previousId).toBe(first.snapshotId);
      expect(second.uploadedBytes).toBeLessThan(second.totalBytes / 2);
      const third = await snapshots.create({ kind: 'full' });
      expect(third.uploadedBytes).toBe(third.totalBytes);
      for (const { snapshotId } of [first, second, third]) {
        expect((await snapshots.verify(snapshotId)).problems).toEqual([]);
      }
    }));

  it('says the time of the last record it holds', () =>
    within({}, async ({ engine, snapshots, clock }) => {
      await sleep(clock, 1_000);
      await fill(engine, 0, 3);
      const committed = clock.now();
      await sleep(clock, 100_000);
      const made = await snapshots.create();
      expect(made.committedAtMs).toBeLessThanOrEqual(committed);
      expect(made.committedAtMs).toBeGreaterThan(committed - 1_000);
      expect(made.createdAtMs).toBeGreaterThanOrEqual(committed + 100_000);
    }));

  it('puts a part anew that vanished from the repository', () =>
    within({}, async ({ engine, snapshots, repository, objects }) => {
      await fill(engine, 0, 20);
      const first = await snapshots.create();
      const { files } = await snapshots.get(first.snapshotId);
      const [lost] = files[0]?.parts ?? [];
      await objects.delete(repository.names.part(lost?.hash as string));
      expect((await snapshots.verify(first.snapshotId)).problems).toMatchObject([
        { kind: 'missing', file: files[0]?.name },
      ]);
      await snapshots.create();
      expect((await snapshots.verify(first.snapshotId)).problems).toEqual([]);
    }));

  it('is encrypted where the database is, and names the key of each file', () =>
    within({ keys: ringOf(7) }, async ({ engine, snapshots, objects, repository }) => {
      await engine.write(new Map([['a canary', Buffer.alloc(4_000, 'canary')]]));
      const made = await snapshots.create();
      const { files } = await snapshots.get(made.snapshotId);
      for (const { keyId } of files) expect(keyId).not.toBe(0);
      for (let after: string | undefined; ;) {
        const page = await objects.list({ after });
        for (const { key } of page.objects) {
          const bytes = (await repository.read(key, 1 << 30)) as Buffer;
          expect(bytes.includes('canary'), key).toBe(false);
        }
        after = page.after;
        if (after === undefined) break;
      }
    }));
});

describe('while a snapshot is made', () => {
  it('the database goes on, and what it drops stays until the snapshot has it', () =>
    within({ seed: 3 }, async ({ engine, snapshots, database, fs, clock, repository }) => {
      await fill(engine, 0, 30, 8_000);
      let before: string[] = [];
      let dropped = 0;
      const creating = snapshots.create({
        bytesPerSecond: 64 * 1024,
        onProgress: () => {
          if (before.length === 0) before = filesOf(fs);
        },
      });
      while (before.length === 0) await sleep(clock, 1);
      for (let round = 0; round < 6; round++) {
        await fill(engine, 0, 30, 8_000); // everything again: the old extents go
        await database.checkpoint();
        await database.compact();
        const live = await liveFiles(fs, repository);
        dropped = Math.max(dropped, before.filter((path) => !live.has(path)).length);
        for (const path of before) expect(filesOf(fs), path).toContain(path);
      }
      expect(snapshots.stats().underWay?.purpose).toBe('create');
      const made = await creating;
      expect(dropped).toBeGreaterThan(0);
      expect((await snapshots.verify(made.snapshotId)).problems).toEqual([]);
      expect(new Set(filesOf(fs))).toEqual(await liveFiles(fs, repository));
    }));

  it('its progress rises to all of it', () =>
    within({ snapshotPartBytes: 5_000 }, async ({ engine, snapshots }) => {
      await fill(engine, 0, 30);
      const seen: number[] = [];
      let last: unknown;
      const made = await snapshots.create({
        onProgress: (progress) => {
          seen.push(progress.bytes);
          last = progress;
        },
      });
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
      expect(last).toEqual({
        bytes: made.totalBytes,
        totalBytes: made.totalBytes,
        parts: made.partCount,
        totalParts: made.partCount,
      });
    }));

  it('its signal ends it, and nothing of it is listed', () =>
    within({}, async ({ engine, snapshots, repository }) => {
      await fill(engine, 0, 30);
      const abort = new AbortController();
      const creating = snapshots.create({
        signal: abort.signal,
        onProgress: ({ parts }) => {
          if (parts > 0) abort.abort();
        },
      });
      expect(await errorOf(creating)).toMatchObject({ code: 'ABORTED' });
      expect(await repository.snapshots()).toEqual([]);
      expect(snapshots.stats()).toMatchObject({ failed: 0, underWay: undefined });
      await snapshots.create(); // the lease was given back
    }));

  it('a close ends it and waits for it', () =>
    within({ seed: 4 }, async ({ engine, snapshots, database, fs, clock, repository }) => {
      await fill(engine, 0, 30, 8_000);
      let isUnderWay = false;
      const creating = errorOf(
        snapshots.create({
          bytesPerSecond: 64 * 1024,
          onProgress: () => {
            isUnderWay = true;
          },
        }),
      );
      while (!isUnderWay) await sleep(clock, 1);
      await fill(engine, 0, 30, 8_000);
      await database.checkpoint();
      await database.close();
      expect((await creating).code).toBe('CLOSED');
      expect(new Set(filesOf(fs))).toEqual(await liveFiles(fs, repository));
      expect(await errorOf(snapshots.create())).toMatchObject({ code: 'CLOSED' });
    }));

  it('a crash leaves what it kept as leftovers, and the next start removes them', async () => {
    const random = new SeededRandom(9);
    const first = new SimClock(random);
    const disk = new SimFs();
    const objects = new MemoryObjectStore({ clock: first });
    await first.run(
      (async () => {
        const place = { fileSystem: disk, clock: first, random, objects };
        const { database, engine } = await openArchived(place);
        await fill(engine, 0, 30, 8_000);
        let isUnderWay = false;
        const onProgress = (): void => {
          isUnderWay = true;
        };
        const creating = database.snapshots?.create({ bytesPerSecond: 16 * 1024, onProgress });
        creating?.catch(() => undefined); // it ends with its process
        while (!isUnderWay) await sleep(first, 1);
        await fill(engine, 0, 30, 8_000);
        await database.checkpoint();
        const live = await liveFiles(disk, await repositoryOf(disk, objects));
        expect(filesOf(disk).length).toBeGreaterThan(live.size);
      })(),
    );
    const fs = disk.kill();
    const clock = first.nextIncarnation();
    await clock.run(
      (async () => {
        const place = { fileSystem: fs, clock, random, objects };
        const { database } = await openArchived(place);
        const repository = await repositoryOf(fs, objects);
        expect(new Set(filesOf(fs))).toEqual(await liveFiles(fs, repository));
        expect(await repository.snapshots()).toEqual([]);
        await database.snapshots?.create({ waitMs: 600_000 }); // when the dead one's lease ended
        await database.close();
      })(),
    );
  });

  it('another one is refused, or waits when it may', () =>
    within({}, async ({ engine, snapshots }) => {
      await fill(engine, 0, 30);
      const first = snapshots.create();
      expect(await errorOf(snapshots.create())).toMatchObject({
        code: 'REPOSITORY_BUSY',
        retryable: true,
        details: { purpose: 'create' },
      });
      const second = snapshots.create({ waitMs: 600_000 });
      const [one, other] = await Promise.all([first, second]);
      expect(other.previousId).toBe(one.snapshotId);
    }));
});

describe('a snapshot of damaged files', () => {
  it('reads the second copy of a table whose first one is damaged', () =>
    within({}, async ({ engine, snapshots, database, fs }) => {
      await write(engine, 1);
      await database.checkpoint();
      await database.scrub(); // makes the second copies
      const table = filesOf(fs).find((path) => /table-\d+\.hft$/.test(path)) as string;
      expect(filesOf(fs)).toContain(mirrorOf(table));
      await flip(fs, table, 90);
      const made = await snapshots.create();
      expect((await snapshots.verify(made.snapshotId)).problems).toEqual([]);
    }));

  it.each([
    ['the data', 1_000],
    ['its first block', 12],
  ])('names the file when %s of its only copy is damaged, and publishes nothing', (_, position) =>
    within({}, async ({ engine, snapshots, database, fs, repository }) => {
      await fill(engine, 0, 30);
      await database.checkpoint();
      const path = filesOf(fs).find((name) => name.endsWith('.hfx')) as string;
      await flip(fs, path, position);
      const error = await errorOf(snapshots.create());
      expect(error).toMatchObject({ code: 'CHECKSUM_MISMATCH', details: { path } });
      expect(await repository.snapshots()).toEqual([]);
      expect(snapshots.stats()).toMatchObject({
        failed: 1,
        lastError: { code: 'CHECKSUM_MISMATCH' },
      });
      await flip(fs, path, position);
      const made = await snapshots.create();
      expect((await snapshots.verify(made.snapshotId)).problems).toEqual([]);
      expect(snapshots.stats().lastError).toBeUndefined();
    }),
  );

  it('names the file in several parts as well, and one that is gone', () =>
    within({ snapshotPartBytes: 6_000 }, async ({ engine, snapshots, database, fs }) => {
      await fill(engine, 0, 30);
      await database.checkpoint();
      const path = filesOf(fs).find((name) => name.endsWith('.hfx')) as string;
      await flip(fs, path, 9_000);
      expect(await errorOf(snapshots.create())).toMatchObject({
        code: 'CHECKSUM_MISMATCH',
        details: { path },
      });
      await fs.unlink(path);
      expect(await errorOf(snapshots.create())).toMatchObject({
        code: 'FILE_MISSING',
        details: { path },
      });
    }));
});

function filesOf(fs: SimFs): string[] {
  return fs.disk.paths().filter((path) => /\/data\/(?:table|extent)-/.test(path));
}

/** Tables and extent files that the manifest names now. */
async function liveFiles(fs: SimFs, { codec }: Repository): Promise<Set<string>> {
  const names = (await fs.list('/data')).filter((name) => /^manifest-\d+$/.test(name));
  const generation = Math.max(...names.map((name) => Number(name.slice(-16))));
  const path = `/data/${manifestFileName(generation)}`;
  const manifest = decodeManifest(await readWholeFile(fs, path, 1 << 30), codec, {
    generation,
    path,
  });
  const tables = manifest.shards.flatMap((shard) => shard.tables);
  return new Set([
    ...tables.map(({ fileId }) => `/data/${tableFileName(fileId)}`),
    ...manifest.extentFiles.map(({ fileId }) => `/data/${extentFileName(fileId)}`),
  ]);
}

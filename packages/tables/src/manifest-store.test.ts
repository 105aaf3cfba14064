import { assert, isHoldfastError, onCut } from '@holdfast/core';
import { SeededRandom, SimFs } from '@holdfast/testkit';
import { beforeEach, describe, expect, test } from 'vitest';
import { manifestOf } from '../test/manifest-fixtures.ts';
import { codec, DIRECTORY } from '../test/table-fixtures.ts';
import { manifestFileName, mirrorOf } from './file-names.ts';
import { ManifestStore } from './manifest-store.ts';
import { encodeManifest, type Manifest } from './manifest.ts';

function open(fileSystem: SimFs) {
  return ManifestStore.open({ fileSystem, codec }, DIRECTORY);
}

function pathOf(generation: number): string {
  return `${DIRECTORY}/${manifestFileName(generation)}`;
}

async function diskWith(generations: number): Promise<{ fileSystem: SimFs; store: ManifestStore }> {
  const fileSystem = new SimFs();
  await fileSystem.makeDirectory(DIRECTORY);
  const { store } = await open(fileSystem);
  for (let generation = 1; generation <= generations; generation++) {
    await store.commit(manifestOf(generation));
  }
  return { fileSystem, store };
}

/** What a restarted process finds, without the digest that the store fills in. */
async function found(fileSystem: SimFs): Promise<Manifest | undefined> {
  const { manifest } = await open(fileSystem);
  return manifest && { ...manifest, previousDigest: Buffer.alloc(32) };
}

let fileSystem: SimFs;
let store: ManifestStore;
beforeEach(async () => {
  ({ fileSystem, store } = await diskWith(3));
});

describe('manifest store', () => {
  test('a folder without one has none; the newest is found again after a restart', async () => {
    const empty = new SimFs();
    await empty.makeDirectory(DIRECTORY);
    expect(await open(empty)).toMatchObject({ manifest: undefined, store: { generation: 0 } });
    expect(await found(fileSystem.powerCut(new SeededRandom(1)))).toEqual(manifestOf(3));
  });

  test('keeps the current and the previous manifest, chained by digest, and nothing else', async () => {
    expect((await fileSystem.list(DIRECTORY)).sort()).toEqual([
      manifestFileName(2),
      manifestFileName(3),
      mirrorOf(manifestFileName(3)),
    ]);
    expect(fileSystem.disk.content(mirrorOf(pathOf(3)))).toEqual(
      fileSystem.disk.content(pathOf(3)),
    );
    const digest = store.digest;
    await store.commit(manifestOf(4));
    const reopened = await open(fileSystem);
    expect(reopened.manifest?.previousDigest).toEqual(digest);
    expect(reopened.store.digest).toEqual(store.digest);
  });

  test('leftovers of an interrupted commit are removed and never read', async () => {
    const bytes = encodeManifest(manifestOf(4), codec);
    const file = await fileSystem.open(`${pathOf(4)}.tmp`, 'create');
    await file.write(bytes, 0);
    const reopened = await open(fileSystem);
    expect(reopened.manifest?.generation).toBe(3);
    expect(await fileSystem.list(DIRECTORY)).not.toContain(`${manifestFileName(4)}.tmp`);
    await reopened.store.commit(manifestOf(4));
  });

  test('any damage of one copy of the newest is made good from the other, and mended', async () => {
    const path = pathOf(3);
    const whole = fileSystem.disk.content(path);
    const expectMended = async (copy: string): Promise<void> => {
      const opened = await open(fileSystem);
      expect(opened.manifest?.generation).toBe(3);
      expect(opened.manifest?.writtenAtMs).toBe(manifestOf(3).writtenAtMs);
      if (copy === path) expect(opened.damage).toBeDefined();
      const mended = await opened.store.mend();
      expect(mended.every(({ repaired }) => repaired)).toBe(true);
      expect(fileSystem.disk.content(copy)).toEqual(whole);
      expect(await opened.store.mend()).toEqual([]);
    };
    for (const copy of [path, mirrorOf(path)]) {
      for (let position = 0; position < whole.length; position++) {
        fileSystem.disk.flipBit(copy, position, position % 8);
        await expectMended(copy);
      }
      for (let size = 0; size < whole.length; size += 9) {
        fileSystem.disk.truncateFile(copy, size);
        await expectMended(copy);
      }
      fileSystem.disk.deleteFile(copy);
      await expectMended(copy);
      fileSystem.disk.duplicateFile(pathOf(2), copy);
      await expectMended(copy);
    }
  });

  test('a commit goes on over damage in one copy or both: memory has what they held', async () => {
    fileSystem.disk.flipBit(pathOf(3), 100, 1);
    await store.commit(manifestOf(4));
    fileSystem.disk.flipBit(mirrorOf(pathOf(4)), 100, 1);
    await store.commit(manifestOf(5));
    fileSystem.disk.truncateFile(pathOf(5), 3);
    fileSystem.disk.flipBit(mirrorOf(pathOf(5)), 100, 1);
    await store.commit(manifestOf(6));
    expect(await found(fileSystem)).toEqual(manifestOf(6));
  });

  test('a commit that cannot write its mirror counts, and a mend makes the mirror', async () => {
    const path = (name: string): boolean => name.includes('.mirror');
    const fault = fileSystem.disk.faults.plan({ effect: 'ENOSPC', operations: ['write'], path });
    await store.commit(manifestOf(4));
    expect(fault.fired).toBe(1);
    expect(await fileSystem.list(DIRECTORY)).not.toContain(mirrorOf(manifestFileName(4)));
    expect(await store.mend()).toEqual([]); // it was never there: nothing is damaged
    expect(await fileSystem.list(DIRECTORY)).toContain(mirrorOf(manifestFileName(4)));
    fileSystem.disk.deleteFile(mirrorOf(pathOf(4)));
    expect(await store.mend()).toMatchObject([{ error: { code: 'FILE_MISSING' }, repaired: true }]);
  });

  test('a mend never replaces what another writer put there', async () => {
    const foreign = encodeManifest(manifestOf(3, { writerEpoch: 9 }), codec);
    fileSystem.disk.replaceContent(pathOf(3), foreign);
    await expect(store.mend()).rejects.toMatchObject({ code: 'WRITER_FENCED' });
    expect(fileSystem.disk.content(pathOf(3))).toEqual(foreign);
  });

  test('a newest manifest damaged in both copies is CHECKSUM_MISMATCH: the one before is never taken instead', async () => {
    fileSystem.disk.flipBit(mirrorOf(pathOf(3)), 90, 1);
    fileSystem.disk.flipBit(pathOf(3), 100, 1);
    await expect(open(fileSystem)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    fileSystem.disk.truncateFile(pathOf(3), 0);
    await expect(open(fileSystem)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    expect(await fileSystem.list(DIRECTORY)).toContain(manifestFileName(3));
  });

  test('an older manifest under a newer name, or swapped with it, is refused', async () => {
    fileSystem.disk.duplicateFile(pathOf(2), pathOf(4));
    await expect(open(fileSystem)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    fileSystem.disk.deleteFile(pathOf(4));
    fileSystem.disk.deleteFile(mirrorOf(pathOf(3)));
    fileSystem.disk.swapFiles(pathOf(2), pathOf(3));
    await expect(open(fileSystem)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
  });

  test('a whole previous manifest that the newest was not made from is refused; a rotten one is not needed', async () => {
    fileSystem.disk.flipBit(pathOf(2), 100, 1);
    expect((await open(fileSystem)).manifest?.generation).toBe(3);
    const foreign = encodeManifest(manifestOf(2, { writtenAtMs: 5 }), codec);
    fileSystem.disk.replaceContent(pathOf(2), foreign);
    await expect(open(fileSystem)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
  });

  test('a second writer is fenced, whichever of the two commits first', async () => {
    const other = (await open(fileSystem)).store;
    await other.commit(manifestOf(4, { writerEpoch: 2 }));
    await expect(store.commit(manifestOf(4))).rejects.toMatchObject({
      code: 'WRITER_FENCED',
      effect: 'none',
    });
    expect((await found(fileSystem))?.writerEpoch).toBe(2);
  });

  test('a manifest of our generation by another hand fences, also in one copy; a missing one does not pass', async () => {
    const ours = fileSystem.disk.content(pathOf(3));
    fileSystem.disk.replaceContent(
      pathOf(3),
      encodeManifest(manifestOf(3, { writerEpoch: 9 }), codec),
    );
    await expect(store.commit(manifestOf(4))).rejects.toMatchObject({ code: 'WRITER_FENCED' });
    const foreign = fileSystem.disk.content(pathOf(3));
    fileSystem.disk.replaceContent(pathOf(3), Buffer.alloc(ours.length));
    fileSystem.disk.replaceContent(mirrorOf(pathOf(3)), foreign);
    await expect(store.commit(manifestOf(4))).rejects.toMatchObject({ code: 'WRITER_FENCED' });
    fileSystem.disk.deleteFile(pathOf(3));
    fileSystem.disk.deleteFile(mirrorOf(pathOf(3)));
    await expect(store.commit(manifestOf(4))).rejects.toMatchObject({ code: 'WRITER_FENCED' });
    expect(await fileSystem.list(DIRECTORY)).toEqual([manifestFileName(2)]);
  });

  test('a generation that does not follow, or a manifest without sense, is a bug and writes nothing', async () => {
    for (const next of [manifestOf(3), manifestOf(5), manifestOf(4, { nextFileId: 1 })]) {
      await expect(store.commit(next)).rejects.toMatchObject({ code: 'INVARIANT_VIOLATED' });
    }
    expect((await found(fileSystem))?.generation).toBe(3);
  });
});

describe('a manifest commit that fails', () => {
  test('with effect none left the old manifest and may be repeated; with unknown, the store is done', async () => {
    const seen = { none: 0, unknown: 0, done: 0 };
    for (const effect of ['EIO', 'ENOSPC'] as const) {
      for (let nth = 1; ; nth++) {
        const { fileSystem, store } = await diskWith(3);
        const operations = [
          'open',
          'list',
          'read',
          'size',
          'write',
          'datasync',
          'close',
          'rename',
          'unlink',
          'syncDirectory',
        ] as const;
        const fault = fileSystem.disk.faults.plan({ effect, nth, operations });
        const error: unknown = await store.commit(manifestOf(4)).then(
          () => undefined,
          (each: unknown) => each,
        );
        if (fault.fired === 0) break;
        if (error === undefined) {
          seen.done++;
          expect((await found(fileSystem))?.generation).toBe(4);
          continue;
        }
        assert(isHoldfastError(error), 'a commit fails with a typed error');
        seen[error.effect]++;
        const before = await found(fileSystem);
        if (error.effect === 'none') {
          expect(before).toEqual(manifestOf(3));
          await store.commit(manifestOf(4));
          expect(await found(fileSystem)).toEqual(manifestOf(4));
        } else {
          expect([3, 4]).toContain(before?.generation);
          await expect(store.commit(manifestOf(4))).rejects.toMatchObject({
            code: 'STORAGE_UNAVAILABLE',
          });
        }
      }
    }
    expect(Math.min(seen.none, seen.unknown, seen.done)).toBeGreaterThan(0);
  });

  test('a rename that was performed although it failed is never taken for a failure without effect', async () => {
    fileSystem.disk.faults.plan({ effect: 'EIO', operations: ['rename'], performed: true });
    await expect(store.commit(manifestOf(4))).rejects.toMatchObject({ effect: 'unknown' });
    expect((await found(fileSystem))?.generation).toBe(4);
  });

  test('a full disk that refuses the rename has no effect, and the commit works once there is space', async () => {
    fileSystem.disk.faults.plan({ effect: 'ENOSPC', operations: ['rename'] });
    await expect(store.commit(manifestOf(4))).rejects.toMatchObject({
      code: 'DISK_FULL',
      effect: 'none',
    });
    expect(await found(fileSystem)).toEqual(manifestOf(3));
    await store.commit(manifestOf(4));
    expect(await found(fileSystem)).toEqual(manifestOf(4));
  });

  test('by a power cut or a kill at any call leaves the old or the new manifest, and goes on', async () => {
    let histories = 0;
    const outcomes = new Set<number | undefined>();
    for (let nth = 1; ; nth++) {
      let fired = 0;
      for (let seed = 1; seed <= 40; seed++) {
        const { fileSystem, store } = await diskWith(3);
        const fault = fileSystem.disk.faults.plan({
          effect: 'halt',
          nth,
          performed: seed % 2 === 0,
        });
        const committed = await store.commit(manifestOf(4)).then(
          () => true,
          () => false,
        );
        fired = fault.fired;
        const next =
          seed % 4 === 1
            ? fileSystem.kill()
            : fileSystem.powerCut(new SeededRandom(nth * 1000 + seed));
        next.disk.faults.clear();
        const reopened = await open(next);
        const { manifest } = reopened;
        expect({ ...manifest, previousDigest: Buffer.alloc(32) }).toEqual(
          manifestOf(manifest!.generation),
        );
        expect([3, 4]).toContain(manifest?.generation);
        if (committed) expect(manifest?.generation).toBe(4);
        outcomes.add(manifest?.generation);
        await reopened.store.commit(manifestOf(manifest!.generation + 1));
        histories++;
        // What was found once is found again: opening made it durable.
        const again = next.powerCut(new SeededRandom(seed));
        expect((await found(again))?.generation).toBe(manifest!.generation + 1);
      }
      if (fired === 0) break;
    }
    expect([...outcomes].sort()).toEqual([3, 4]);
    expect(histories).toBeGreaterThan(400);
  });

  test('what a restarted process found cannot vanish in a later power cut', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { fileSystem, store } = await diskWith(3);
      const off = onCut((name) => {
        if (name === 'manifest.renamed') fileSystem.disk.halt(); // before the folder is synced
      });
      await expect(store.commit(manifestOf(4))).rejects.toThrow();
      off();
      const restarted = fileSystem.kill();
      expect((await found(restarted))?.generation).toBe(4);
      expect((await found(restarted.powerCut(new SeededRandom(seed))))?.generation).toBe(4);
    }
  });

  test('at each cut point leaves the old or the new manifest', async () => {
    const names = [
      'manifest.synced',
      'manifest.renamed',
      'manifest.directorySynced',
      'manifest.olderUnlinked',
    ];
    for (const wanted of names) {
      const { fileSystem, store } = await diskWith(3);
      let fired = false;
      const off = onCut((name) => {
        if (name !== wanted) return;
        fired = true;
        fileSystem.disk.halt();
      });
      await store.commit(manifestOf(4)).catch(() => undefined);
      off();
      expect(fired).toBe(true);
      const after = fileSystem.powerCut(new SeededRandom(3));
      const generation = (await found(after))?.generation;
      if (wanted === 'manifest.synced') expect(generation).toBe(3);
      else if (wanted === 'manifest.renamed') expect([3, 4]).toContain(generation);
      else expect(generation).toBe(4);
    }
  });
});

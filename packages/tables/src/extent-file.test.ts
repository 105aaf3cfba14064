import { type FileId, MemoryFileSystem } from '@holdfast/core';
import { SimFs } from '@holdfast/testkit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { counting, makeExtents, openExtents } from '../test/extent-fixtures.ts';
import { codec, collect, DIRECTORY } from '../test/table-fixtures.ts';
import { BlockCache } from './block-cache.ts';
import { ExtentFileWriter } from './extent-file-writer.ts';
import { decodeExtentRef, encodeExtentRef } from './extent-ref.ts';

async function freshDisk(): Promise<SimFs> {
  const fileSystem = new SimFs();
  await fileSystem.makeDirectory(DIRECTORY);
  return fileSystem;
}

describe('extent file', () => {
  test('any range reads back what was laid down, before and after writing, at every cache size', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory(DIRECTORY);
    const extents = fc.array(fc.array(fc.nat({ max: 200 }), { maxLength: 4 }), {
      size: 'max',
      maxLength: 12,
    });
    const ranges = fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 12 });
    let fileId = 0;
    await fc.assert(
      fc.asyncProperty(
        extents,
        ranges,
        fc.constantFrom(1, 7, 64, 300),
        fc.constantFrom(0, 130, 1 << 20),
        async (lengths, wanted, blockBytes, cacheBytes) => {
          let laid = 0;
          const parts = lengths.map((list) =>
            list.map((length) => counting(length, (laid += length) - length)),
          );
          fileId++;
          const written = await makeExtents(fileSystem, parts, { fileId, blockBytes });
          const writer = new ExtentFileWriter(fileId as FileId, blockBytes);
          const refs = parts.map((list, i) => writer.add(written.owners[i]!, list));
          expect(refs).toEqual(written.refs);
          const file = await openExtents(fileSystem, written, new BlockCache(cacheBytes));
          for (const [a, b] of wanted) {
            const position = a % (written.payload.length + 1);
            const length = b % (written.payload.length - position + 1);
            const expected = written.payload.subarray(position, position + length);
            expect(Buffer.concat(await file.read(position, length))).toEqual(expected);
            const cached = file.readCached(position, length);
            if (cached !== undefined) expect(Buffer.concat(cached)).toEqual(expected);
            const ref = refs[a % (refs.length || 1)];
            if (ref === undefined) continue;
            const offset = a % (ref.length + 1);
            const size = b % (ref.length - offset + 1);
            const start = ref.position + offset;
            expect(Buffer.concat(writer.read(ref, offset, size))).toEqual(
              written.payload.subarray(start, start + size),
            );
          }
          const directory = await collect(file.directory());
          expect(directory.map(({ ref }) => ref)).toEqual(refs);
          expect(directory.map(({ owner }) => String(owner))).toEqual(written.owners.map(String));
          await file.verify(failOnProblem);
          await file.retire();
        },
      ),
    );
  });

  test('a long read asks the disk once per MiB and leaves at most one block in the cache', async () => {
    const fileSystem = await freshDisk();
    const blockBytes = 64 * 1024;
    const payload = counting(3 << 20);
    const written = await makeExtents(fileSystem, [[payload]], { blockBytes });
    const cache = new BlockCache(64 << 20);
    const file = await openExtents(fileSystem, written, cache);
    const readsBefore = fileSystem.disk.calls('read');
    for (let at = 1000; at < payload.length; at += 256 * 1024) {
      const length = Math.min(256 * 1024, payload.length - at);
      expect(
        Buffer.concat(await file.read(at, length)).equals(payload.subarray(at, at + length)),
      ).toBe(true);
      expect(cache.bytes).toBeLessThanOrEqual(blockBytes);
    }
    await file.read(1000, 256 * 1024);
    const kept = cache.get(written.info.fileId, 4 * (64 + blockBytes));
    expect(kept?.buffer.byteLength).toBe(blockBytes); // not a view that pins the whole read
    expect(fileSystem.disk.calls('read') - readsBefore).toBe(13);
    await file.read(0, payload.length);
    expect(fileSystem.disk.calls('read') - readsBefore).toBe(13 + 4);
  });

  test('a short read is cached; the next one needs neither disk nor turn', async () => {
    const fileSystem = await freshDisk();
    const written = await makeExtents(fileSystem, [[counting(500)]]);
    const file = await openExtents(fileSystem, written);
    expect(file.readCached(60, 10)).toBeUndefined();
    await file.read(60, 10);
    const reads = fileSystem.disk.calls('read');
    expect(Buffer.concat(file.readCached(60, 10)!)).toEqual(counting(500).subarray(60, 70));
    await file.read(60, 10);
    expect(fileSystem.disk.calls('read')).toBe(reads);
  });

  test('a range outside of the file is refused', async () => {
    const fileSystem = await freshDisk();
    const file = await openExtents(fileSystem, await makeExtents(fileSystem, [[counting(100)]]));
    for (const [position, length] of [
      [-1, 2],
      [90, 11],
      [101, 0],
      [0, NaN],
    ] as const) {
      await expect(file.read(position, length)).rejects.toMatchObject({ code: 'FORMAT_INVALID' });
    }
  });

  test('a full disk leaves nothing, and writing again gives the same file', async () => {
    const fileSystem = await freshDisk();
    const writer = new ExtentFileWriter(1 as FileId, 64);
    writer.add(Buffer.from('a'), [counting(3000)]);
    const path = `${DIRECTORY}/extent`;
    fileSystem.disk.capacityBytes = 1000;
    const attempt = writer.write({ fileSystem, codec }, path);
    await expect(attempt).rejects.toMatchObject({ code: 'DISK_FULL', effect: 'none' });
    expect(await fileSystem.list(DIRECTORY)).toEqual([]);
    fileSystem.disk.capacityBytes = Infinity;
    const info = await writer.write({ fileSystem, codec }, path);
    const file = await openExtents(fileSystem, { path, info });
    expect(Buffer.concat(await file.read(0, 3000))).toEqual(counting(3000));
  });

  test('any call that fails while writing rejects with a typed error and can be repeated', async () => {
    for (let nth = 1; ; nth++) {
      const fileSystem = await freshDisk();
      const fault = fileSystem.disk.faults.plan({ effect: 'EIO', nth });
      const attempt = await makeExtents(fileSystem, [[counting(300)]]).catch(
        (error: unknown) => error,
      );
      if (fault.fired === 0) break;
      expect(attempt).toMatchObject({ code: 'STORAGE_UNAVAILABLE', effect: 'none' });
      expect(await fileSystem.list(DIRECTORY)).toEqual([]);
      const file = await openExtents(fileSystem, await makeExtents(fileSystem, [[counting(300)]]));
      expect(Buffer.concat(await file.read(0, 300))).toEqual(counting(300));
    }
  });

  test('a reader that started before retire ends well; the cache is clean afterwards', async () => {
    const fileSystem = await freshDisk();
    const cache = new BlockCache(1 << 20);
    const file = await openExtents(
      fileSystem,
      await makeExtents(fileSystem, [[counting(500)]]),
      cache,
    );
    const reading = file.read(0, 10);
    const retired = file.retire();
    expect(Buffer.concat(await reading)).toEqual(counting(10));
    await retired;
    expect(cache.bytes).toBe(0);
    await expect(file.read(0, 10)).rejects.toMatchObject({ code: 'CLOSED' });
  });
});

describe('extent ref', () => {
  test('has a fixed size and survives encoding; what follows it is not touched', () => {
    const ref = { fileId: 2 ** 40, position: 2 ** 45 + 1, length: 7 };
    const bytes = encodeExtentRef(ref);
    expect(bytes).toHaveLength(24);
    expect(decodeExtentRef(Buffer.concat([bytes, Buffer.from('rest')]))).toEqual(ref);
  });

  test('short bytes and unsafe integers are refused', () => {
    for (const bytes of [Buffer.alloc(23), Buffer.alloc(24, 0xff)]) {
      expect(() => decodeExtentRef(bytes)).toThrow('extent ref');
    }
  });
});

function failOnProblem(problem: unknown): void {
  throw new Error(`unexpected problem ${JSON.stringify(problem)}`);
}

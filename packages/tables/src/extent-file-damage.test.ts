import { SimFs } from '@holdfast/testkit';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  counting,
  makeExtents,
  openExtents,
  type WrittenExtents,
} from '../test/extent-fixtures.ts';
import { collect, DIRECTORY, orDamage } from '../test/table-fixtures.ts';
import type { ExtentFile } from './extent-file.ts';
import type { FileProblem } from './file-problem.ts';

let fileSystem: SimFs;
let written: WrittenExtents;

beforeEach(async () => {
  fileSystem = new SimFs();
  await fileSystem.makeDirectory(DIRECTORY);
  written = await makeExtents(fileSystem, [[counting(90)], [counting(70, 90)], []]);
});

async function problemsOf(file: ExtentFile): Promise<FileProblem[]> {
  const problems: FileProblem[] = [];
  await file.verify((problem) => problems.push(problem));
  return problems;
}

async function assertNeverWrong(): Promise<void> {
  const file = await orDamage(() => openExtents(fileSystem, written));
  if (typeof file === 'string') return;
  for (const [position, length] of [
    [0, 160],
    [60, 10],
    [128, 32],
  ] as const) {
    const got = await orDamage(() => file.read(position, length));
    if (typeof got === 'string') continue;
    expect(Buffer.concat(got)).toEqual(written.payload.subarray(position, position + length));
  }
  const directory = await orDamage(() => collect(file.directory()));
  if (typeof directory !== 'string') {
    expect(directory.map(({ ref }) => ref)).toEqual(written.refs);
    expect(directory.map(({ owner }) => String(owner))).toEqual(written.owners.map(String));
  }
  expect(await problemsOf(file)).not.toEqual([]);
  await file.retire();
}

describe('a damaged extent file', () => {
  test('each flipped bit is found on open, read or verify, and never gives wrong data', async () => {
    const { length } = fileSystem.disk.content(written.path);
    for (let position = 0; position < length; position++) {
      for (let bit = 0; bit < 8; bit++) {
        fileSystem.disk.flipBit(written.path, position, bit);
        await assertNeverWrong();
        fileSystem.disk.flipBit(written.path, position, bit);
      }
    }
    await expect(assertNeverWrong()).rejects.toThrow(); // the undamaged file has no problem
  });

  test('verify names the damaged block, and the others still read', async () => {
    const file = await openExtents(fileSystem, written);
    fileSystem.disk.flipBit(written.path, 128 + 70, 3);
    expect((await problemsOf(file)).map(({ position }) => position)).toEqual([128]);
    await expect(file.read(64, 10)).rejects.toMatchObject({
      code: 'CHECKSUM_MISMATCH',
      details: { path: written.path, position: 128 },
    });
    expect(Buffer.concat(await file.read(0, 64))).toEqual(written.payload.subarray(0, 64));
  });

  test('a file cut off while it is open gives CHECKSUM_MISMATCH, not less data', async () => {
    const file = await openExtents(fileSystem, written);
    fileSystem.disk.truncateFile(written.path, 150);
    await expect(file.read(0, 160)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    expect((await problemsOf(file)).map(({ position }) => position)).toContain(150);
    expect(Buffer.concat(await file.read(0, 64))).toEqual(written.payload.subarray(0, 64));
  });

  test('cut off anywhere or swapped, it opens, names its damage and gives nothing wrong', async () => {
    const whole = fileSystem.disk.content(written.path);
    for (let size = 0; size < whole.length; size++) {
      fileSystem.disk.replaceContent(written.path, whole.subarray(0, size));
      const file = await openExtents(fileSystem, written);
      expect(file.damage).toMatchObject({ code: 'CHECKSUM_MISMATCH' });
      await file.retire();
      await assertNeverWrong();
    }
    fileSystem.disk.replaceContent(written.path, whole);
    const other = await makeExtents(fileSystem, [[counting(90)], [counting(70, 90)], []], {
      fileId: 2,
    });
    fileSystem.disk.swapFiles(written.path, other.path);
    await assertNeverWrong();
    fileSystem.disk.deleteFile(written.path);
    await expect(openExtents(fileSystem, written)).rejects.toMatchObject({ code: 'FILE_MISSING' });
  });

  test('a damaged footer costs nothing: every extent is read, and the file is mended', async () => {
    const whole = fileSystem.disk.content(written.path);
    for (let position = whole.length - 128; position < whole.length; position++) {
      fileSystem.disk.flipBit(written.path, position, position % 8);
      const file = await openExtents(fileSystem, written);
      expect(file.damage).toBeDefined();
      expect(Buffer.concat(await file.read(0, 160))).toEqual(written.payload);
      await file.rebuild({ directory: DIRECTORY });
      expect(file.damage).toBeUndefined();
      expect(await problemsOf(file)).toEqual([]);
      await file.retire();
      expect(fileSystem.disk.content(written.path)).toEqual(whole);
    }
    expect(fileSystem.disk.openHandles).toBe(0);
  });

  test('a name that is lost, swapped or cut short in the footer while it is open is put right', async () => {
    const whole = fileSystem.disk.content(written.path);
    const other = await makeExtents(fileSystem, [[counting(90)], [counting(70, 90)], []], {
      fileId: 2,
    });
    const file = await openExtents(fileSystem, written);
    fileSystem.disk.deleteFile(written.path);
    expect(await file.check()).toBe('missing');
    await file.rebuild({ directory: DIRECTORY });
    expect(await file.check()).toBe('whole');
    fileSystem.disk.deleteFile(written.path);
    fileSystem.disk.duplicateFile(other.path, written.path);
    expect(await file.check()).toBe('damaged');
    await file.rebuild({ directory: DIRECTORY });
    fileSystem.disk.truncateFile(written.path, whole.length - 20);
    expect(await file.check()).toBe('damaged');
    await file.rebuild({ directory: DIRECTORY });
    expect(fileSystem.disk.content(written.path)).toEqual(whole);
    expect(Buffer.concat(await file.read(0, 160))).toEqual(written.payload);
  });

  test('damage in the data is never put under the name again as if it were whole', async () => {
    const file = await openExtents(fileSystem, written);
    fileSystem.disk.flipBit(written.path, 70, 0);
    const before = fileSystem.disk.content(written.path);
    await expect(file.rebuild({ directory: DIRECTORY })).rejects.toMatchObject({ kind: 'corrupt' });
    expect(fileSystem.disk.content(written.path)).toEqual(before);
    expect(fileSystem.disk.paths().filter((path) => path.endsWith('.tmp'))).toEqual([]);
  });
});

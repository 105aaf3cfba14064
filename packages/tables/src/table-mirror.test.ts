import type { HoldfastError } from '@holdfast/core';
import { isSimDead, SeededRandom, SimFs } from '@holdfast/testkit';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  codec,
  collect,
  DIRECTORY,
  makeTable,
  numberedRows,
  plain,
  type WrittenTable,
} from '../test/table-fixtures.ts';
import type { FileProblem } from './file-problem.ts';
import { FILE_COPIES, type FileCopy } from './mirrored-file.ts';
import { Table } from './table.ts';

const rows = numberedRows(9, 6);
const options = { directory: DIRECTORY };
let fileSystem: SimFs;
let written: WrittenTable;
let whole: Buffer;
let told: HoldfastError[];

function open(): Promise<Table> {
  told = [];
  const onDamage = (error: HoldfastError): void => void told.push(error);
  return Table.open({ fileSystem, codec, onDamage }, written.path, written.info);
}

async function problemsOf(table: Table): Promise<FileProblem[]> {
  const problems: FileProblem[] = [];
  await table.verify((problem) => problems.push(problem));
  return problems;
}

async function expectAllRows(table: Table): Promise<void> {
  expect(plain(await collect(table.scan()))).toEqual(plain(rows));
  for (const each of rows) expect(plain([(await table.get(each.key))!])).toEqual(plain([each]));
}

/** One copy is damaged, the other whole: nothing is missing, it is told, and it is mended. */
async function expectMended(copy: FileCopy, where: string): Promise<void> {
  const table = await open();
  await expectAllRows(table);
  expect(
    (await problemsOf(table)).map(({ path }) => path),
    where,
  ).toContain(table.pathOf(copy));
  expect(told.length > 0 || copy === 'mirror', where).toBe(true);
  await table.rebuild(copy, options);
  expect(await problemsOf(table), where).toEqual([]);
  await expectAllRows(table);
  await table.retire();
  expect(fileSystem.disk.content(table.pathOf(copy))).toEqual(whole);
  expect(fileSystem.disk.openHandles).toBe(0);
}

/** The disk does not give out the sector of the original that holds byte `at`. */
function breakSector(at: number): void {
  const openFile = fileSystem.open.bind(fileSystem);
  vi.spyOn(fileSystem, 'open').mockImplementation(async (path, mode) => {
    const handle = await openFile(path, mode);
    if (path !== written.path) return handle;
    const read = handle.read.bind(handle);
    handle.read = (into, position) => {
      const broken = position <= at && at < position + into.length;
      return broken ? Promise.reject(systemError('EIO')) : read(into, position);
    };
    return handle;
  });
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

afterEach(() => {
  vi.restoreAllMocks();
});

beforeEach(async () => {
  fileSystem = new SimFs();
  await fileSystem.makeDirectory(DIRECTORY);
  written = await makeTable(fileSystem, rows, { blockBytes: 80 });
  whole = fileSystem.disk.content(written.path);
  const table = await open();
  await table.rebuild('mirror', options);
  await table.retire();
});

describe('a table that rests twice', () => {
  test('has the same bytes in both files, and opens the mirror only when it is needed', async () => {
    expect(fileSystem.disk.content(`${written.path}.mirror`)).toEqual(whole);
    const table = await open();
    await expectAllRows(table);
    expect(fileSystem.disk.openHandles).toBe(1);
    expect(told).toEqual([]);
  });

  for (const copy of FILE_COPIES) {
    test(`loses nothing to a flipped byte anywhere in the ${copy}, which is mended`, async () => {
      const path = copy === 'original' ? written.path : `${written.path}.mirror`;
      for (let position = 0; position < whole.length; position++) {
        fileSystem.disk.flipBit(path, position, position % 8);
        await expectMended(copy, `position ${position}`);
      }
    }, 60_000);

    test(`loses nothing when the ${copy} is cut short, swapped, grown or deleted`, async () => {
      const path = copy === 'original' ? written.path : `${written.path}.mirror`;
      const other = await makeTable(fileSystem, rows, { fileId: 2, blockBytes: 80 });
      for (let size = 0; size < whole.length; size += 5) {
        fileSystem.disk.truncateFile(path, size);
        await expectMended(copy, `size ${size}`);
      }
      fileSystem.disk.duplicateFile(other.path, path);
      await expectMended(copy, 'another table');
      fileSystem.disk.replaceContent(path, Buffer.concat([whole, Buffer.alloc(3)]));
      await expectMended(copy, 'grown');
      fileSystem.disk.deleteFile(path);
      const table = await open();
      await expectAllRows(table);
      expect(await table.check(copy)).toBe('missing');
      await table.rebuild(copy, options);
      expect(await table.check(copy)).toBe('whole');
    });
  }

  test('whose copies are damaged in different blocks is read and mended from both', async () => {
    for (let position = 0; position < whole.length / 2; position += 5) {
      // Blocks are far smaller than half of the file.
      fileSystem.disk.flipBit(written.path, position, 1);
      fileSystem.disk.flipBit(`${written.path}.mirror`, whole.length - 1 - position, 1);
      if (Math.abs(whole.length - 1 - 2 * position) < 250) break;
      const table = await open();
      await expectAllRows(table);
      await table.rebuild('original', options);
      await table.rebuild('mirror', options);
      expect(await problemsOf(table)).toEqual([]);
      await table.retire();
    }
  });

  test('is read and mended when a sector of one copy is gone and another block of the other is damaged', async () => {
    const broken = 200;
    for (let flipped = 400; flipped < whole.length; flipped += 40) {
      fileSystem.disk.flipBit(`${written.path}.mirror`, flipped, 1);
      breakSector(broken);
      const table = await open();
      await expectAllRows(table);
      await table.rebuild('original', options);
      vi.restoreAllMocks();
      await table.rebuild('mirror', options);
      expect(await problemsOf(table)).toEqual([]);
      await table.retire();
    }
  });

  test('whose only whole copy lost its name while it was open is not let go by a check, and gets its name back', async () => {
    const mirror = `${written.path}.mirror`;
    const losses = [
      () => fileSystem.disk.deleteFile(mirror),
      () => fileSystem.disk.flipBit(mirror, 70, 0),
    ];
    for (const loseMirror of losses) {
      const table = await open();
      loseMirror();
      fileSystem.disk.deleteFile(written.path);
      expect(await table.check('original')).toBe('missing');
      expect((await problemsOf(table)).map(({ path }) => path)).toContain(written.path);
      await expectAllRows(table);
      await table.rebuild('original', options);
      await table.rebuild('mirror', options);
      expect(await problemsOf(table)).toEqual([]);
      await table.retire();
    }
    expect(fileSystem.disk.openHandles).toBe(0);
  });

  test('stays readable when a check finds no file handle left', async () => {
    const table = await open();
    const fault = fileSystem.disk.faults.plan({
      effect: 'EMFILE',
      operations: ['open'],
      times: Infinity,
    });
    await expect(table.check('original')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    expect(fault.fired).toBeGreaterThan(0);
    await expectAllRows(table);
  });

  test('reads what stands under its name once a check found that whole', async () => {
    const table = await open();
    const broken = Buffer.from(whole);
    broken.writeUInt8(whole.readUInt8(70) ^ 1, 70);
    fileSystem.disk.replaceContent(written.path, broken); // in place: the open file rots
    const restored = await fileSystem.open(`${DIRECTORY}/restored`, 'create');
    await restored.write(whole, 0);
    await restored.close();
    fileSystem.disk.deleteFile(`${written.path}.mirror`);
    await expect(collect(table.scan())).rejects.toMatchObject({ kind: 'corrupt' });
    await fileSystem.rename(`${DIRECTORY}/restored`, written.path);
    expect(await table.check('original')).toBe('whole');
    await expectAllRows(table);
    await table.retire();
    expect(fileSystem.disk.openHandles).toBe(0);
  });

  test('loses one block to damage in both copies, says so, and puts no worse file in place', async () => {
    for (const copy of ['', '.mirror']) fileSystem.disk.flipBit(written.path + copy, 70, 0);
    const before = fileSystem.disk.content(written.path);
    const table = await open();
    const lost = { code: 'CHECKSUM_MISMATCH', details: { path: written.path, position: 0 } };
    await expect(table.get(rows[0]!.key)).rejects.toMatchObject(lost);
    await expect(collect(table.scan())).rejects.toMatchObject(lost);
    expect(await table.get(rows[8]!.key)).toBeDefined();
    await expect(table.rebuild('original', options)).rejects.toMatchObject({ kind: 'corrupt' });
    expect(fileSystem.disk.content(written.path)).toEqual(before);
    expect((await problemsOf(table)).map(({ path }) => path)).toEqual([
      written.path,
      `${written.path}.mirror`,
    ]);
    expect(fileSystem.disk.paths().filter((path) => path.endsWith('.tmp'))).toEqual([]);
  });

  test('that is discarded while a copy is made leaves no file', async () => {
    fileSystem.disk.deleteFile(`${written.path}.mirror`);
    const table = await open();
    let discarded: Promise<void> | undefined;
    const pace = async (): Promise<void> => {
      discarded ??= table.discard();
      await Promise.resolve();
    };
    await expect(table.rebuild('mirror', { ...options, pace })).rejects.toMatchObject({
      code: 'CLOSED',
    });
    await discarded;
    expect(fileSystem.disk.paths()).toEqual([]);
    expect(fileSystem.disk.openHandles).toBe(0);
  });

  test('is whole after a power cut at any call of a rebuild, or a call that fails', async () => {
    fileSystem.disk.flipBit(written.path, 100, 3);
    const start = fileSystem.disk;
    for (let nth = 1; ; nth++) {
      fileSystem = new SimFs({ disk: start.clone() });
      const table = await open();
      const effect = nth % 3 === 0 ? 'EIO' : 'halt';
      const fault = fileSystem.disk.faults.plan({ effect, nth, performed: nth % 2 === 0 });
      const outcome = await table.rebuild('original', options).then(
        () => undefined,
        (error: unknown) => error,
      );
      fault.remove();
      if (fault.fired === 0) break;
      if (effect === 'halt') expect(outcome === undefined || isSimDead(outcome)).toBe(true);
      fileSystem = fileSystem.powerCut(new SeededRandom(nth));
      const again = await open();
      await expectAllRows(again);
      await again.rebuild('original', options);
      expect(await problemsOf(again)).toEqual([]);
      await again.retire();
    }
  });
});

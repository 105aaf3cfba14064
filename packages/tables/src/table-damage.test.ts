import { SimFs } from '@holdfast/testkit';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  collect,
  DIRECTORY,
  makeTable,
  numberedRows,
  openTable,
  orDamage,
  plain,
  row,
  type WrittenTable,
} from '../test/table-fixtures.ts';
import type { FileProblem } from './file-problem.ts';

const rows = [
  row('apple', 'red'),
  row('banana'),
  row('cherry', 'dark red and round'),
  row('date', ''),
];
let fileSystem: SimFs;
let written: WrittenTable;
let whole: Buffer;

beforeEach(async () => {
  fileSystem = new SimFs();
  await fileSystem.makeDirectory(DIRECTORY);
  written = await makeTable(fileSystem, rows, { blockBytes: 40 });
  whole = fileSystem.disk.content(written.path);
});

/** What a reader of a damaged table may get: the truth, or a typed error. */
async function assertNeverWrong(): Promise<void> {
  const table = await orDamage(() => openTable(fileSystem, written));
  if (typeof table === 'string') return;
  for (const each of rows) {
    const got = await orDamage(() => table.get(each.key));
    if (typeof got !== 'string') expect(got && plain([got])).toEqual(plain([each]));
  }
  const scanned = await orDamage(() => collect(table.scan()));
  if (typeof scanned !== 'string') expect(plain(scanned)).toEqual(plain(rows));
  expect(await problemsOf(table)).not.toEqual([]);
  await table.retire();
}

async function problemsOf(table: Awaited<ReturnType<typeof openTable>>): Promise<FileProblem[]> {
  const problems: FileProblem[] = [];
  await table.verify((problem) => problems.push(problem));
  return problems;
}

describe('a damaged table', () => {
  test('each flipped bit is found on open, read or verify, and never gives wrong data', async () => {
    for (let position = 0; position < whole.length; position++) {
      for (let bit = 0; bit < 8; bit++) {
        fileSystem.disk.flipBit(written.path, position, bit);
        await assertNeverWrong();
        fileSystem.disk.flipBit(written.path, position, bit);
      }
    }
    await expect(assertNeverWrong()).rejects.toThrow(); // the undamaged table has no problem
  });

  test('a table cut off anywhere does not open; one that grew is told and reads on', async () => {
    for (let size = 0; size < whole.length; size++) {
      fileSystem.disk.replaceContent(written.path, whole.subarray(0, size));
      const opened = openTable(fileSystem, written);
      await expect(opened).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    }
    fileSystem.disk.replaceContent(written.path, Buffer.concat([whole, Buffer.alloc(1)]));
    const grown = await openTable(fileSystem, written);
    expect(plain(await collect(grown.scan()))).toEqual(plain(rows));
    expect(await problemsOf(grown)).not.toEqual([]);
  });

  test('a deleted table is FILE_MISSING, a swapped or repeated one CHECKSUM_MISMATCH', async () => {
    const other = await makeTable(fileSystem, rows, { fileId: 2, blockBytes: 40 });
    fileSystem.disk.swapFiles(written.path, other.path);
    await expect(openTable(fileSystem, written)).rejects.toMatchObject({
      code: 'CHECKSUM_MISMATCH',
    });
    await expect(openTable(fileSystem, other)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    fileSystem.disk.deleteFile(written.path);
    await expect(openTable(fileSystem, written)).rejects.toMatchObject({ code: 'FILE_MISSING' });
  });

  test('blocks moved within the file are found', async () => {
    const large = await makeTable(fileSystem, numberedRows(8, 10), { fileId: 3, blockBytes: 40 });
    const bytes = fileSystem.disk.content(large.path);
    const stride = 64 + 6 + 10 + 10 + 8;
    const moved = Buffer.concat([
      bytes.subarray(stride, 2 * stride),
      bytes.subarray(0, stride),
      bytes.subarray(2 * stride),
    ]);
    fileSystem.disk.replaceContent(large.path, moved);
    const table = await openTable(fileSystem, large);
    await expect(table.get(Buffer.from('key-000000'))).rejects.toMatchObject({
      code: 'CHECKSUM_MISMATCH',
      details: { path: large.path, position: 0 },
    });
    expect((await problemsOf(table)).map(({ position }) => position)).toEqual([0, stride]);
  });

  test('one damaged block leaves the rest readable', async () => {
    const large = await makeTable(fileSystem, numberedRows(100), { fileId: 4, blockBytes: 200 });
    fileSystem.disk.flipBit(large.path, 70, 0);
    const table = await openTable(fileSystem, large);
    await expect(table.get(Buffer.from('key-000000'))).rejects.toMatchObject({ kind: 'corrupt' });
    expect(await table.get(Buffer.from('key-000099'))).toBeDefined();
  });

  test('a table of another database does not open', async () => {
    const { BlockCodec } = await import('@holdfast/core');
    const { Table } = await import('./table.ts');
    const foreign = new BlockCodec(Buffer.alloc(16, 1));
    const opened = Table.open({ fileSystem, codec: foreign }, written.path, written.info);
    await expect(opened).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
  });

  test('a read error is unavailability, not damage', async () => {
    const table = await openTable(fileSystem, written);
    fileSystem.disk.faults.plan({ effect: 'EIO', operations: ['read'] });
    await expect(table.get(rows[0]!.key)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    expect(plain([(await table.get(rows[0]!.key))!])).toEqual(plain([rows[0]!]));
  });
});

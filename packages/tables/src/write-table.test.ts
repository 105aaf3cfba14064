import { onCut } from '@holdfast/core';
import { SeededRandom, SimFs } from '@holdfast/testkit';
import { describe, expect, test } from 'vitest';
import {
  collect,
  DIRECTORY,
  makeTable,
  numberedRows,
  openTable,
  plain,
} from '../test/table-fixtures.ts';

const rows = numberedRows(3000, 100);

async function freshDisk(): Promise<SimFs> {
  const fileSystem = new SimFs();
  await fileSystem.makeDirectory(DIRECTORY);
  return fileSystem;
}

describe('writing a table', () => {
  test('any call that fails rejects with a typed error, leaves no file, and can be repeated', async () => {
    for (const effect of ['EIO', 'ENOSPC'] as const) {
      for (let nth = 1; ; nth++) {
        const fileSystem = await freshDisk();
        const fault = fileSystem.disk.faults.plan({
          effect,
          nth,
          operations: ['open', 'write', 'datasync', 'unlink', 'close'],
        });
        const attempt = makeTable(fileSystem, rows, { blockBytes: 4096 });
        const outcome = await attempt.then(
          () => 'written',
          (error: unknown) => error,
        );
        if (fault.fired === 0) break;
        const code = effect === 'EIO' ? 'STORAGE_UNAVAILABLE' : 'DISK_FULL';
        expect(outcome).toMatchObject({ code, effect: 'none' });
        expect(await fileSystem.list(DIRECTORY)).toEqual([]);
        const written = await makeTable(fileSystem, rows, { blockBytes: 4096 });
        const table = await openTable(fileSystem, written);
        expect(plain(await collect(table.scan()))).toEqual(plain(rows));
      }
    }
  });

  test('short writes are made whole', async () => {
    const fileSystem = await freshDisk();
    fileSystem.disk.faults.plan({ effect: 'short-write', times: 3 });
    const table = await openTable(fileSystem, await makeTable(fileSystem, rows));
    expect(plain(await collect(table.scan()))).toEqual(plain(rows));
  });

  test('a table that was written survives a power cut once its folder is synced', async () => {
    const fileSystem = await freshDisk();
    const written = await makeTable(fileSystem, rows);
    await fileSystem.syncDirectory(DIRECTORY);
    const after = fileSystem.powerCut(new SeededRandom(1));
    const table = await openTable(after, written);
    expect(plain(await collect(table.scan()))).toEqual(plain(rows));
  });

  test('a leftover of the same name shows through nowhere', async () => {
    const fileSystem = await freshDisk();
    await makeTable(fileSystem, rows);
    const written = await makeTable(fileSystem, rows.slice(0, 3));
    const table = await openTable(fileSystem, written);
    expect(plain(await collect(table.scan()))).toEqual(plain(rows.slice(0, 3)));
  });

  test('the cut points of a file are passed in order', async () => {
    const heard: string[] = [];
    const off = onCut((name) => void heard.push(name));
    try {
      await makeTable(await freshDisk(), rows.slice(0, 3));
    } finally {
      off();
    }
    expect(heard).toEqual(['file.leftoverUnlinked', 'file.written', 'file.synced']);
  });
});

import { describe, expect, it } from 'vitest';
import { readExactly, writeFully, writeFullySync, type FileHandle } from './file-system.ts';
import { MemoryFileSystem } from './memory-file-system.ts';

/** A handle that writes at most `most` bytes a call. */
async function shortHandle(most: number): Promise<FileHandle> {
  const file = await new MemoryFileSystem().open('/a', 'create');
  return {
    path: file.path,
    size: () => file.size(),
    read: (target, position) => file.read(target, position),
    write: (bytes, position) => file.write(bytes.subarray(0, most), position),
    writeSync: (bytes, position) => file.writeSync(bytes.subarray(0, most), position),
    truncate: (size) => file.truncate(size),
    datasync: () => file.datasync(),
    close: () => file.close(),
  };
}

describe('writeFully and writeFullySync', () => {
  it('go on after short writes until all is written', async () => {
    for (const most of [1, 3, 7, 100]) {
      const file = await shortHandle(most);
      await writeFully(file, Buffer.from('abcdefghij'), 0);
      writeFullySync(file, Buffer.from('0123456789'), 10);
      expect((await readExactly(file, 0, 20))?.toString()).toBe('abcdefghij0123456789');
    }
  });

  it('reject as an I/O error when there is no progress, instead of trying for ever', async () => {
    const file = await shortHandle(0);
    await expect(writeFully(file, Buffer.from('a'), 0)).rejects.toMatchObject({ code: 'EIO' });
    expect(() => writeFullySync(file, Buffer.from('a'), 0)).toThrow(/no progress/);
  });

  it('write nothing when there is nothing to write', async () => {
    const file = await shortHandle(0);
    await writeFully(file, Buffer.alloc(0), 0);
    writeFullySync(file, Buffer.alloc(0), 0);
    expect(await file.size()).toBe(0);
  });
});

describe('MemoryFileSystem', () => {
  it('two of them share nothing', async () => {
    const one = new MemoryFileSystem();
    await one.open('/a', 'create');
    expect(await new MemoryFileSystem().list('/')).toEqual([]);
  });

  it('refuses paths that climb', async () => {
    const fs = new MemoryFileSystem();
    await expect(fs.open('/a/../b', 'create')).rejects.toMatchObject({ code: 'EINVAL' });
    expect(await fs.list('/')).toEqual([]);
  });
});

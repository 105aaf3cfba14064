/**
 * What every `FileSystem` owes its caller (the contract in core's `file-system.ts`), as tests.
 * Runs on any backend: hand it the test runner's `it` and say what the backend supports.
 *
 * ```ts
 * describe('MemoryFileSystem', () => {
 *   fileSystemConformance({ it, open: async () => ({ fs: new MemoryFileSystem(), root: '/' }) });
 * });
 * ```
 */
import assert from 'node:assert/strict';
import {
  hasCode,
  readExactly,
  systemErrorCode,
  writeFully,
  writeFullySync,
  type FileHandle,
  type FileSystem,
} from '@holdfast/core';

/** The part of vitest's, jest's and node:test's `it` that is needed. */
export interface TestFunction {
  (title: string, run: () => Promise<void>): unknown;
  skip(title: string, run: () => Promise<void>): unknown;
}

export interface FileSystemUnderTest {
  readonly fs: FileSystem;
  /** An existing folder, empty, of this test alone. */
  readonly root: string;
  close?(): Promise<void>;
}

export interface FileSystemConformanceOptions {
  readonly it: TestFunction;
  readonly open: () => Promise<FileSystemUnderTest>;
  /** A reason for each promise that the backend does not make. Default: it makes all. */
  readonly unsupported?: Partial<Record<FileSystemCapability, string>>;
}

export type FileSystemCapability = 'finiteFreeBytes' | 'unlinkWhileOpen' | 'renameDirectory';

interface Case {
  readonly title: string;
  readonly needs?: FileSystemCapability;
  readonly run: (fs: FileSystem, root: string) => Promise<void>;
}

export function fileSystemConformance(options: FileSystemConformanceOptions): void {
  for (const { title, needs, run } of CASES) {
    const reason = needs === undefined ? undefined : options.unsupported?.[needs];
    const test = async (): Promise<void> => {
      const opened = await options.open();
      try {
        await run(opened.fs, opened.root);
      } finally {
        await opened.close?.();
      }
    };
    if (reason === undefined) options.it(title, test);
    else options.it.skip(`${title} (${reason})`, test);
  }
}

const FILES: readonly Case[] = [
  {
    title: 'reads back what was written, at any position',
    run: async (fs, root) => {
      const file = await create(fs, `${root}/a`);
      await writeFully(file, Buffer.from('hello'), 0);
      writeFullySync(file, Buffer.from('world'), 5);
      await writeFully(file, Buffer.from('HELL'), 0);
      assert.equal(await text(file), 'HELLoworld');
      assert.equal((await readExactly(file, 4, 3))?.toString(), 'owo');
      assert.equal(await file.size(), 10);
      await file.close();
    },
  },
  {
    title: 'a read is short only at the end of the file',
    run: async (fs, root) => {
      const file = await create(fs, `${root}/a`);
      await writeFully(file, Buffer.alloc(100_000, 'x'), 0);
      assert.equal(await file.read(Buffer.alloc(100_001), 0), 100_000);
      assert.equal(await file.read(Buffer.alloc(10), 99_995), 5);
      assert.equal(await file.read(Buffer.alloc(10), 100_000), 0);
      assert.equal(await file.read(Buffer.alloc(10), 200_000), 0);
      assert.equal(await file.read(Buffer.alloc(0), 0), 0);
      assert.equal(await readExactly(file, 99_995, 6), undefined);
      await file.close();
    },
  },
  {
    title: 'keeps no reference to written bytes and fills only the asked part',
    run: async (fs, root) => {
      const file = await create(fs, `${root}/a`);
      const bytes = Buffer.from('mine');
      file.writeSync(bytes, 0);
      bytes.fill('!');
      const around = Buffer.from('........');
      assert.equal(await file.read(around.subarray(2, 6), 0), 4);
      assert.equal(around.toString(), '..mine..');
      await file.close();
    },
  },
  {
    title: 'a gap reads as zeros',
    run: async (fs, root) => {
      const file = await create(fs, `${root}/a`);
      await writeFully(file, Buffer.from('end'), 70_000);
      const all = await readExactly(file, 0, 70_003);
      assert.ok(all?.subarray(0, 70_000).every((byte) => byte === 0));
      assert.equal(all?.subarray(70_000).toString(), 'end');
      await file.close();
    },
  },
  {
    title: 'an empty write changes nothing',
    run: async (fs, root) => {
      const file = await create(fs, `${root}/a`);
      assert.equal(file.writeSync(Buffer.alloc(0), 10), 0);
      assert.equal(await file.write(Buffer.alloc(0), 10), 0);
      assert.equal(await file.size(), 0);
      await file.close();
    },
  },
  {
    title: 'truncate cuts and grows, and what was cut never shows again',
    run: async (fs, root) => {
      const file = await create(fs, `${root}/a`);
      await writeFully(file, Buffer.alloc(50_000, 'x'), 0);
      await file.truncate(20_001);
      assert.equal(await file.size(), 20_001);
      await file.truncate(60_000);
      const all = await readExactly(file, 0, 60_000);
      assert.ok(all?.subarray(0, 20_001).every((byte) => byte === 0x78));
      assert.ok(all?.subarray(20_001).every((byte) => byte === 0));
      await file.close();
    },
  },
  {
    title: 'two handles see one file, and datasync of either resolves',
    run: async (fs, root) => {
      const writer = await create(fs, `${root}/a`);
      const reader = await fs.open(`${root}/a`, 'read');
      writer.writeSync(Buffer.from('now'), 0);
      assert.equal(await text(reader), 'now');
      await writer.datasync();
      await reader.close();
      await writer.close();
    },
  },
  {
    title: 'a read handle cannot write',
    run: async (fs, root) => {
      await put(fs, `${root}/a`, 'kept');
      const file = await fs.open(`${root}/a`, 'read');
      await rejects(async () => file.writeSync(Buffer.from('x'), 0), ['EBADF', 'EPERM']);
      await rejects(() => file.write(Buffer.from('x'), 0), ['EBADF', 'EPERM']);
      await rejects(() => file.truncate(0), ['EINVAL', 'EBADF', 'EPERM']);
      assert.equal(await text(file), 'kept');
      await file.close();
    },
  },
  {
    title: 'close is idempotent, and every other call on a closed handle rejects',
    run: async (fs, root) => {
      const file = await create(fs, `${root}/a`);
      await Promise.all([file.close(), file.close()]);
      await file.close();
      const bytes = Buffer.from('x');
      await rejects(async () => file.writeSync(bytes, 0), ['EBADF']);
      for (const call of [
        () => file.write(bytes, 0),
        () => file.read(bytes, 0),
        () => file.size(),
        () => file.truncate(0),
        () => file.datasync(),
      ]) {
        await rejects(call, ['EBADF']);
      }
      assert.equal((await fs.stat(`${root}/a`))?.size, 0);
    },
  },
  {
    title: 'a close waits for the calls in flight',
    run: async (fs, root) => {
      const file = await create(fs, `${root}/a`);
      const written = file.write(Buffer.from('in flight'), 0);
      const synced = file.datasync();
      await file.close();
      assert.equal(await written, 9);
      await synced;
      assert.equal(await content(fs, `${root}/a`), 'in flight');
    },
  },
];

const NAMES: readonly Case[] = [
  {
    title: 'create makes a new file and refuses a taken name',
    run: async (fs, root) => {
      await put(fs, `${root}/a`, 'first');
      await rejects(() => fs.open(`${root}/a`, 'create'), ['EEXIST']);
      assert.equal(await content(fs, `${root}/a`), 'first');
    },
  },
  {
    title: 'read and write need an existing file',
    run: async (fs, root) => {
      await rejects(() => fs.open(`${root}/none`, 'read'), ['ENOENT']);
      await rejects(() => fs.open(`${root}/none`, 'write'), ['ENOENT']);
      await rejects(() => fs.open(`${root}/none/deep`, 'create'), ['ENOENT']);
      assert.deepEqual(await fs.list(root), []);
    },
  },
  {
    title: 'list names what is in a folder, and only there',
    run: async (fs, root) => {
      await fs.makeDirectory(`${root}/one/deep`);
      await put(fs, `${root}/file`, '');
      assert.deepEqual((await fs.list(root)).sort(), ['file', 'one']);
      assert.deepEqual(await fs.list(`${root}/one`), ['deep']);
      assert.deepEqual(await fs.list(`${root}/one/deep`), []);
      await rejects(() => fs.list(`${root}/none`), ['ENOENT']);
      await rejects(() => fs.list(`${root}/file`), ['ENOTDIR']);
    },
  },
  {
    title: 'stat tells kind and size, and undefined for no such name',
    run: async (fs, root) => {
      await put(fs, `${root}/a`, '12345');
      assert.deepEqual(await fs.stat(`${root}/a`), { kind: 'file', size: 5 });
      assert.equal((await fs.stat(root))?.kind, 'directory');
      assert.equal(await fs.stat(`${root}/none`), undefined);
      assert.equal(await fs.stat(`${root}/none/deep`), undefined);
      assert.equal(await fs.stat(`${root}/a/below-a-file`), undefined);
    },
  },
  {
    title: 'makeDirectory makes parents, is idempotent, and never replaces a file',
    run: async (fs, root) => {
      await fs.makeDirectory(`${root}/a/b/c`);
      await put(fs, `${root}/a/b/file`, 'kept');
      await fs.makeDirectory(`${root}/a/b/c`);
      await fs.makeDirectory(`${root}/a/b`);
      assert.equal(await content(fs, `${root}/a/b/file`), 'kept');
      await rejects(() => fs.makeDirectory(`${root}/a/b/file`), ['EEXIST']);
      await rejects(() => fs.makeDirectory(`${root}/a/b/file/deep`), ['ENOTDIR', 'EEXIST']);
    },
  },
  {
    title: 'two makeDirectory of one path at the same time both succeed',
    run: async (fs, root) => {
      const path = `${root}/x/y/z`;
      await Promise.all([fs.makeDirectory(path), fs.makeDirectory(path), fs.makeDirectory(path)]);
      assert.equal((await fs.stat(path))?.kind, 'directory');
    },
  },
  {
    title: 'rename moves and replaces; an open handle of the replaced file keeps it',
    needs: 'unlinkWhileOpen',
    run: async (fs, root) => {
      await put(fs, `${root}/new`, 'new');
      await put(fs, `${root}/old`, 'old');
      const held = await fs.open(`${root}/old`, 'read');
      await fs.rename(`${root}/new`, `${root}/old`);
      assert.deepEqual(await fs.list(root), ['old']);
      assert.equal(await content(fs, `${root}/old`), 'new');
      assert.equal(await text(held), 'old');
      await held.close();
    },
  },
  {
    title: 'rename goes between folders and refuses what is not there',
    run: async (fs, root) => {
      await fs.makeDirectory(`${root}/from`);
      await fs.makeDirectory(`${root}/to`);
      await put(fs, `${root}/from/a`, 'moved');
      await fs.rename(`${root}/from/a`, `${root}/to/b`);
      assert.deepEqual(await fs.list(`${root}/from`), []);
      assert.equal(await content(fs, `${root}/to/b`), 'moved');
      await rejects(() => fs.rename(`${root}/from/a`, `${root}/to/c`), ['ENOENT']);
      await rejects(() => fs.rename(`${root}/to/b`, `${root}/none/b`), ['ENOENT']);
      assert.equal(await content(fs, `${root}/to/b`), 'moved');
    },
  },
  {
    title: 'rename moves a folder with what is in it, never over a full one or into itself',
    needs: 'renameDirectory',
    run: async (fs, root) => {
      await fs.makeDirectory(`${root}/from/deep`);
      await fs.makeDirectory(`${root}/full/child`);
      await put(fs, `${root}/from/deep/a`, 'kept');
      await rejects(() => fs.rename(`${root}/from`, `${root}/full`), ['ENOTEMPTY', 'EEXIST']);
      await rejects(() => fs.rename(`${root}/from`, `${root}/from/deep/x`), ['EINVAL']);
      await rejects(() => fs.rename(`${root}/from/deep/a`, `${root}/full`), ['EISDIR']);
      await rejects(() => fs.rename(`${root}/full`, `${root}/from/deep/a`), ['ENOTDIR']);
      await fs.rename(`${root}/from`, `${root}/to`);
      assert.equal(await content(fs, `${root}/to/deep/a`), 'kept');
      assert.equal(await fs.stat(`${root}/from`), undefined);
    },
  },
  {
    title: 'a rename onto itself changes nothing',
    run: async (fs, root) => {
      await fs.makeDirectory(`${root}/folder`);
      await put(fs, `${root}/folder/a`, 'kept');
      await fs.rename(`${root}/folder/a`, `${root}/folder/a`);
      await fs.rename(`${root}/folder`, `${root}/folder`);
      assert.equal(await content(fs, `${root}/folder/a`), 'kept');
    },
  },
  {
    title: 'unlink removes a file, not a folder; an open handle keeps reading and writing',
    needs: 'unlinkWhileOpen',
    run: async (fs, root) => {
      const held = await create(fs, `${root}/a`);
      await writeFully(held, Buffer.from('still'), 0);
      await fs.unlink(`${root}/a`);
      assert.equal(await fs.stat(`${root}/a`), undefined);
      await writeFully(held, Buffer.from(' here'), 5);
      await held.datasync();
      assert.equal(await text(held), 'still here');
      await put(fs, `${root}/a`, 'another');
      assert.equal(await text(held), 'still here');
      await held.close();
      await rejects(() => fs.unlink(`${root}/none`), ['ENOENT']);
      await fs.makeDirectory(`${root}/folder`);
      await rejects(() => fs.unlink(`${root}/folder`), ['EISDIR', 'EPERM']);
    },
  },
  {
    title: 'removeDirectory removes an empty folder, and nothing else',
    run: async (fs, root) => {
      await fs.makeDirectory(`${root}/folder/deep`);
      await put(fs, `${root}/file`, 'kept');
      await rejects(() => fs.removeDirectory(`${root}/folder`), ['ENOTEMPTY', 'EEXIST']);
      await rejects(() => fs.removeDirectory(`${root}/file`), ['ENOTDIR']);
      await rejects(() => fs.removeDirectory(`${root}/none`), ['ENOENT']);
      await fs.removeDirectory(`${root}/folder/deep`);
      await fs.removeDirectory(`${root}/folder`);
      assert.deepEqual(await fs.list(root), ['file']);
    },
  },
  {
    title: 'syncDirectory resolves for a folder and rejects for none',
    run: async (fs, root) => {
      await put(fs, `${root}/a`, '');
      await fs.syncDirectory(root);
      await rejects(() => fs.syncDirectory(`${root}/none`), ['ENOENT']);
    },
  },
];

const SPACE_AND_LOCKS: readonly Case[] = [
  {
    title: 'freeBytes is a number of bytes above zero',
    run: async (fs, root) => {
      const free = await fs.freeBytes(root);
      assert.ok(free > 0, `free=${free}`);
    },
  },
  {
    title: 'freeBytes is finite',
    needs: 'finiteFreeBytes',
    run: async (fs, root) => {
      assert.ok(Number.isFinite(await fs.freeBytes(root)));
    },
  },
  {
    title: 'a folder has one owner at a time, a file or a missing folder none',
    run: async (fs, root) => {
      await fs.makeDirectory(`${root}/data`);
      await fs.makeDirectory(`${root}/other`);
      const lock = await fs.lockDirectory(`${root}/data`);
      await assert.rejects(
        () => fs.lockDirectory(`${root}/data`),
        (error) => hasCode(error, 'DIRECTORY_LOCKED') && error.effect === 'none',
      );
      const other = await fs.lockDirectory(`${root}/other`);
      await lock.release();
      const again = await fs.lockDirectory(`${root}/data`);
      await lock.release(); // the first owner's second release takes nothing from the next one
      await assert.rejects(
        () => fs.lockDirectory(`${root}/data`),
        (error) => hasCode(error, 'DIRECTORY_LOCKED'),
      );
      await again.release();
      await other.release();
      await put(fs, `${root}/file`, '');
      await rejects(() => fs.lockDirectory(`${root}/file`), ['ENOTDIR']);
      await rejects(() => fs.lockDirectory(`${root}/none`), ['ENOENT']);
    },
  },
  {
    title: 'of two claims at the same time exactly one wins',
    run: async (fs, root) => {
      const claims = await Promise.allSettled([fs.lockDirectory(root), fs.lockDirectory(root)]);
      const won = claims.filter((claim) => claim.status === 'fulfilled');
      assert.equal(won.length, 1);
      await won[0]?.value.release();
    },
  },
];

const CASES: readonly Case[] = [...FILES, ...NAMES, ...SPACE_AND_LOCKS];

function create(fs: FileSystem, path: string): Promise<FileHandle> {
  return fs.open(path, 'create');
}

async function put(fs: FileSystem, path: string, value: string): Promise<void> {
  const file = await fs.open(path, 'create');
  await writeFully(file, Buffer.from(value), 0);
  await file.close();
}

async function text(file: FileHandle): Promise<string> {
  return ((await readExactly(file, 0, await file.size())) as Buffer).toString();
}

async function content(fs: FileSystem, path: string): Promise<string> {
  const file = await fs.open(path, 'read');
  try {
    return await text(file);
  } finally {
    await file.close();
  }
}

async function rejects(call: () => Promise<unknown>, codes: readonly string[]): Promise<void> {
  await assert.rejects(call, (error) => {
    const code = systemErrorCode(error);
    assert.ok(code !== undefined && codes.includes(code), `got ${code}, wanted ${codes.join('|')}`);
    return true;
  });
}

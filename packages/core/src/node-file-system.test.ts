/** What only the real disk can show; the contract is held by testkit's conformance suite. */
import nodeFs from 'node:fs';
import { mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readExactly, writeFully } from './file-system.ts';
import { NodeFileSystem } from './node-file-system.ts';

const fs = new NodeFileSystem();
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'holdfast-node-fs-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
  await rm(root, { recursive: true, force: true });
});

describe('NodeFileSystem', () => {
  it('keeps what it makes from other users', async () => {
    await fs.makeDirectory(`${root}/data/log`);
    await (await fs.open(`${root}/data/log/1`, 'create')).close();
    expect((await stat(`${root}/data`)).mode & 0o777).toBe(0o700);
    expect((await stat(`${root}/data/log`)).mode & 0o777).toBe(0o700);
    expect((await stat(`${root}/data/log/1`)).mode & 0o777).toBe(0o600);
  });

  it('makeDirectory syncs every folder that got a name, outermost first', async () => {
    const opened = vi.spyOn(nodeFs.promises, 'open');
    await fs.makeDirectory(`${root}/a/b/c`);
    const synced = opened.mock.calls.map(([path]) => path);
    // The first one is there already; its own name may not be durable yet.
    expect(synced).toEqual([root, `${root}/a`, `${root}/a/b`]);
  });

  it('makeDirectory syncs the parent of an existing folder: a kill may have come before that', async () => {
    await fs.makeDirectory(`${root}/a`);
    const opened = vi.spyOn(nodeFs.promises, 'open');
    await fs.makeDirectory(`${root}/a`);
    expect(opened.mock.calls.map(([path]) => path)).toEqual([root]);
  });

  it('makeDirectory rejects where there can be no folder, and ends', async () => {
    await expect(fs.makeDirectory('')).rejects.toMatchObject({ code: 'ENOENT' });
    await symlink(`${root}/nowhere`, `${root}/dangling`);
    await expect(fs.makeDirectory(`${root}/dangling/a`)).rejects.toMatchObject({ code: 'EEXIST' });
  });

  it('a folder is an error to sync when it is not there, a file is not a folder', async () => {
    await expect(fs.syncDirectory(`${root}/none`)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('reads and writes at positions beyond 4 GiB', async () => {
    const file = await fs.open(`${root}/large`, 'create');
    const far = 5 * 1024 ** 3;
    await writeFully(file, Buffer.from('far'), far);
    expect(await file.size()).toBe(far + 3);
    expect((await readExactly(file, far, 3))?.toString()).toBe('far');
    await file.close();
  });

  it('concurrent calls on one handle do not share a position', async () => {
    const file = await fs.open(`${root}/a`, 'create');
    const at = Array.from({ length: 50 }, (_, i) => i);
    await Promise.all(at.map((i) => writeFully(file, Buffer.alloc(100, i), i * 100)));
    const read = await Promise.all(at.map((i) => readExactly(file, i * 100, 100)));
    expect(read.every((bytes, i) => bytes?.equals(Buffer.alloc(100, i)))).toBe(true);
    await file.close();
  });

  it('a descriptor is closed after the calls on it, and its number never used again', async () => {
    const file = await fs.open(`${root}/a`, 'create');
    const syncs = [1, 2, 3].map(() => file.datasync());
    const closed = file.close();
    await expect(file.write(Buffer.from('x'), 0)).rejects.toMatchObject({ code: 'EBADF' });
    await Promise.all([...syncs, closed]);
    const other = await fs.open(`${root}/b`, 'create'); // likely the same number
    expect(() => file.writeSync(Buffer.from('x'), 0)).toThrow(/EBADF/);
    await expect(file.truncate(0)).rejects.toMatchObject({ code: 'EBADF' });
    expect(await other.size()).toBe(0);
    await other.close();
  });

  it('never closes a descriptor under a call that is still in flight', async () => {
    const file = await fs.open(`${root}/a`, 'create');
    const real = nodeFs.fdatasync;
    let release: (() => void) | undefined;
    vi.spyOn(nodeFs, 'fdatasync').mockImplementation((descriptor, done) => {
      release = () => real(descriptor, done);
    });
    const closes = vi.spyOn(nodeFs, 'close');
    syncBuiltinESMExports();
    const synced = file.datasync();
    const closed = file.close();
    await new Promise((resolve) => setImmediate(resolve));
    expect(closes).not.toHaveBeenCalled();
    release?.();
    await Promise.all([synced, closed]);
    expect(closes).toHaveBeenCalledTimes(1);
  });

  it('goes on reading after the system gave less than asked', async () => {
    const file = await fs.open(`${root}/a`, 'create');
    await writeFully(file, Buffer.from('0123456789'), 0);
    const real = nodeFs.read as (...args: unknown[]) => void;
    const reads = vi.spyOn(nodeFs, 'read').mockImplementation(((...args: unknown[]) => {
      const [descriptor, target, offset, length, ...rest] = args;
      real(descriptor, target, offset, Math.min(length as number, 3), ...rest);
    }) as typeof nodeFs.read);
    syncBuiltinESMExports();
    expect((await readExactly(file, 1, 8))?.toString()).toBe('12345678');
    expect(reads).toHaveBeenCalledTimes(3);
    await file.close();
  });

  it('free bytes are what an ordinary user may still write', async () => {
    const free = await fs.freeBytes(root);
    const { blocks, bsize } = nodeFs.statfsSync(root);
    expect(free).toBeGreaterThan(0);
    expect(free).toBeLessThanOrEqual(blocks * bsize);
    await expect(fs.freeBytes(`${root}/none`)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

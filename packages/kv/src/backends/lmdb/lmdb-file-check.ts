/**
 * What LMDB does not check of its file before it maps it: that it is one, and that all its pages
 * are there. Reading a page behind the end of the file ends the process.
 *
 * | at | field of a meta page; there are two, of which the newer counts |
 * | --- | --- |
 * | 24 | u32 `BEEFC0DE` |
 * | 48 | u32 bytes of a page |
 * | 144 | u64 number of the last page |
 * | 152 | u64 number of the transaction |
 */
import { type FileSystem, HoldfastError, readExactly } from '@holdfast/core';

const MAGIC = 0xbeefc0de;
const META_BYTES = 160;
const AT = { magic: 24, pageBytes: 48, lastPage: 144, transaction: 152 } as const;
const MIN_PAGE_BYTES = 512;
const MAX_PAGE_BYTES = 65_536;

interface Meta {
  readonly pageBytes: number;
  readonly lastPage: bigint;
  readonly transaction: bigint;
}

/** `CHECKSUM_MISMATCH` when LMDB must not open it; a file that is not there, or empty, is fine. */
export async function checkLmdbFile(fileSystem: FileSystem, path: string): Promise<void> {
  const stat = await fileSystem.stat(path);
  if (stat === undefined || stat.size === 0) return;
  const file = await fileSystem.open(path, 'read');
  try {
    const first = metaOf(await readExactly(file, 0, META_BYTES));
    if (first === undefined) throw damaged('it has no head');
    const second = metaOf(await readExactly(file, first.pageBytes, META_BYTES));
    if (second === undefined) throw damaged('it lacks its second head');
    const newer = second.transaction > first.transaction ? second : first;
    const needed = (newer.lastPage + 1n) * BigInt(first.pageBytes);
    if (BigInt(stat.size) < needed) {
      throw damaged(`it was cut short bytes=${stat.size} needed=${needed}`);
    }
  } finally {
    await file.close();
  }
}

function metaOf(head: Buffer | undefined): Meta | undefined {
  if (head === undefined || head.readUInt32LE(AT.magic) !== MAGIC) return undefined;
  const pageBytes = head.readUInt32LE(AT.pageBytes);
  if (pageBytes < MIN_PAGE_BYTES || pageBytes > MAX_PAGE_BYTES) return undefined;
  return {
    pageBytes,
    lastPage: head.readBigUInt64LE(AT.lastPage),
    transaction: head.readBigUInt64LE(AT.transaction),
  };
}

function damaged(why: string): HoldfastError {
  return new HoldfastError('CHECKSUM_MISMATCH', `the file of LMDB is damaged: ${why}`);
}

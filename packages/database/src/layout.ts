/**
 * `layout.json`: what a data directory is. Written last when a database is created, so that
 * a directory with a layout is a whole database. FORMAT.md, "Layout".
 *
 * Invariants
 * 1. Replaced only as a whole: temporary file, sync, rename, sync of the directory.
 * 2. A mismatch in any field is an error that says what to do; nothing is touched.
 */
import {
  crc32c,
  type FileSystem,
  HoldfastError,
  LIMITS,
  readExactly,
  writeFully,
} from '@holdfast/core';
import { storageError } from '@holdfast/tables';
import { HASH_POLICY } from './shard-placement.ts';

export interface Layout {
  /** 16 random bytes, the identity of the database. Never shown to users of the network. */
  readonly databaseId: Buffer;
  /** A power of two. */
  readonly shardCount: number;
}

const LAYOUT_FORMAT_VERSION = 1;
const FILE = 'layout.json';
/** The layout a rebalance is about to make current. */
const NEXT_FILE = 'layout.next.json';
const MAX_FILE_BYTES = 4096;

export async function readLayout(fileSystem: FileSystem, dir: string): Promise<Layout | undefined> {
  return readLayoutFile(fileSystem, `${dir}/${FILE}`);
}

export async function writeLayout(
  fileSystem: FileSystem,
  dir: string,
  layout: Layout,
): Promise<void> {
  await replaceFile(fileSystem, dir, FILE, encodeLayout(layout));
}

/** Announces the layout that becomes current with the next manifest. */
export async function announceLayout(
  fileSystem: FileSystem,
  dir: string,
  layout: Layout,
): Promise<void> {
  await replaceFile(fileSystem, dir, NEXT_FILE, encodeLayout(layout));
}

/**
 * Ends a rebalance that a crash may have cut in two: the announced layout is taken when the
 * manifest already has its shard count, and forgotten when it has not.
 */
export async function settleLayout(
  fileSystem: FileSystem,
  dir: string,
  layout: Layout,
  manifestShardCount: number,
): Promise<Layout> {
  const next = await readLayoutFile(fileSystem, `${dir}/${NEXT_FILE}`);
  if (next === undefined) return layout;
  if (next.shardCount === manifestShardCount) {
    await fileSystem.rename(`${dir}/${NEXT_FILE}`, `${dir}/${FILE}`);
    await fileSystem.syncDirectory(dir);
    return next;
  }
  await fileSystem.unlink(`${dir}/${NEXT_FILE}`);
  await fileSystem.syncDirectory(dir);
  return layout;
}

export function assertShardCount(count: number): void {
  const powerOfTwo = Number.isInteger(count) && count > 0 && (count & (count - 1)) === 0;
  if (!powerOfTwo || count > LIMITS.maxShardCount) {
    throw new HoldfastError(
      'INVALID_SETTINGS',
      `shard count must be a power of two from 1 to ${LIMITS.maxShardCount} shardCount=${count}`,
    );
  }
}

function encodeLayout(layout: Layout): Buffer {
  const fields = layoutFields(layout);
  return Buffer.from(`${JSON.stringify({ ...fields, check: checkOf(fields) }, null, 2)}\n`);
}

function layoutFields(layout: Layout): Record<string, string | number> {
  return {
    format: 'holdfast',
    formatVersion: LAYOUT_FORMAT_VERSION,
    databaseId: layout.databaseId.toString('hex'),
    shardCount: layout.shardCount,
    hashPolicy: HASH_POLICY,
  };
}

function checkOf(fields: Record<string, string | number>): string {
  return crc32c(Buffer.from(JSON.stringify(fields))).toString(16);
}

async function readLayoutFile(fileSystem: FileSystem, path: string): Promise<Layout | undefined> {
  const stat = await fileSystem.stat(path);
  if (stat === undefined) return undefined;
  if (stat.size > MAX_FILE_BYTES) throw damaged(path, 'too large');
  const file = await fileSystem.open(path, 'read');
  try {
    const bytes = await readExactly(file, 0, stat.size);
    if (bytes === undefined) throw damaged(path, 'shorter than its size');
    return decodeLayout(path, bytes);
  } finally {
    await file.close();
  }
}

function decodeLayout(path: string, bytes: Buffer): Layout {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw damaged(path, 'not JSON', cause);
  }
  if (typeof value !== 'object' || value === null) throw damaged(path, 'not an object');
  const { format, formatVersion, databaseId, shardCount, hashPolicy, check } = value as Record<
    string,
    unknown
  >;
  if (format !== 'holdfast') throw damaged(path, 'not a holdfast layout');
  if (formatVersion !== LAYOUT_FORMAT_VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `data directory has another format version, use the holdfast that wrote it path=${path} formatVersion=${String(formatVersion)} supported=${LAYOUT_FORMAT_VERSION}`,
    );
  }
  if (hashPolicy !== HASH_POLICY) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `data directory places streams by another hash, use the holdfast that wrote it path=${path} supported=${HASH_POLICY}`,
    );
  }
  if (typeof databaseId !== 'string' || !/^[0-9a-f]{32}$/.test(databaseId)) {
    throw damaged(path, 'bad database id');
  }
  if (typeof shardCount !== 'number') throw damaged(path, 'bad shard count');
  const layout: Layout = { databaseId: Buffer.from(databaseId, 'hex'), shardCount };
  if (check !== checkOf(layoutFields(layout))) throw damaged(path, 'checksum does not match');
  assertShardCount(shardCount);
  return layout;
}

async function replaceFile(
  fileSystem: FileSystem,
  dir: string,
  name: string,
  bytes: Buffer,
): Promise<void> {
  const path = `${dir}/${name}`;
  const temporary = `${path}.tmp`;
  try {
    if ((await fileSystem.stat(temporary)) !== undefined) await fileSystem.unlink(temporary);
    const file = await fileSystem.open(temporary, 'create');
    try {
      await writeFully(file, bytes, 0);
      await file.datasync();
    } finally {
      await file.close();
    }
    await fileSystem.rename(temporary, path);
    await fileSystem.syncDirectory(dir);
  } catch (error) {
    throw storageError(error, 'replacing', path);
  }
}

function damaged(path: string, what: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    'CHECKSUM_MISMATCH',
    `layout is damaged, restore it from a copy of the directory path=${path} reason=${what}`,
    { cause },
  );
}

/**
 * `layout.json`: what a data directory is. Written last when a database is created, so that
 * a directory with a layout is a whole database. FORMAT.md, "Layout".
 *
 * Invariants
 * 1. Replaced only as a whole: temporary file, sync, rename, sync of the directory.
 * 2. A mismatch in any field is an error that says what to do; nothing is touched.
 * 3. It rests twice. The mirror is written after the original and may be older than a
 *    rebalance or a change of keys; but the id of a database never changes, and how many shards it has the manifest
 *    says too. So what stands in for a damaged layout is the mirror's id with the manifest's count.
 *    Every key in use is in both: it is entered in both before its first use.
 *    Nothing stands in for a whole layout of another version of the format, or another hash.
 */
import {
  crc32c,
  cut,
  type FileSystem,
  HoldfastError,
  isHoldfastError,
  LIMITS,
} from '@holdfast/core';
import {
  mendCopies,
  type MendedCopy,
  type MendOptions,
  mirrorOf,
  problemsOfCopies,
  readEitherCopy,
  readWholeFile,
  replaceWholeFile,
} from '@holdfast/tables';
import { HASH_POLICY } from './shard-placement.ts';

export interface Layout {
  /** 16 random bytes, the identity of the database. Never shown to users of the network. */
  readonly databaseId: Buffer;
  /** A power of two. */
  readonly shardCount: number;
  /**
   * Of an encrypted database: by the id of each key that something may be encrypted with, what
   * proves that a key is that one. Absent: nothing is encrypted.
   */
  readonly keys?: LayoutKeys;
  /**
   * By chance, of a directory that a restore made: what was written elsewhere, with what it is a copy
   * of, may be newer than what is in here. Absent: it is the original.
   */
  readonly copyId?: string;
}

/** Key id as eight hex digits, and `KeyRing.checkOf` of it. */
export type LayoutKeys = Readonly<Record<string, string>>;

const LAYOUT_FORMAT_VERSION = 1;
const FILE = 'layout.json';
/** The layout a rebalance is about to make current. */
const NEXT_FILE = 'layout.next.json';
const MAX_FILE_BYTES = 64 * 1024;

/** What stands in `layout.json`, or in its mirror when that is damaged. */
export interface StoredLayout extends Layout {
  readonly damage: HoldfastError | undefined;
}

export function layoutPath(dir: string): string {
  return `${dir}/${FILE}`;
}

/** `undefined` when there is neither a layout nor a mirror of one. */
export async function readLayout(
  fileSystem: FileSystem,
  dir: string,
): Promise<StoredLayout | undefined> {
  return readLayoutFile(fileSystem, layoutPath(dir));
}

/** Of a new database. The mirror follows with `mendLayout`. */
export async function writeLayout(
  fileSystem: FileSystem,
  dir: string,
  layout: Layout,
): Promise<void> {
  await replaceWholeFile(fileSystem, dir, layoutPath(dir), encodeLayout(layout));
}

/** Both copies: what `layout` says may be relied on, whichever of them is lost. */
export async function replaceLayout(
  fileSystem: FileSystem,
  dir: string,
  layout: Layout,
): Promise<void> {
  await writeLayout(fileSystem, dir, layout);
  await cut('keys.layoutWritten');
  const mirror = mirrorOf(layoutPath(dir));
  await replaceWholeFile(fileSystem, dir, mirror, encodeLayout(layout));
}

/** Announces the layout that becomes current with the next manifest. */
export async function announceLayout(
  fileSystem: FileSystem,
  dir: string,
  layout: Layout,
): Promise<void> {
  await replaceWholeFile(fileSystem, dir, `${dir}/${NEXT_FILE}`, encodeLayout(layout));
}

/** What is wrong with either copy; a mirror that is only old is not. Changes nothing. */
export async function checkLayout(
  fileSystem: FileSystem,
  dir: string,
  layout: Layout,
): Promise<HoldfastError[]> {
  const path = layoutPath(dir);
  const problems = await problemsOfCopies(fileSystem, path, encodeLayout(layout));
  if (!(await isMirrorOld(fileSystem, path, layout))) return problems;
  return problems.filter(({ details }) => details['path'] !== mirrorOf(path));
}

/** Writes each copy anew that does not hold `layout`; says what was wrong. */
export async function mendLayout(
  fileSystem: FileSystem,
  dir: string,
  layout: Layout,
  options: MendOptions,
): Promise<MendedCopy[]> {
  const path = layoutPath(dir);
  const isOld = await isMirrorOld(fileSystem, path, layout);
  const mended = await mendCopies(fileSystem, dir, path, encodeLayout(layout), options);
  return mended.filter(({ error }) => !isOld || error.details['path'] !== mirrorOf(path));
}

/** I3: it is whole, and from before a rebalance or a change of keys. */
async function isMirrorOld(fileSystem: FileSystem, path: string, layout: Layout): Promise<boolean> {
  const mirror = mirrorOf(path);
  try {
    const file = await readWholeFile(fileSystem, mirror, MAX_FILE_BYTES);
    const found = decodeLayout(mirror, file);
    return found.databaseId.equals(layout.databaseId) && !file.equals(encodeLayout(layout));
  } catch (error) {
    if (isHoldfastError(error)) return false;
    throw error;
  }
}

/**
 * The layout that goes with the manifest. Ends a rebalance that a crash may have cut in two: the
 * announced layout is taken when the manifest already has its shard count, and forgotten
 * when it has not. An announcement that is damaged says as much as that one was made. I3.
 */
export async function settleLayout(
  fileSystem: FileSystem,
  dir: string,
  stored: StoredLayout,
  manifestShardCount: number,
): Promise<Layout> {
  const asManifest = withShardCount(stored, manifestShardCount);
  const layout = stored.damage === undefined ? stored : asManifest;
  const next = `${dir}/${NEXT_FILE}`;
  const announced = await announcedLayout(fileSystem, next);
  if (announced === undefined) return layout;
  if (announced === 'damaged') {
    if (layout.shardCount !== manifestShardCount) await writeLayout(fileSystem, dir, asManifest);
  } else if (announced.shardCount === manifestShardCount) {
    const path = layoutPath(dir);
    await fileSystem.rename(next, path);
    await fileSystem.syncDirectory(dir);
    await replaceWholeFile(fileSystem, dir, mirrorOf(path), encodeLayout(announced));
    return announced;
  }
  await fileSystem.unlink(next);
  await fileSystem.syncDirectory(dir);
  return announced === 'damaged' ? asManifest : layout;
}

async function announcedLayout(
  fileSystem: FileSystem,
  path: string,
): Promise<Layout | 'damaged' | undefined> {
  try {
    return await readLayoutFile(fileSystem, path);
  } catch (error) {
    if (isHoldfastError(error) && error.kind === 'corrupt') return 'damaged';
    throw error;
  }
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

/** The bytes of `layout.json`. */
export function encodeLayout(layout: Layout): Buffer {
  const fields = layoutFields(layout);
  return Buffer.from(`${JSON.stringify({ ...fields, check: checkOf(fields) }, null, 2)}\n`);
}

function withShardCount({ databaseId, keys, copyId }: Layout, shardCount: number): Layout {
  return {
    ...{ databaseId, shardCount },
    ...(keys === undefined ? {} : { keys }),
    ...(copyId === undefined ? {} : { copyId }),
  };
}

function layoutFields(layout: Layout): Record<string, unknown> {
  const { databaseId, shardCount, keys, copyId } = layout;
  return {
    format: 'holdfast',
    formatVersion: LAYOUT_FORMAT_VERSION,
    databaseId: databaseId.toString('hex'),
    shardCount,
    hashPolicy: HASH_POLICY,
    ...(keys === undefined ? {} : { keys: inOrder(keys) }),
    ...(copyId === undefined ? {} : { copyId }),
  };
}

/** One text for one set of keys. */
function inOrder(keys: LayoutKeys): LayoutKeys {
  return Object.fromEntries(Object.entries(keys).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function checkOf(fields: Record<string, unknown>): string {
  return crc32c(Buffer.from(JSON.stringify(fields))).toString(16);
}

async function readLayoutFile(
  fileSystem: FileSystem,
  path: string,
): Promise<StoredLayout | undefined> {
  const there = [path, mirrorOf(path)].map((copy) => fileSystem.stat(copy));
  if ((await Promise.all(there)).every((stat) => stat === undefined)) return undefined;
  const { value, damage } = await readEitherCopy(fileSystem, path, MAX_FILE_BYTES, (bytes, copy) =>
    decodeLayout(copy, bytes),
  );
  return { ...value, damage };
}

/** What a file, or a copy of it elsewhere, holds; @param path named in errors. */
export function decodeLayout(path: string, bytes: Buffer): Layout {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw damaged(path, 'not JSON', cause);
  }
  if (typeof value !== 'object' || value === null) throw damaged(path, 'not an object');
  const { check, ...fields } = value as Record<string, unknown>;
  const { format, formatVersion, databaseId, shardCount, hashPolicy, keys, copyId } = fields;
  if (format !== 'holdfast') throw damaged(path, 'not a holdfast layout');
  const isOurs = formatVersion === LAYOUT_FORMAT_VERSION && hashPolicy === HASH_POLICY;
  if (!isOurs && check !== checkOf(fields)) throw damaged(path, 'checksum does not match');
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
  if (copyId !== undefined && (typeof copyId !== 'string' || !/^[0-9a-f]{16}$/.test(copyId))) {
    throw damaged(path, 'bad copy id');
  }
  const layout: Layout = {
    databaseId: Buffer.from(databaseId, 'hex'),
    shardCount,
    ...(keys === undefined ? {} : { keys: decodeKeys(path, keys) }),
    ...(copyId === undefined ? {} : { copyId }),
  };
  if (check !== checkOf(layoutFields(layout))) throw damaged(path, 'checksum does not match');
  assertShardCount(shardCount);
  return layout;
}

function decodeKeys(path: string, keys: unknown): LayoutKeys {
  const entries = typeof keys === 'object' && keys !== null ? Object.entries(keys) : [];
  const fits = ([id, check]: [string, unknown]): boolean =>
    /^[0-9a-f]{8}$/.test(id) && typeof check === 'string' && /^[0-9a-f]{16}$/.test(check);
  if (entries.length === 0 || !entries.every(fits)) throw damaged(path, 'bad keys');
  return Object.fromEntries(entries) as LayoutKeys;
}

function damaged(path: string, what: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    'CHECKSUM_MISMATCH',
    `layout is damaged, restore it from a copy of the directory path=${path} reason=${what}`,
    { cause, details: { path } },
  );
}

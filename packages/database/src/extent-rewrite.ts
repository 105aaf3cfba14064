/**
 * Reclaims space: copies the live extents of sparse or small extent files into one new file.
 * The copy is made before a collect; within the collecting turn the owners' rows move to it;
 * the same manifest edit that names those rows drops the old files.
 *
 * Invariants
 * 1. A row moves only if it still points at what was copied: every change since is in the
 *    memtable, where `moveOwners` looks.
 * 2. One rewrite copies at most `extentRewriteBytes`, so memory stays bounded.
 * 3. A file is replaced only when every live extent of it was read and copied. One that cannot
 *    be read stays as it is, is named, and is not tried again: damage costs its own bytes, not
 *    the checkpoint.
 */
import { assert, cut, LIMITS, type Logger, type ShardId } from '@holdfast/core';
import {
  decodeExtentRef,
  EXTENT_REF_BYTES,
  encodeExtentRef,
  type ExtentFileInfo,
  type ExtentFileWriter,
  type ExtentRef,
} from '@holdfast/tables';
import type { DatabaseShard } from './database-shard.ts';
import type { MovedExtent } from './engine.ts';
import type { EngineRegistry } from './engine-registry.ts';
import type { ExtentStore, LiveExtentFile } from './extent-store.ts';
import type { ManifestKeeper } from './manifest-keeper.ts';
import { placeInShard } from './shard-placement.ts';
import { isSpaceError, isUnreadable } from './storage-errors.ts';

export interface Move {
  readonly shard: DatabaseShard;
  readonly owner: Buffer;
  readonly value: Buffer;
  readonly from: ExtentRef;
  readonly to: ExtentRef;
}

/** An extent that was read and has no new place yet. */
interface Copied {
  readonly shard: DatabaseShard;
  readonly owner: Buffer;
  readonly value: Buffer;
  readonly from: ExtentRef;
  readonly parts: readonly Buffer[];
}

export interface Rewrite {
  readonly info: ExtentFileInfo;
  readonly shard: ShardId;
  /** Files that hold nothing else alive. */
  readonly replaces: ReadonlySet<number>;
  readonly moves: readonly Move[];
  /** Bytes of the new file that rows point at; set by `moveOwners`. */
  liveBytes: number;
}

interface State {
  readonly shards: readonly DatabaseShard[];
  readonly extents: ExtentStore;
  readonly manifest: ManifestKeeper;
  readonly registry: EngineRegistry;
}

/**
 * Copies what is worth copying now; `undefined` when nothing is.
 *
 * @param damaged files to leave alone; those found damaged now are added.
 */
export async function rewriteExtents(
  components: { readonly logger: Logger },
  state: State,
  damaged: Set<number>,
): Promise<Rewrite | undefined> {
  const sound = state.manifest.current.extentFiles.filter(
    ({ fileId }) => !damaged.has(fileId) && state.extents.file(fileId) !== undefined,
  );
  const candidates = chooseFiles(sound);
  if (candidates.length === 0) return undefined;
  const writer = state.extents.newWriter();
  const moves: Move[] = [];
  const replaces = new Set<number>();
  for (const { fileId } of candidates) {
    try {
      for (const { parts, ...copied } of await allLiveExtents(state, fileId)) {
        moves.push({ ...copied, to: writer.add(copied.owner, parts) });
      }
      replaces.add(fileId);
    } catch (error) {
      if (!isUnreadable(error)) {
        state.extents.abandon(writer.fileId);
        throw error;
      }
      damaged.add(fileId);
      components.logger.warn('database.extentsNotRewritten', { fileId, code: error.code }); // I3
      state.extents.suspect(error);
    }
  }
  if (replaces.size === 0) {
    state.extents.abandon(writer.fileId);
    return undefined;
  }
  const shard = (candidates[0]?.shard ?? 0) as ShardId;
  let rewrite: Rewrite;
  try {
    rewrite = await writeRewrite(state.extents, writer, { shard, replaces, moves });
    await cut('database.extentsRewritten');
  } catch (error) {
    state.extents.abandon(writer.fileId);
    if (isSpaceError(error)) return undefined;
    throw error;
  }
  components.logger.debug('database.extentsRewritten', {
    files: replaces.size,
    bytes: writer.payloadBytes,
  });
  return rewrite;
}

/**
 * Copies the live extents of one file, as many as a rewrite may hold, whatever the file is like;
 * `undefined` when it cannot be read, is gone meanwhile, or there is no room. What was copied leaves it
 * with the cut; with the last of them the file goes.
 */
export async function moveExtents(
  { logger, ...state }: State & { readonly logger: Logger },
  fileId: number,
): Promise<Rewrite | undefined> {
  const { extents, manifest } = state;
  if (extents.file(fileId) === undefined) return undefined; // by the checkpoint before this one
  const writer = extents.newWriter();
  const moves: Move[] = [];
  let isWhole = true;
  try {
    for await (const { parts, ...copied } of liveExtents(state, fileId)) {
      const { length } = copied.from;
      if (moves.length > 0 && writer.payloadBytes + length > LIMITS.extentRewriteBytes) {
        isWhole = false;
        break;
      }
      moves.push({ ...copied, to: writer.add(copied.owner, parts) });
    }
    const replaces = new Set(isWhole ? [fileId] : []);
    const from = manifest.current.extentFiles.find((file) => file.fileId === fileId);
    const shard = (from?.shard ?? 0) as ShardId;
    const rewrite = await writeRewrite(extents, writer, { shard, replaces, moves });
    await cut('database.extentsRewritten');
    return rewrite;
  } catch (error) {
    extents.abandon(writer.fileId);
    if (isSpaceError(error)) return undefined;
    if (!isUnreadable(error)) throw error;
    logger.warn('database.extentsNotRewritten', { fileId, code: error.code });
    extents.suspect(error);
    return undefined;
  }
}

/** The new file is on disk; nothing points at it before `moveOwners`. */
export async function writeRewrite(
  extents: ExtentStore,
  writer: ExtentFileWriter,
  what: Pick<Rewrite, 'shard' | 'replaces' | 'moves'>,
): Promise<Rewrite> {
  return { info: await extents.writeFile(writer), ...what, liveBytes: 0 };
}

/** Within the collecting turn, after the engines collected. */
export function moveOwners(rewrite: Rewrite, state: State): void {
  const moved = new Map<DatabaseShard, MovedExtent[]>();
  for (const { shard, owner, value, from, to } of rewrite.moves) {
    const recent = shard.recentRow(owner);
    const current = recent === undefined ? value : recent.value;
    if (current === undefined || !pointsAt(current, from)) continue; // I1
    shard.put(owner, Buffer.concat([encodeExtentRef(to), current.subarray(EXTENT_REF_BYTES)]));
    rewrite.liveBytes += to.length;
    if (!rewrite.replaces.has(from.fileId)) state.extents.free(from);
    const moves = moved.get(shard);
    if (moves === undefined) moved.set(shard, [{ owner, to }]);
    else moves.push({ owner, to });
  }
  for (const [shard, moves] of moved) {
    for (const engine of state.registry.engines) engine.extentsMoved(shard, moves);
  }
}

/** I3: all of them, or it rejects. */
async function allLiveExtents(state: State, fileId: number): Promise<Copied[]> {
  const live: Copied[] = [];
  for await (const extent of liveExtents(state, fileId)) live.push(extent);
  return live;
}

/** The extents of a file that rows point at, with their bytes. */
async function* liveExtents(state: State, fileId: number): AsyncGenerator<Copied> {
  const file = state.extents.file(fileId);
  assert(file !== undefined, `manifest names a file that is not open fileId=${fileId}`);
  for await (const { owner, ref } of file.directory()) {
    const shard = shardOfOwner(state, owner);
    const value = await shard?.get(owner);
    if (shard === undefined || value === undefined || !pointsAt(value, ref)) continue;
    const parts = await state.extents.read(ref, 0, ref.length);
    yield { shard, owner, value, from: ref, parts };
  }
}

/** Sparse files first; then, when there are too many, the smallest. */
function chooseFiles(files: readonly LiveExtentFile[]): LiveExtentFile[] {
  const sparse = files.filter(
    (file) => file.liveBytes < file.payloadBytes * LIMITS.extentRewriteFraction,
  );
  const bySize = [...files].sort((a, b) => a.liveBytes - b.liveBytes);
  const surplus = files.length - LIMITS.maxExtentFiles;
  const wanted = surplus > 0 ? [...sparse, ...bySize.slice(0, surplus + 8)] : sparse;
  const chosen: LiveExtentFile[] = [];
  let bytes = 0;
  for (const file of new Set(wanted)) {
    if (chosen.length > 0 && bytes + file.liveBytes > LIMITS.extentRewriteBytes) continue;
    if (file.liveBytes > LIMITS.extentRewriteBytes) continue;
    chosen.push(file);
    bytes += file.liveBytes;
  }
  const worthIt = chosen.length > 1 || sparse.includes(chosen[0] as LiveExtentFile);
  return worthIt ? chosen : [];
}

function shardOfOwner(state: State, owner: Buffer): DatabaseShard | undefined {
  for (const engine of state.registry.engines) {
    const identity = engine.identityOf(owner);
    if (identity !== undefined) return state.shards[placeInShard(identity, state.shards.length)];
  }
  return undefined;
}

function pointsAt(value: Buffer, ref: ExtentRef): boolean {
  if (value.length < EXTENT_REF_BYTES) return false;
  const current = decodeExtentRef(value);
  return (
    current.fileId === ref.fileId &&
    current.position === ref.position &&
    current.length === ref.length
  );
}

/**
 * Brings the live extents of a damaged file to safety: what cannot be read is asked of the
 * engines, who have it from memory or from the log, and goes to a new file with the next cut.
 *
 * Invariants
 * 1. The owners come from the rows, not from the directory of the file: that may be damaged too.
 * 2. An extent moves whole or not at all. One with a lost byte stays where it is, with its row:
 *    reads of what is whole of it go on, and nothing is made up.
 * 3. The file is replaced only when every live extent of it is in the new one.
 * 4. One salvage holds at most `extentRewriteBytes` in memory, or one larger extent; of a larger
 *    file only the damaged extents move.
 */
import { BLOCK_HEADER_BYTES, isHoldfastError, LIMITS, type ShardId } from '@holdfast/core';
import type { ExtentRef } from '@holdfast/tables';
import type { DatabaseShard } from './database-shard.ts';
import type { ByteHole, Operation } from './engine.ts';
import type { EngineRegistry } from './engine-registry.ts';
import { type Move, type Rewrite, writeRewrite } from './extent-rewrite.ts';
import type { ExtentStore, ReadExtent } from './extent-store.ts';
import type { ManifestKeeper } from './manifest-keeper.ts';

interface State {
  readonly shards: readonly DatabaseShard[];
  readonly extents: ExtentStore;
  readonly manifest: ManifestKeeper;
  readonly registry: EngineRegistry;
}

interface OwnedExtent {
  readonly shard: DatabaseShard;
  readonly owner: Buffer;
  readonly value: Buffer;
  readonly ref: ExtentRef;
}

/** An extent of the file that could not be read everywhere. */
export interface DamagedExtent {
  /** As the engine names it. */
  readonly owner: string | undefined;
  readonly shard: ShardId;
  /** Of the first damaged block in the file. */
  readonly position: number;
  readonly restored: boolean;
}

export interface Salvage {
  /** To be made part of the next cut; `undefined` when nothing moves. */
  readonly rewrite: Rewrite | undefined;
  readonly damaged: readonly DamagedExtent[];
  /** With the rewrite nothing of the file is needed any more. */
  readonly complete: boolean;
}

/** @param history every record left in the log up to the last cut, in order. */
export async function salvageExtents(
  state: State,
  fileId: number,
  history: () => AsyncIterable<Operation>,
): Promise<Salvage> {
  const info = state.manifest.current.extentFiles.find((file) => file.fileId === fileId);
  if (info === undefined) return { rewrite: undefined, damaged: [], complete: true };
  const everything = info.liveBytes <= LIMITS.extentRewriteBytes; // I4
  const writer = state.extents.newWriter();
  const moves: Move[] = [];
  const damaged: DamagedExtent[] = [];
  let complete = everything;
  try {
    for await (const extent of extentsOf(state, fileId)) {
      const full = writer.extents > 0 && writer.payloadBytes >= LIMITS.extentRewriteBytes;
      if (full) {
        complete = false;
        break;
      }
      const read = await state.extents.readPartly(extent.ref);
      if (read.holes.length === 0 && !everything) continue;
      const bytes = await wholeBytes(state, extent, read, history);
      if (read.holes.length > 0) damaged.push(describe(state, extent, read, bytes !== undefined));
      if (bytes === undefined) {
        complete = false;
        continue;
      }
      const { shard, owner, value, ref } = extent;
      moves.push({ shard, owner, value, from: ref, to: writer.add(owner, bytes) });
    }
    if (moves.length === 0) {
      state.extents.abandon(writer.fileId);
      return { rewrite: undefined, damaged, complete };
    }
    const rewrite = await writeRewrite(state.extents, writer, {
      shard: info.shard as ShardId,
      replaces: new Set(complete ? [fileId] : []), // I3
      moves,
    });
    return { rewrite, damaged, complete };
  } catch (error) {
    state.extents.abandon(writer.fileId);
    throw error;
  }
}

/** I1. */
async function* extentsOf(state: State, fileId: number): AsyncGenerator<OwnedExtent> {
  for (const shard of state.shards) {
    for await (const { key, value } of shard.scan({})) {
      for (const engine of state.registry.engines) {
        const ref = engine.extentOf?.(key, value);
        if (ref?.fileId !== fileId) continue;
        yield { shard, owner: Buffer.from(key), value: Buffer.from(value), ref };
      }
    }
  }
}

/** All bytes of the extent; `undefined` when some are lost. I2. */
async function wholeBytes(
  state: State,
  { shard, owner, value, ref }: OwnedExtent,
  { parts, holes }: ReadExtent,
  history: () => AsyncIterable<Operation>,
): Promise<Buffer[] | undefined> {
  if (holes.length === 0) return parts as Buffer[];
  for (const engine of state.registry.engines) {
    if (engine.extentOf?.(owner, value) === undefined) continue;
    const restored = await engine
      .restoreExtent?.(shard, { key: owner, value, holes }, history)
      .catch((error: unknown) => {
        if (isHoldfastError(error) && error.kind === 'corrupt') return undefined; // the log's
        throw error;
      });
    if (restored === undefined) return undefined;
    const whole = parts.map((part) =>
      Buffer.isBuffer(part) ? part : (restored[holes.indexOf(part)] ?? Buffer.alloc(0)),
    );
    const bytes = whole.reduce((sum, part) => sum + part.length, 0);
    return bytes === ref.length ? whole : undefined;
  }
  return undefined;
}

function describe(
  state: State,
  { shard, owner, ref }: OwnedExtent,
  { holes }: ReadExtent,
  restored: boolean,
): DamagedExtent {
  let identity: string | undefined;
  for (const engine of state.registry.engines) identity ??= engine.identityOf(owner);
  const [first] = holes as readonly [ByteHole];
  return {
    owner: identity,
    shard: shard.id,
    position: blockAt(ref.position + first.from),
    restored,
  };
}

/** Where the block that holds a byte of the payload space begins in the file. */
function blockAt(position: number): number {
  const block = LIMITS.extentBlockBytes;
  return Math.floor(position / block) * (BLOCK_HEADER_BYTES + block);
}

/**
 * Brings the live extents of a damaged file to safety: what cannot be read is asked of the
 * engines, who have it from memory or from the log, and goes to a new file with the next cut.
 *
 * Invariants
 * 1. The owners come from the rows, not from the directory of the file: that may be damaged too.
 * 2. An extent moves whole or not at all. One with a lost byte stays where it is, with its row:
 *    reads of what is whole of it go on, and nothing is made up.
 * 3. The file is replaced only when every live extent of it is in the new one.
 * 4. What is copied, and what is asked of the engines at a time, is at most `extentRewriteBytes`
 *    or one larger extent; of a larger file only the damaged extents move. The log is read once
 *    for each time the engines are asked.
 */
import { BLOCK_HEADER_BYTES, LIMITS, type ShardId } from '@holdfast/core';
import type { ExtentFileWriter, ExtentRef } from '@holdfast/tables';
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
  const salvaging = new Salvaging(state, history, info.liveBytes <= LIMITS.extentRewriteBytes);
  try {
    for await (const extent of extentsOf(state, fileId)) {
      if (!(await salvaging.take(extent))) break;
    }
    const { moves, damaged, complete } = await salvaging.finish();
    const replaces = new Set(complete ? [fileId] : []); // I3
    const shard = info.shard as ShardId;
    const rewrite =
      moves.length === 0
        ? undefined
        : await writeRewrite(state.extents, salvaging.writer, { shard, replaces, moves });
    if (rewrite === undefined) state.extents.abandon(salvaging.writer.fileId);
    return { rewrite, damaged, complete };
  } catch (error) {
    state.extents.abandon(salvaging.writer.fileId);
    throw error;
  }
}

interface PartlyRead extends OwnedExtent {
  readonly read: ReadExtent;
}

/** One salvage on its way. */
class Salvaging {
  readonly writer: ExtentFileWriter;
  readonly #state: State;
  readonly #history: () => AsyncIterable<Operation>;
  /** Whole extents move too. I4. */
  readonly #everything: boolean;
  readonly #moves: Move[] = [];
  readonly #damaged: DamagedExtent[] = [];
  #complete: boolean;
  /** Extents with holes that the engines have not been asked for. */
  #waiting: PartlyRead[] = [];
  #waitingBytes = 0;

  constructor(state: State, history: () => AsyncIterable<Operation>, everything: boolean) {
    this.#state = state;
    this.#history = history;
    this.#everything = everything;
    this.#complete = everything;
    this.writer = state.extents.newWriter();
  }

  /** False when nothing more fits: the rest is for the next salvage. */
  async take(extent: OwnedExtent): Promise<boolean> {
    if (this.writer.payloadBytes >= LIMITS.extentRewriteBytes) {
      this.#complete = false;
      return false;
    }
    const read = await this.#state.extents.readPartly(extent.ref);
    if (read.holes.length > 0) {
      this.#waiting.push({ ...extent, read });
      this.#waitingBytes += extent.ref.length;
      if (this.#waitingBytes >= LIMITS.extentRewriteBytes) await this.#ask();
    } else if (this.#everything) {
      this.#move(extent, read.parts as Buffer[]);
    }
    return true;
  }

  async finish(): Promise<{ moves: Move[]; damaged: DamagedExtent[]; complete: boolean }> {
    await this.#ask();
    return { moves: this.#moves, damaged: this.#damaged, complete: this.#complete };
  }

  async #ask(): Promise<void> {
    const { engines } = this.#state.registry;
    for (const engine of engines) {
      const asked = this.#waiting.filter(
        ({ owner, value }) => engine.extentOf?.(owner, value) !== undefined,
      );
      if (asked.length === 0) continue;
      const rows = asked.map(({ owner, value, read }) => ({
        key: owner,
        value,
        holes: read.holes,
      }));
      const restored = await engine.restoreExtents?.(rows, this.#history);
      for (const [index, extent] of asked.entries()) this.#heard(extent, restored?.[index]);
    }
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  /** I2. */
  #heard(extent: PartlyRead, filling: readonly Buffer[] | undefined): void {
    const { parts, holes } = extent.read;
    const filled = parts.map((part) =>
      Buffer.isBuffer(part) ? part : filling?.[holes.indexOf(part)],
    );
    const whole = filled.every((part) => part !== undefined) ? filled : undefined;
    const bytes = whole?.reduce((sum, part) => sum + part.length, 0);
    const restored = whole !== undefined && bytes === extent.ref.length;
    this.#damaged.push(describe(this.#state, extent, extent.read, restored));
    if (restored) this.#move(extent, whole);
    else this.#complete = false;
  }

  #move({ shard, owner, value, ref }: OwnedExtent, bytes: readonly Buffer[]): void {
    this.#moves.push({ shard, owner, value, from: ref, to: this.writer.add(owner, bytes) });
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

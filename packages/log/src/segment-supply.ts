/**
 * Sees to it that there is always a segment with synced zeros ahead of the tail.
 *
 * Invariants
 * 1. One allocation (an extension or a new file) is under way at a time.
 * 2. A segment is sealed only once the header of the next one is durable; that header names
 *    the last frame of the sealed one, which proves it was acknowledged.
 * 3. Segment ids only rise; an id that was tried is never used again.
 *
 * Owned by the committer: `makeRoom` and `roll` are called while no frame is under way.
 */
import {
  type BlockCodec,
  type Clock,
  type FileSystem,
  type HoldfastError,
  type Logger,
  type Lsn,
  type Random,
  type SegmentId,
  cut,
} from '@holdfast/core';
import { DiskSpace } from './disk-space.ts';
import type { LiveSegments } from './live-segments.ts';
import { SEGMENT_HEADER_BYTES } from './segment-header.ts';
import { CLOSING_FRAME_BYTES, SegmentWriter } from './segment-writer.ts';

const SALT_BYTES = 16;

export interface SegmentSupplyParts {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly codec: BlockCodec;
  readonly segments: LiveSegments;
  readonly directory: string;
  readonly segmentTargetBytes: number;
  readonly preallocateBytes: number;
  readonly firstStepBytes: number;
  readonly diskReserveBytes: number;
  /** A failure that is not a lack of space, in the background. */
  readonly onFailure: (error: unknown) => void;
}

/** Where the next segment goes on. */
export interface ChainTail {
  readonly segmentId: SegmentId;
  readonly tag: Buffer;
}

export class SegmentSupply {
  readonly #parts: SegmentSupplyParts;
  readonly #disk: DiskSpace;
  #active: SegmentWriter | undefined;
  #prepared: SegmentWriter | undefined;
  #allocating: Promise<void> | undefined;
  #nextId: number;
  /** End of the last segment that holds frames, besides the active one. */
  #tail: ChainTail;

  constructor(parts: SegmentSupplyParts, nextId: number, tail: ChainTail) {
    this.#parts = parts;
    this.#nextId = nextId;
    this.#tail = tail;
    this.#disk = new DiskSpace({
      fileSystem: parts.fileSystem,
      clock: parts.clock,
      logger: parts.logger,
      directory: parts.directory,
      reserveBytes: parts.diskReserveBytes,
      retry: () => this.#exclusively(() => this.#topUp(false)),
    });
  }

  get isFull(): boolean {
    return this.#disk.isFull;
  }

  diskFull(): HoldfastError {
    return this.#disk.refusal();
  }

  get active(): SegmentWriter | undefined {
    return this.#active;
  }

  /** Whether there is a segment whose frames are under the key that is active now. */
  get isUnderActiveKey(): boolean {
    return this.#active?.codec.keyId === this.#parts.codec.keyId;
  }

  /** The writer for a frame of `bytes`, if nothing has to be done first. */
  ready(bytes: number): SegmentWriter | undefined {
    const active = this.#active;
    if (active === undefined || !active.fits(bytes) || this.#mustRoll(active)) return undefined;
    return active;
  }

  /**
   * Resolves with a writer in which a frame of `bytes`, starting at `nextLsn`, fits. Rejects
   * with `DISK_FULL`; any other rejection is terminal.
   */
  async makeRoom(
    bytes: number,
    nextLsn: Lsn,
    nowMs: number,
    useReserve: boolean,
  ): Promise<SegmentWriter> {
    for (;;) {
      const active = this.#active;
      if (active !== undefined && !this.#mustRoll(active) && active.fits(bytes)) return active;
      if (this.#allocating !== undefined) {
        // Its owner hears of a failure; here the state afterwards decides.
        await this.#allocating.catch(() => undefined);
      } else if (active === undefined || this.#wantsRoll(active, bytes)) {
        await this.roll(nextLsn, nowMs, useReserve);
      } else if (active.tail + bytes + CLOSING_FRAME_BYTES <= active.writtenTo) {
        await active.datasync();
      } else {
        const end = active.tail + bytes + CLOSING_FRAME_BYTES;
        await this.#exclusively(() => this.#extend(active, end, useReserve));
      }
    }
  }

  /** Begins a new segment; the active one is sealed. */
  async roll(nextLsn: Lsn, nowMs: number, useReserve: boolean): Promise<void> {
    while (this.#prepared === undefined) {
      if (this.#allocating !== undefined) await this.#allocating.catch(() => undefined);
      else await this.#exclusively(() => this.#prepare(useReserve));
    }
    const sealed = this.#active;
    const next = this.#prepared;
    if (sealed?.hasFrames === true) this.#tail = { segmentId: sealed.id, tag: sealed.lastTag };
    await next.begin(this.#parts.codec, {
      firstLsn: nextLsn,
      previousId: this.#tail.segmentId,
      previousTag: this.#tail.tag,
      createdAtMs: nowMs,
      salt: this.#parts.random.bytes(SALT_BYTES),
    });
    await cut('log.rollCreated');
    this.#prepared = undefined;
    this.#active = next;
    this.#parts.segments.begin(next, nextLsn);
    // A look at a full disk may have begun to extend it: that has to end before its file is closed.
    while (this.#allocating !== undefined) await this.#allocating.catch(() => undefined);
    await sealed?.close();
  }

  /** Called after each batch: prepares in the background what will be needed soon. */
  lookAhead(): void {
    const active = this.#active;
    if (active === undefined || this.#allocating !== undefined || this.#disk.isFull) return;
    const step = Math.min(this.#parts.preallocateBytes, active.writtenTo);
    if (active.writtenTo - active.tail >= step / 2) return;
    if (!this.#mayExtend(active) && this.#prepared !== undefined) return;
    this.#exclusively(() => this.#topUp(false)).catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#disk.stop();
    await this.#allocating?.catch(() => undefined);
    await this.#active?.close();
    await this.#prepared?.close();
  }

  #mustRoll(active: SegmentWriter): boolean {
    if (active.tail < this.#parts.segmentTargetBytes) return false;
    // On a full disk the zeros left in this segment are better than a new one.
    return this.#prepared !== undefined || !this.#disk.isFull;
  }

  /** A frame that does not fit goes to the next segment rather than grow this one past its size. */
  #wantsRoll(active: SegmentWriter, bytes: number): boolean {
    if (this.#mustRoll(active)) return true;
    return active.hasFrames && active.tail + bytes > this.#parts.segmentTargetBytes;
  }

  #mayExtend(active: SegmentWriter): boolean {
    return active.writtenTo < this.#parts.segmentTargetBytes;
  }

  async #topUp(useReserve: boolean): Promise<void> {
    const active = this.#active;
    if (active !== undefined && this.#mayExtend(active)) {
      await this.#extend(active, active.writtenTo, useReserve);
    } else if (this.#prepared === undefined) {
      await this.#prepare(useReserve);
    }
  }

  /** Small files grow by doubling, large ones by whole steps; at least to `end`. */
  async #extend(active: SegmentWriter, end: number, useReserve: boolean): Promise<void> {
    // A full disk gives only what is asked for: the reserve has to last.
    const step = this.#disk.isFull ? 0 : Math.min(this.#parts.preallocateBytes, active.writtenTo);
    const target = Math.max(end, active.writtenTo + step);
    const bytes = target - active.writtenTo;
    await this.#disk.allocate(bytes, useReserve, () => active.writeZeros(target));
  }

  async #prepare(useReserve: boolean): Promise<void> {
    const { fileSystem, directory, preallocateBytes, firstStepBytes } = this.#parts;
    const small = this.#active === undefined || this.#disk.isFull;
    const bytes = small ? firstStepBytes : preallocateBytes;
    await this.#disk.allocate(SEGMENT_HEADER_BYTES + bytes, useReserve, async () => {
      const id = this.#nextId++ as SegmentId;
      this.#prepared = await SegmentWriter.prepare(fileSystem, directory, id, bytes);
    });
  }

  /** I1. Failures other than a lack of space reach the committer in any case. */
  async #exclusively(work: () => Promise<void>): Promise<void> {
    while (this.#allocating !== undefined) await this.#allocating.catch(() => undefined);
    const allocation = work();
    this.#allocating = allocation;
    try {
      await allocation;
    } catch (error) {
      if (!this.#disk.isRefusal(error)) this.#parts.onFailure(error);
      throw error;
    } finally {
      this.#allocating = undefined;
    }
  }
}

/**
 * Whether there is room on the disk: the full state, the reserve, and the way back.
 *
 * Invariants
 * 1. While `isFull`, only work that was told to use the reserve takes space.
 * 2. The state is left only after an allocation succeeded with the reserve untouched.
 *
 * Owned by the segment supply.
 */
import {
  type Clock,
  type FileSystem,
  HoldfastError,
  LIMITS,
  type Logger,
  type Timer,
  hasCode,
  systemErrorCode,
} from '@holdfast/core';

export interface DiskSpaceParts {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly directory: string;
  readonly reserveBytes: number;
  /** Tries to take the space that was refused, by `allocate`. */
  readonly retry: () => Promise<void>;
}

export class DiskSpace {
  readonly #parts: DiskSpaceParts;
  #full = false;
  #stopped = false;
  #timer: Timer | undefined;

  constructor(parts: DiskSpaceParts) {
    this.#parts = parts;
  }

  get isFull(): boolean {
    return this.#full;
  }

  /**
   * Runs `work`, which takes `bytes` of the disk. Rejects with `DISK_FULL` when that would
   * touch the reserve (unless `useReserve`) or the disk has no more.
   */
  async allocate(bytes: number, useReserve: boolean, work: () => Promise<void>): Promise<void> {
    if (!useReserve && (await this.#freeBytes()) - bytes < this.#parts.reserveBytes) {
      throw this.#becomeFull();
    }
    try {
      await work();
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      throw this.#becomeFull(error);
    }
  }

  refusal(cause?: unknown): HoldfastError {
    return new HoldfastError(
      'DISK_FULL',
      `disk is full, free space or delete data path=${this.#parts.directory}`,
      cause === undefined ? {} : { cause },
    );
  }

  /** Whether `error` only says that there is no room. */
  isRefusal(error: unknown): boolean {
    return hasCode(error, 'DISK_FULL');
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #becomeFull(cause?: unknown): HoldfastError {
    if (!this.#full) {
      this.#full = true;
      this.#parts.logger.warn('log.disk_full', { path: this.#parts.directory });
    }
    this.#schedule();
    return this.refusal(cause);
  }

  #schedule(): void {
    if (this.#stopped || this.#timer !== undefined) return;
    this.#timer = this.#parts.clock.after(LIMITS.diskFullProbeMs, () => {
      this.#timer = undefined;
      void this.#probe();
    });
  }

  async #probe(): Promise<void> {
    try {
      await this.#parts.retry();
    } catch (error) {
      // Anything else has poisoned the log by now.
      if (this.isRefusal(error)) this.#schedule();
      return;
    }
    if (this.#stopped) return;
    this.#full = false;
    this.#parts.logger.info('log.disk_has_room', { path: this.#parts.directory });
  }

  async #freeBytes(): Promise<number> {
    try {
      return await this.#parts.fileSystem.freeBytes(this.#parts.directory);
    } catch {
      // Unknown is not full: the write itself will tell.
      return Infinity;
    }
  }
}

function isNoSpace(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}

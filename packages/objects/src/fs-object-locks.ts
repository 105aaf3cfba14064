/**
 * One change at a time for each key, in this process and beside it: deciding about a condition
 * and renaming a file are two steps, and a lock makes them one.
 *
 * Keys share sixteen locks, each an empty folder that is locked for the time of one change. A
 * process that is killed lets go of them by that.
 *
 * Invariants
 * 1. Changes of this store under one lock run one after the other, in the order they came.
 * 2. While a change runs, this store holds the lock of its folder.
 */
import {
  type Clock,
  crc32c,
  type DirectoryLock,
  type FileSystem,
  hasCode,
  LIMITS,
  type Random,
  sleep,
} from '@holdfast/core';
import { fileError } from './fs-object-errors.ts';
import { throwIfEnded, unavailable } from './object-errors.ts';

const LOCKS = 16;

export interface FsObjectLocksComponents {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
}

export class FsObjectLocks {
  readonly #fileSystem: FileSystem;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #folder: string;
  readonly #last = new Map<string, Promise<unknown>>();

  private constructor(components: FsObjectLocksComponents, folder: string) {
    this.#fileSystem = components.fileSystem;
    this.#clock = components.clock;
    this.#random = components.random;
    this.#folder = folder;
  }

  static async open(components: FsObjectLocksComponents, folder: string): Promise<FsObjectLocks> {
    const locks = new FsObjectLocks(components, folder);
    for (let at = 0; at < LOCKS; at++) {
      await components.fileSystem.makeDirectory(locks.#path(at));
    }
    return locks;
  }

  /** Runs `change` alone among the changes of `key`. */
  async within<Result>(
    key: string,
    signal: AbortSignal,
    change: () => Promise<Result>,
  ): Promise<Result> {
    const path = this.#path(crc32c(Buffer.from(key)) % LOCKS);
    const before = this.#last.get(path);
    const own = (async () => {
      await before?.catch(() => undefined); // I1; its failure is its caller's
      throwIfEnded(signal);
      const lock = await this.#claim(path, signal);
      try {
        return await change(); // I2
      } finally {
        await lock.release();
      }
    })();
    this.#last.set(path, own);
    try {
      return await own;
    } finally {
      if (this.#last.get(path) === own) this.#last.delete(path);
    }
  }

  async #claim(path: string, signal: AbortSignal): Promise<DirectoryLock> {
    const until = this.#clock.monotonicMs() + LIMITS.objectLockWaitMs;
    for (;;) {
      try {
        return await this.#fileSystem.lockDirectory(path);
      } catch (error) {
        if (!hasCode(error, 'DIRECTORY_LOCKED')) {
          throw fileError(error, 'locking', path, 'none');
        }
        if (this.#clock.monotonicMs() >= until) {
          throw unavailable(`another process holds the lock of the objects path=${path}`, {
            cause: error,
          });
        }
      }
      const pauseMs = 1 + this.#random.integer(LIMITS.objectLockLookMs);
      await sleep(this.#clock, pauseMs, signal).catch(() => undefined);
      throwIfEnded(signal);
    }
  }

  #path(lock: number): string {
    return `${this.#folder}/${lock.toString(16)}`;
  }
}

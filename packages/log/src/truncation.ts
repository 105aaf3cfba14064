/**
 * Deletes segments nobody needs any more.
 *
 * Invariants
 * 1. A segment goes only when every floor has passed its last record.
 * 2. Oldest first, each unlink synced before the next: a crash leaves a suffix of the log.
 * 3. The newest segment stays, active or not: it alone says where the LSNs go on. (A log that
 *    opened on a full disk has no active one yet.)
 */
import { type FileSystem, type Lsn, cut } from '@holdfast/core';
import type { Floors } from './floors.ts';
import type { LiveSegment, LiveSegments } from './live-segments.ts';

export interface Truncated {
  readonly segmentsDeleted: number;
  readonly bytesReclaimed: number;
}

export class Truncation {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #segments: LiveSegments;
  readonly #floors: Floors;
  /** Left out of the log, but its deletion failed: has to go before any younger one. I2. */
  #doomed: LiveSegment | undefined;
  /** Truncations one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(fileSystem: FileSystem, directory: string, segments: LiveSegments, floors: Floors) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#segments = segments;
    this.#floors = floors;
  }

  truncateBefore(lsn: Lsn | undefined): Promise<Truncated> {
    const run = this.#last.then(() => this.#truncate(lsn));
    this.#last = run.catch(() => undefined);
    return run;
  }

  /** Resolves once no truncation is under way. */
  async settled(): Promise<void> {
    await this.#last;
  }

  async #truncate(lsn: Lsn | undefined): Promise<Truncated> {
    let segmentsDeleted = 0;
    let bytesReclaimed = 0;
    for (;;) {
      const oldest = this.#segments.sealed[0];
      if (this.#doomed === undefined) {
        if (oldest === undefined || !this.#mayGo(oldest, lsn)) break;
        // Whoever asks from here on must not count on it any more.
        this.#segments.dropOldest();
        this.#doomed = oldest;
      }
      bytesReclaimed += await this.#delete(this.#doomed);
      segmentsDeleted++;
      this.#doomed = undefined;
    }
    return { segmentsDeleted, bytesReclaimed };
  }

  /** Returns the bytes the file had; 0 when an earlier attempt got as far as the unlink. */
  async #delete(segment: LiveSegment): Promise<number> {
    const stat = await this.#fileSystem.stat(segment.path);
    if (stat !== undefined) {
      await this.#fileSystem.unlink(segment.path);
      await cut('log.truncateUnlinked');
    }
    await this.#fileSystem.syncDirectory(this.#directory);
    return stat?.size ?? 0;
  }

  /** Asked anew for each segment: a floor may have appeared meanwhile. */
  #mayGo(segment: LiveSegment, lsn: Lsn | undefined): boolean {
    if (this.#segments.all().at(-1) === segment) return false; // I3
    const lowest = this.#floors.lowest();
    if (lowest === undefined && lsn === undefined) return false;
    if (lowest !== undefined && segment.lastLsn > lowest) return false;
    return lsn === undefined || segment.lastLsn < lsn;
  }
}

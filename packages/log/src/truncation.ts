/**
 * Deletes segments nobody needs any more.
 *
 * Invariants
 * 1. A segment goes only when every floor has passed its last record.
 * 2. Oldest first, each unlink synced before the next: a crash leaves a suffix of the log.
 * 3. Nothing goes before a segment of this life is durable (a log that opened on a full disk
 *    has none yet): the newest segment alone says where the LSNs go on.
 * 4. Leftovers of earlier lives go before any segment: a header that links to what is gone
 *    may only be the oldest.
 */
import { type FileSystem, type Lsn, cut, Turns } from '@holdfast/core';
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
  /** Files without a record of the log. I4. */
  readonly #leftovers: string[];
  /** Left out of the log, but its deletion failed: has to go before any younger one. I2. */
  #doomed: LiveSegment | undefined;
  /** Truncations one after the other. */
  readonly #turns: Turns = new Turns();

  constructor(
    fileSystem: FileSystem,
    directory: string,
    segments: LiveSegments,
    floors: Floors,
    leftovers: readonly string[],
  ) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#segments = segments;
    this.#floors = floors;
    this.#leftovers = [...leftovers];
  }

  /** Once a segment of this life is durable; `truncateBefore` does it otherwise. */
  async removeLeftovers(): Promise<void> {
    for (;;) {
      const path = this.#leftovers[0];
      if (path === undefined) return;
      await this.#delete(path);
      this.#leftovers.shift();
    }
  }

  truncateBefore(lsn: Lsn | undefined): Promise<Truncated> {
    return this.#turns.run(() => this.#truncate(lsn));
  }

  /** Resolves once no truncation is under way. */
  async settled(): Promise<void> {
    await this.#turns.idle();
  }

  async #truncate(lsn: Lsn | undefined): Promise<Truncated> {
    let segmentsDeleted = 0;
    let bytesReclaimed = 0;
    if (this.#segments.active === undefined) return { segmentsDeleted, bytesReclaimed }; // I3
    await this.removeLeftovers();
    for (;;) {
      const oldest = this.#segments.sealed[0];
      if (this.#doomed === undefined) {
        if (oldest === undefined || !this.#mayGo(oldest, lsn)) break;
        // Whoever asks from here on must not count on it any more.
        this.#segments.dropOldest();
        this.#doomed = oldest;
      }
      bytesReclaimed += await this.#delete(this.#doomed.path);
      segmentsDeleted++;
      this.#doomed = undefined;
    }
    return { segmentsDeleted, bytesReclaimed };
  }

  /** Returns the bytes the file had; 0 when an earlier attempt got as far as the unlink. */
  async #delete(path: string): Promise<number> {
    const stat = await this.#fileSystem.stat(path);
    if (stat !== undefined) {
      await this.#fileSystem.unlink(path);
      await cut('log.truncateUnlinked');
    }
    await this.#fileSystem.syncDirectory(this.#directory);
    return stat?.size ?? 0;
  }

  /** Asked anew for each segment: a floor may have appeared meanwhile. */
  #mayGo(segment: LiveSegment, lsn: Lsn | undefined): boolean {
    const lowest = this.#floors.lowest();
    if (lowest === undefined && lsn === undefined) return false;
    if (lowest !== undefined && segment.lastLsn > lowest) return false;
    return lsn === undefined || segment.lastLsn < lsn;
  }
}

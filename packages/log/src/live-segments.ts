/**
 * The segments that hold the log, oldest first, as far as they are durable.
 *
 * Invariants
 * 1. LSNs go on from one segment to the next without a gap.
 * 2. Only the last one is active; `bytes` and `lastLsn` cover durable batches only.
 *
 * Owned by the log; replay, verify and truncation read it.
 */
import type { Lsn, SegmentId } from '@holdfast/core';
import type { SegmentInfo } from './log.ts';
import { SEGMENT_HEADER_BYTES } from './segment-header.ts';

export interface LiveSegment {
  readonly id: SegmentId;
  readonly path: string;
  readonly firstLsn: Lsn;
  lastLsn: Lsn;
  /** End of the last durable batch, padding included. */
  bytes: number;
  /** The key its frames are under; 0 when they are not encrypted. */
  readonly keyId: number;
}

export class LiveSegments {
  #sealed: LiveSegment[];
  #active: LiveSegment | undefined;
  #onSealed: ((segment: SegmentInfo) => void) | undefined;

  /** @param sealed oldest first */
  constructor(sealed: readonly LiveSegment[]) {
    this.#sealed = [...sealed];
  }

  get active(): LiveSegment | undefined {
    return this.#active;
  }

  get sealed(): readonly LiveSegment[] {
    return this.#sealed;
  }

  all(): LiveSegment[] {
    return this.#active === undefined ? [...this.#sealed] : [...this.#sealed, this.#active];
  }

  infos(): SegmentInfo[] {
    return this.all().map((segment) => this.#info(segment));
  }

  totalBytes(): number {
    return this.all().reduce((sum, segment) => sum + segment.bytes, 0);
  }

  onSealed(listener: (segment: SegmentInfo) => void): void {
    this.#onSealed = listener;
  }

  /** A new active segment; the one before is sealed from here on. */
  begin(file: { id: SegmentId; path: string; codec: { keyId: number } }, firstLsn: Lsn): void {
    const sealed = this.#active;
    this.#active = {
      id: file.id,
      path: file.path,
      firstLsn,
      lastLsn: (firstLsn - 1) as Lsn,
      bytes: SEGMENT_HEADER_BYTES,
      keyId: file.codec.keyId,
    };
    if (sealed === undefined) return;
    this.#sealed.push(sealed);
    // A new key may end a segment that nothing was written to.
    if (sealed.lastLsn >= sealed.firstLsn) this.#onSealed?.(this.#info(sealed));
  }

  /** A batch of the active segment is durable. */
  grow(frameBytes: number, lastLsn: number): void {
    const active = this.#active as LiveSegment;
    active.bytes += frameBytes;
    active.lastLsn = lastLsn as Lsn;
  }

  /** The oldest sealed segment is gone from the disk. */
  dropOldest(): void {
    this.#sealed.shift();
  }

  #info(segment: LiveSegment): SegmentInfo {
    const state = segment === this.#active ? 'active' : 'sealed';
    const { id, path, firstLsn, lastLsn, bytes, keyId } = segment;
    return { id, path, state, firstLsn, lastLsn, bytes, keyId };
  }
}

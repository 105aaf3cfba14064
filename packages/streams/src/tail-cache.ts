/**
 * Bounds the checkpointed bytes that tail buffers keep for readers: per stream and over all
 * streams, least recently used first out. Bytes since the last checkpoint are not its matter.
 *
 * Invariants
 * 1. It never drops what is not on disk (`stream.checkpointed`).
 * 2. `#bytes` is the sum of what it keeps, and at most `tailCacheBytes` after `checkpointed`.
 */
import type { Stream } from './stream.ts';

export interface TailCacheBounds {
  readonly tailCacheBytesPerStream: number;
  readonly tailCacheBytes: number;
}

export class TailCache {
  readonly #bounds: TailCacheBounds;
  /** What each stream keeps, memory bytes; the most recently used last. */
  readonly #kept = new Map<Stream, number>();
  #bytes = 0;

  constructor(bounds: TailCacheBounds) {
    this.#bounds = bounds;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** A reader was served from the buffer. */
  used(stream: Stream): void {
    const bytes = this.#kept.get(stream);
    if (bytes === undefined) return;
    this.#kept.delete(stream);
    this.#kept.set(stream, bytes);
  }

  /** What these streams had collected is on disk. */
  checkpointed(streams: readonly Stream[]): void {
    for (const stream of streams) {
      if (stream.applied.state === 'removed') continue;
      stream.checkpointed = stream.collected;
      stream.tail.dropBefore(stream.checkpointed.bytes, this.#bounds.tailCacheBytesPerStream);
      this.#keep(stream);
    }
    for (const stream of this.#kept.keys()) {
      if (this.#bytes <= this.#bounds.tailCacheBytes) break;
      stream.tail.dropBefore(stream.checkpointed.bytes, 0);
      this.#keep(stream);
    }
  }

  removed(stream: Stream): void {
    this.#bytes -= this.#kept.get(stream) ?? 0;
    this.#kept.delete(stream);
  }

  #keep(stream: Stream): void {
    this.removed(stream);
    const bytes = stream.tail.costBefore(stream.checkpointed.bytes);
    if (bytes === 0) return;
    this.#kept.set(stream, bytes);
    this.#bytes += bytes;
  }
}

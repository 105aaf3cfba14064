/**
 * The bytes and message boundaries of single streams, wherever they are: the tail buffer
 * first, extents behind it.
 */
import { assert, hasCode } from '@holdfast/core';
import type { Shard } from '@holdfast/database';
import { type ExtentCatalog, extentAt } from './extent-catalog.ts';
import type { MessageRun } from './message-run.ts';
import type { PieceBuffer } from './piece-buffers.ts';
import { notFound } from './planning.ts';
import type { StreamExtent } from './stream-rows.ts';
import type { Stream } from './stream.ts';

export class StoredMessages {
  readonly #catalog: ExtentCatalog;
  readonly #shardOf: (stream: Stream) => Shard;

  constructor(catalog: ExtentCatalog, shardOf: (stream: Stream) => Shard) {
    this.#catalog = catalog;
    this.#shardOf = shardOf;
  }

  /** The run that holds one of the stream's own messages, if its index is in memory. */
  run(stream: Stream, message: number): MessageRun | undefined {
    const tail = stream.tail.runOf(message);
    if (tail !== undefined) return tail;
    const extents = this.#catalog.cached(stream);
    if (extents === undefined) return undefined;
    const extent = extentAt(extents, 'firstMessage', message);
    return extent === undefined ? undefined : this.#catalog.cachedIndex(stream, extent);
  }

  /** The extent that holds a message that is not in the tail buffer. */
  async extent(stream: Stream, message: number): Promise<StreamExtent> {
    const extent = extentAt(await this.#catalog.load(stream), 'firstMessage', message);
    const found = extent !== undefined && message < extent.firstMessage + extent.messages;
    if (!found && stream.applied.state === 'removed') throw notFound();
    assert(found, `a message is neither in memory nor in an extent stream=${stream.id}`);
    return extent;
  }

  index(stream: Stream, extent: StreamExtent): Promise<MessageRun> {
    return this.#catalog.loadIndex(stream, extent);
  }

  inMemory(stream: Stream, from: number): boolean {
    return from >= stream.tail.first.bytes;
  }

  views(stream: Stream, from: number, to: number): Buffer[] {
    return stream.tail.views(from, to);
  }

  /**
   * At most a piece of `from` to `to`; at least one byte.
   *
   * @param into how much a piece is, and memory that the views may lie in.
   */
  async read(stream: Stream, from: number, to: number, into: PieceBuffer): Promise<Buffer[]> {
    const end = Math.min(to, from + into.pieceBytes);
    if (this.inMemory(stream, from)) return this.views(stream, from, end);
    for (;;) {
      if (stream.applied.state === 'removed') throw notFound();
      const extents = await this.#catalog.load(stream);
      const extent = extentAt(extents, 'firstByte', from);
      assert(
        extent !== undefined && from < extent.firstByte + extent.bytes,
        `bytes are neither in memory nor in an extent stream=${stream.id}`,
      );
      const length = Math.min(end, extent.firstByte + extent.bytes) - from;
      try {
        const offset = from - extent.firstByte;
        return await this.#shardOf(stream).readExtent(extent.ref, offset, length, into.bytes);
      } catch (error) {
        // Its file may have been rewritten since; then the list says so.
        const now = extentAt(await this.#catalog.load(stream), 'firstByte', from);
        if (!hasCode(error, 'FILE_MISSING') || now?.ref === extent.ref) throw error;
      }
    }
  }
}

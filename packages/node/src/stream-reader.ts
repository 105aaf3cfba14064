/**
 * Reads a stream from a position to its tail, and on from there when live: the embedded
 * counterpart of catch-up and SSE.
 *
 * Invariants
 * I1. The watcher is parked before the first read, so no change between a read that reached
 *     the tail and the wait for the next one is missed.
 * I2. All batches are of one stream: when another is made at the same path, reading ends with
 *     an error instead of going on in foreign data.
 * I3. However the iteration ends, the watcher is taken off.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import {
  formatPosition,
  type Position,
  type StreamSlice,
  type StreamStore,
  type StreamWatcher,
} from '@holdfast/streams';
import { decodeJson } from './embedded-messages.ts';
import type { HoldProcess } from './node-keep-alive.ts';

/** What one read gave. */
export interface StreamBatch<Message> {
  /** JSON streams: the parsed messages. Others: one `Uint8Array` of the bytes that came. */
  readonly messages: readonly Message[];
  /** Give it as `from` to go on behind this batch. */
  readonly nextOffset: string;
  /** There was nothing more at this moment. */
  readonly upToDate: boolean;
  /** There will never be more. */
  readonly closed: boolean;
}

export interface ReaderRequest {
  readonly path: string;
  readonly from: Position | 'start' | 'now';
  readonly live: boolean;
  /** Ends a live read that waits, or the next read. */
  readonly signal: AbortSignal;
  /** While a live read waits. */
  readonly hold: HoldProcess;
}

export async function* readBatches<Message>(
  store: StreamStore,
  request: ReaderRequest,
): AsyncGenerator<StreamBatch<Message>, void, undefined> {
  const { path, live, signal } = request;
  const parked = new ParkedReader(signal, request.hold);
  const leave = live ? store.watch(path, parked) : undefined; // I1
  try {
    let from = request.from;
    let id: number | undefined;
    for (;;) {
      parked.forget();
      signal.throwIfAborted();
      const slice = await store.read({ path, from, maxBytes: LIMITS.readPieceBytes });
      id ??= slice.info.id;
      if (slice.info.id !== id) throw replaced(); // I2
      const batch = await batchOf<Message>(slice);
      if (batch.messages.length > 0 || batch.closed || !live) yield batch;
      if (batch.closed || (!live && batch.upToDate)) return;
      from = slice.to;
      if (batch.upToDate && (await parked.wait()) === 'ended') {
        store.stat(path); // says why, when it still can
        throw replaced();
      }
    }
  } finally {
    leave?.(); // I3
    parked.leave();
  }
}

async function batchOf<Message>(slice: StreamSlice): Promise<StreamBatch<Message>> {
  const parts: Buffer[] = [];
  for await (const pieces of slice.pieces()) parts.push(...pieces.map((part) => Buffer.from(part)));
  const bytes = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  const messages = slice.info.json ? decodeJson(bytes) : bytes.length === 0 ? [] : [bytes];
  return {
    messages: messages as Message[],
    nextOffset: formatPosition(slice.to),
    upToDate: slice.upToDate,
    closed: slice.endOfStream,
  };
}

function replaced(): HoldfastError {
  return new HoldfastError('STREAM_GONE', 'the stream was deleted while it was read');
}

/** Remembers that something changed until somebody waits for it. */
class ParkedReader implements StreamWatcher {
  readonly #signal: AbortSignal;
  readonly #hold: HoldProcess;
  readonly #onAbort = (): void => this.#wake?.();
  #news: 'changed' | 'ended' | undefined;
  #wake: (() => void) | undefined;

  constructor(signal: AbortSignal, hold: HoldProcess) {
    this.#signal = signal;
    this.#hold = hold;
    signal.addEventListener('abort', this.#onAbort);
  }

  changed(): void {
    this.#news ??= 'changed';
    this.#wake?.();
  }

  ended(): void {
    this.#news = 'ended';
    this.#wake?.();
  }

  /** The next read will see what changed so far. An end stays. */
  forget(): void {
    if (this.#news === 'changed') this.#news = undefined;
  }

  async wait(): Promise<'changed' | 'ended'> {
    if (this.#news === undefined && !this.#signal.aborted) {
      const release = this.#hold();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      release();
      this.#wake = undefined;
    }
    this.#signal.throwIfAborted();
    return this.#news ?? 'changed';
  }

  leave(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
  }
}

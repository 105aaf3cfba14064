/**
 * All SSE connections of a node: what they share. Their frames (one encoding per change, however
 * many readers), one timer for heartbeats and rotation, and the drain.
 */
import type { Timer } from '@holdfast/core';
import type { StreamChange } from '../stream-store.ts';
import type { Exchange, ProtocolContext } from './exchange.ts';
import type { ReadQuery } from './read-query.ts';
import { encodeEvents, HEARTBEAT, type SseFrame } from './sse-frames.ts';
import { SseReader } from './sse-reader.ts';

/** Cursors other than the current one for which frames of a change are kept. */
const MAX_FRAMES_PER_CHANGE = 16;

interface FramesOfChange {
  readonly cursor: string;
  readonly frame: SseFrame;
  others: Map<string, SseFrame> | undefined;
}

export interface SseCounters {
  readonly readers: number;
  readonly framesEncoded: number;
  readonly deliveries: number;
  readonly dropped: number;
}

export class SseConnections {
  readonly context: ProtocolContext;
  readonly #readers = new Set<SseReader>();
  readonly #frames = new WeakMap<StreamChange, FramesOfChange>();
  #timer: Timer | undefined;
  #lastHeartbeatMs = 0;
  #framesEncoded = 0;
  deliveries = 0;
  dropped = 0;

  constructor(context: ProtocolContext) {
    this.context = context;
  }

  get counters(): SseCounters {
    return {
      readers: this.#readers.size,
      framesEncoded: this.#framesEncoded,
      deliveries: this.deliveries,
      dropped: this.dropped,
    };
  }

  open(
    exchange: Exchange,
    from: NonNullable<ReadQuery['offset']>,
    cursor: string | undefined,
  ): void {
    this.context.live.enter(exchange.request);
    const reader = new SseReader(exchange, this, cursor);
    this.#readers.add(reader);
    reader.start(from);
    this.#armTimer();
  }

  /** Counts a reader out; called once by each. */
  remove(reader: SseReader): void {
    if (!this.#readers.delete(reader)) return;
    this.context.live.leave(reader.request);
    if (this.#readers.size === 0) {
      this.#timer?.cancel();
      this.#timer = undefined;
    }
  }

  /** The frame of a change with this cursor, encoded once and shared. */
  frameOf(change: StreamChange, cursor: string): SseFrame {
    const known = this.#frames.get(change);
    if (known === undefined) {
      const frame = this.#encode(change, cursor);
      this.#frames.set(change, { cursor, frame, others: undefined });
      return frame;
    }
    if (known.cursor === cursor) return known.frame;
    known.others ??= new Map();
    const other = known.others.get(cursor) ?? this.#encode(change, cursor);
    if (known.others.size < MAX_FRAMES_PER_CHANGE) known.others.set(cursor, other);
    return other;
  }

  /** Ends every connection with a control event. */
  drain(): void {
    for (const reader of this.#readers) reader.drain();
  }

  #encode(change: StreamChange, cursor: string): SseFrame {
    this.#framesEncoded++;
    return encodeEvents(change.info, change.bytes, {
      next: change.to,
      cursor,
      upToDate: true,
      closed: change.closed,
    });
  }

  #armTimer(): void {
    if (this.#timer !== undefined || this.#readers.size === 0) return;
    const { sseHeartbeatMs, sseRotateMs } = this.context.settings;
    // Often enough that a rotation is late by a quarter of its time at most.
    const pauseMs = Math.max(1, Math.min(sseHeartbeatMs, Math.ceil(sseRotateMs / 4)));
    this.#timer = this.context.clock.after(pauseMs, () => {
      this.#timer = undefined;
      this.#sweep();
      this.#armTimer();
    });
  }

  #sweep(): void {
    const now = this.context.clock.monotonicMs();
    const beat = now - this.#lastHeartbeatMs >= this.context.settings.sseHeartbeatMs;
    if (beat) this.#lastHeartbeatMs = now;
    for (const reader of this.#readers) {
      if (!reader.retire(now) && beat) reader.send(HEARTBEAT);
    }
  }
}

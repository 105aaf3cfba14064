/**
 * Sliding expiry in memory: reads move the window and write nothing. A touch reaches the row
 * of its stream with the next checkpoint that writes it for another reason, once it is an hour
 * ahead, or at a clean stop.
 */
import type { Clock } from '@holdfast/core';
import { dueAtMs } from './expiry.ts';
import type { ShardChanges } from './shard-changes.ts';
import type { StreamWatcher } from './stream-store.ts';
import type { Stream } from './stream.ts';

export class TouchKeeper {
  readonly #clock: Clock;
  readonly #changesOf: (stream: Stream) => ShardChanges;

  constructor(clock: Clock, changesOf: (stream: Stream) => ShardChanges) {
    this.#clock = clock;
    this.#changesOf = changesOf;
  }

  touch(stream: Stream): void {
    if (stream.config.ttlSeconds === undefined) return;
    const now = this.#clock.now();
    if (now <= stream.touchedAtMs) return;
    stream.touchedAtMs = now;
    this.#changesOf(stream).touched.add(stream);
  }

  /** A reader that kept the stream alive leaves: it may come back within one window. */
  unwatch(stream: Stream, watcher: StreamWatcher): void {
    if (stream.watchers?.delete(watcher) !== true || stream.watchers.size > 0) return;
    stream.watchers = undefined;
    if (stream.config.ttlSeconds !== undefined && dueAtMs(stream) <= this.#clock.now()) {
      this.touch(stream);
    }
  }

  /** After a start: nobody knows who read while nothing was written. */
  restart(stream: Stream): void {
    if (stream.config.ttlSeconds === undefined) return;
    stream.touchedAtMs = Math.max(stream.touchedAtMs, this.#clock.now());
    this.#changesOf(stream).touched.add(stream);
  }
}

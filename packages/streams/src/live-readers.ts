/**
 * Tells live readers what a durable batch changed: once per stream, with one shared change,
 * however many appends and readers there are.
 */
import { HoldfastError } from '@holdfast/core';
import { gone, notFound } from './planning.ts';
import type { Position } from './position.ts';
import type { StreamChange, StreamWatcher } from './stream-store.ts';
import type { Stream } from './stream.ts';

export class LiveReaders {
  /** Streams with readers that changed in this batch, and their tails before it. */
  readonly #changed = new Map<Stream, Position>();
  readonly #ended: Stream[] = [];

  /** The batch changed the stream; `from` is the tail before. */
  changed(stream: Stream, from: Position): void {
    if (stream.watchers !== undefined && !this.#changed.has(stream)) {
      this.#changed.set(stream, from);
    }
  }

  ended(stream: Stream): void {
    if (stream.watchers !== undefined) this.#ended.push(stream);
  }

  /** All of the batch is applied. */
  settled(): void {
    if (this.#changed.size > 0) {
      const changed = [...this.#changed];
      this.#changed.clear();
      for (const [stream, from] of changed) tell(stream, from);
    }
    while (this.#ended.length > 0) endAll(this.#ended.pop() as Stream);
  }
}

/** The stream is gone for its readers. */
export function endAll(stream: Stream): void {
  const watchers = stream.watchers;
  stream.watchers = undefined;
  if (watchers === undefined) return;
  const reason = whyEnded(stream);
  for (const watcher of watchers) watcher.ended(reason);
}

function tell(stream: Stream, from: Position): void {
  const watchers: Set<StreamWatcher> | undefined = stream.watchers;
  if (watchers === undefined || stream.applied.state !== 'active') return;
  const { tail, closed } = stream.applied;
  const change: StreamChange = {
    info: stream.info,
    from,
    to: tail,
    bytes: tail.bytes === from.bytes ? [] : stream.tail.views(from.bytes, tail.bytes),
    closed,
  };
  // A copy: a reader may leave, and others come, while it is told.
  for (const watcher of [...watchers]) if (watchers.has(watcher)) watcher.changed(change);
}

/** By the stream itself: another one may be at its path by now. */
function whyEnded({ applied }: Stream): HoldfastError {
  if (applied.state === 'removed') return notFound();
  if (applied.state === 'softDeleted') return gone();
  return new HoldfastError('DRAINING', 'the node stopped serving this stream');
}

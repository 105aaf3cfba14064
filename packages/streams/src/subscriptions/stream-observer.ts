/**
 * What subscriptions hear of streams, and what they may look up. Observers are called within the
 * turn a batch is settled, after all of it is applied, each stream once: methods must be quick and
 * must not throw. What was applied while opening is not told; it is there to be looked up.
 */
import type { StreamInfo } from '../stream-store.ts';

export interface StreamObserver {
  /** Whether it wants to hear of changes of the stream at this path, as of now. */
  observes(path: string): boolean;
  /** New; what the same batch did to it is in the info. */
  created(info: StreamInfo): void;
  /** Appended to, or closed. */
  changed(info: StreamInfo): void;
  /** Deleted or expired; soft deletion too. Another stream may be at its path by now. */
  removed(info: StreamInfo): void;
}

/** The durable streams. Looking changes nothing, not even a time to live. */
export interface ObservedStreams {
  /** Every stream created from now on has a greater id. */
  readonly highestId: number;
  /** Absent when soft-deleted; one that expired is there until it is removed. */
  get(path: string): StreamInfo | undefined;
  /** Of all of them, in no order. */
  paths(): Iterable<string>;
}

export interface ObservableStreams {
  observe(observer: StreamObserver): ObservedStreams;
}

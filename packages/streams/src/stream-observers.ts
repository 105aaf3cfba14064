/**
 * Tells observers what a durable batch did, each stream once. Free while nobody observes.
 */
import type { StreamDirectory } from './stream-directory.ts';
import type { StreamInfo } from './stream-store.ts';
import type { ObservedStreams, StreamObserver } from './subscriptions/stream-observer.ts';
import type { Stream } from './stream.ts';

export class StreamObservers {
  readonly #observers: StreamObserver[] = [];
  readonly #created = new Set<Stream>();
  readonly #changed = new Set<Stream>();
  readonly #removed = new Set<Stream>();

  add(observer: StreamObserver): void {
    this.#observers.push(observer);
  }

  created(stream: Stream): void {
    if (this.#observers.length > 0) this.#created.add(stream);
  }

  /** On the path of every append: a stream that matters to nobody is not even noted. */
  changed(stream: Stream): void {
    for (const observer of this.#observers) {
      if (observer.observes(stream.path)) this.#changed.add(stream);
    }
  }

  removed(stream: Stream): void {
    if (this.#observers.length > 0) this.#removed.add(stream);
  }

  /** All of the batch is applied. */
  settled(): void {
    if (this.#removed.size > 0) {
      this.#tell(this.#removed, (observer, { info }) => observer.removed(info));
    }
    if (this.#created.size > 0) {
      for (const stream of this.#created) this.#changed.delete(stream);
      this.#tell(this.#created, (observer, { info }) => observer.created(info));
    }
    if (this.#changed.size > 0) {
      this.#tell(this.#changed, (observer, { info }) => observer.changed(info));
    }
  }

  #tell(told: Set<Stream>, tell: (observer: StreamObserver, stream: Stream) => void): void {
    const removed = told === this.#removed;
    const streams = [...told];
    told.clear();
    for (const stream of streams) {
      if (!removed && stream.applied.state !== 'active') continue;
      for (const observer of this.#observers) tell(observer, stream);
    }
  }
}

/** @param highestId of all streams that were ever applied. */
export function lookUps(directory: StreamDirectory, highestId: () => number): ObservedStreams {
  return {
    get highestId() {
      return highestId();
    },
    get(path: string): StreamInfo | undefined {
      const stream = directory.applied(path);
      return stream?.applied.state === 'active' ? stream.info : undefined;
    },
    *paths(): Iterable<string> {
      for (const stream of directory.all()) {
        if (stream.applied.state === 'active') yield stream.path;
      }
    },
  };
}

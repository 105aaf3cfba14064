/**
 * All streams by id and by path, and the sorted list of paths. Owned by the engine.
 *
 * Invariants
 * 1. `applied` finds what is durable; `ahead` finds what will be, once everything in flight
 *    is. A planned stream is found by `ahead` and by id alone.
 * 2. A removed stream leaves at its `remove`; a path belongs to at most one stream that is not
 *    removed.
 * 3. The lists for sorting hold at most about twice as many streams as there are: nobody may ever
 *    ask for a list, and streams come and go.
 */
import type { ListRequest } from './stream-store.ts';
import type { Stream } from './stream.ts';

/** Removed streams that the lists may hold beyond as many as there are. */
const MAX_STALE = 256;

export class StreamDirectory {
  readonly #byId = new Map<number, Stream>();
  readonly #byPath = new Map<string, Stream>();
  readonly #planned = new Map<string, Stream>();
  #sorted: Stream[] = [];
  /** Created since the sorted list was built; it may also still hold removed ones. */
  #unsorted: Stream[] = [];
  #removedSinceSorted = 0;

  /** Durable streams, soft-deleted ones included. */
  get size(): number {
    return this.#byPath.size;
  }

  byId(id: number): Stream | undefined {
    return this.#byId.get(id);
  }

  applied(path: string): Stream | undefined {
    return this.#byPath.get(path);
  }

  /** The stream that will be at `path`; it may be planned to be removed. */
  ahead(path: string): Stream | undefined {
    const planned = this.#planned.size === 0 ? undefined : this.#planned.get(path);
    return planned ?? this.#byPath.get(path);
  }

  plan(stream: Stream): void {
    this.#byId.set(stream.id, stream);
    this.#planned.set(stream.path, stream);
  }

  /** Its creation was refused. */
  unplan(stream: Stream): void {
    this.#byId.delete(stream.id);
    if (this.#planned.get(stream.path) === stream) this.#planned.delete(stream.path);
  }

  /** Its creation is durable, or it was loaded. */
  add(stream: Stream): void {
    this.#byId.set(stream.id, stream);
    this.#byPath.set(stream.path, stream);
    if (this.#planned.get(stream.path) === stream) this.#planned.delete(stream.path);
    this.#unsorted.push(stream);
  }

  remove(stream: Stream): void {
    this.#byId.delete(stream.id);
    if (this.#byPath.get(stream.path) === stream) this.#byPath.delete(stream.path);
    this.#removedSinceSorted++;
    if (this.#removedSinceSorted > this.#byPath.size + MAX_STALE) this.#forgetRemoved(); // I3
  }

  all(): IterableIterator<Stream> {
    return this.#byPath.values();
  }

  /** By path in the order of UTF-16 code units. */
  list(request: ListRequest, wanted: (stream: Stream) => boolean): Stream[] {
    const { prefix = '', after } = request;
    const sorted = this.#sort();
    const found: Stream[] = [];
    const from = after !== undefined && after >= prefix ? after : prefix;
    for (let i = firstAtLeast(sorted, from); i < sorted.length; i++) {
      const stream = sorted[i] as Stream;
      if (found.length >= request.limit || !stream.path.startsWith(prefix)) break;
      if (stream.path !== after && wanted(stream)) found.push(stream);
    }
    return found;
  }

  #forgetRemoved(): void {
    const present = (stream: Stream): boolean => this.#byId.get(stream.id) === stream;
    this.#sorted = this.#sorted.filter(present);
    this.#unsorted = this.#unsorted.filter(present);
    this.#removedSinceSorted = 0;
  }

  /** Merges what changed into the sorted list: O(n) after a change, nothing otherwise. */
  #sort(): Stream[] {
    if (this.#unsorted.length === 0 && this.#removedSinceSorted === 0) return this.#sorted;
    const added = this.#unsorted
      .filter((stream) => this.#byId.get(stream.id) === stream)
      .sort((a, b) => (a.path < b.path ? -1 : 1));
    const merged: Stream[] = [];
    let next = 0;
    for (const stream of this.#sorted) {
      if (this.#byId.get(stream.id) !== stream) continue;
      while (next < added.length && (added[next] as Stream).path < stream.path) {
        merged.push(added[next++] as Stream);
      }
      merged.push(stream);
    }
    while (next < added.length) merged.push(added[next++] as Stream);
    this.#sorted = merged;
    this.#unsorted = [];
    this.#removedSinceSorted = 0;
    return merged;
  }
}

function firstAtLeast(sorted: readonly Stream[], path: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as Stream).path < path) low = middle + 1;
    else high = middle;
  }
  return low;
}

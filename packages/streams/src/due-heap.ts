/** Streams by the moment they may be over: a binary min-heap, corrected lazily by its user. */
import type { Stream } from './stream.ts';

interface Due {
  readonly atMs: number;
  readonly stream: Stream;
}

export class DueHeap {
  readonly #heap: Due[] = [];

  get size(): number {
    return this.#heap.length;
  }

  push(stream: Stream, atMs: number): void {
    const heap = this.#heap;
    const due = { atMs, stream };
    let at = heap.length;
    heap.push(due);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if ((heap[parent] as Due).atMs <= atMs) break;
      heap[at] = heap[parent] as Due;
      at = parent;
    }
    heap[at] = due;
  }

  /** The earliest stream if it is due by `nowMs`, taken off. */
  popDue(nowMs: number): Stream | undefined {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined || first.atMs > nowMs) return undefined;
    const last = heap.pop() as Due;
    if (heap.length > 0) this.#sink(last);
    return first.stream;
  }

  /** Puts `due` in place of the root. */
  #sink(due: Due): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && right.atMs < (heap[child] as Due).atMs) child++;
      if ((heap[child] as Due).atMs >= due.atMs) break;
      heap[at] = heap[child] as Due;
      at = child;
    }
    heap[at] = due;
  }
}

/**
 * The changes of one watch as an application reads them. What it did not read yet is kept once for each
 * subkey, the newest: so a slow reader costs no more than the record has, and misses no last value.
 */
import type { RecordChange } from '../records.ts';

export class ChangeFeed implements AsyncIterableIterator<RecordChange, undefined> {
  /** Told once, when nothing comes any more. */
  onEnd: (() => void) | undefined;
  readonly #onStop: () => void;
  readonly #unread = new Map<number, RecordChange>();
  #end: { readonly error: Error | undefined } | undefined;
  #waiting: (() => void) | undefined;

  /** @param onStop the reader wants no more. */
  constructor(onStop: () => void) {
    this.#onStop = onStop;
  }

  static failed(error: Error): ChangeFeed {
    const feed = new ChangeFeed(() => undefined);
    feed.end(error);
    return feed;
  }

  add(change: RecordChange): void {
    const first = change.subkeys.first as number;
    this.#unread.delete(first);
    this.#unread.set(first, change);
    this.#wake();
  }

  /** What was added before is still read. */
  end(error?: Error): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.onEnd?.();
    this.#wake();
  }

  async next(): Promise<IteratorResult<RecordChange, undefined>> {
    for (;;) {
      for (const [subkey, value] of this.#unread) {
        this.#unread.delete(subkey);
        return { done: false, value };
      }
      if (this.#end !== undefined) {
        const { error } = this.#end;
        this.#end = { error: undefined };
        if (error !== undefined) throw error;
        return { done: true, value: undefined };
      }
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
  }

  /** As the reader, for this reason. */
  stop(error: Error): void {
    this.end(error);
    this.#onStop();
  }

  return(): Promise<IteratorResult<RecordChange, undefined>> {
    this.#unread.clear();
    this.end();
    this.#onStop();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }
}

/**
 * What `get` gives: the body of one object, while it is being read.
 *
 * Invariants
 * 1. The source is released once: at the end of the body, when its reader leaves or fails, at
 *    `close`, or when the signal of the call ends.
 * 2. The body ends normally only after exactly `length` bytes (rule 7 of the contract).
 * 3. The call has left its store only after the source was released.
 *
 * Owner: the reader.
 */
import { endedError, shortBody, throwIfEnded, unavailable } from './object-errors.ts';
import type { ObjectContent, ObjectInfo } from './object-store.ts';
import type { OpenCall } from './open-calls.ts';

export interface ContentSource {
  /** The next piece, the caller's from then on; `undefined` at the end. */
  next(): Promise<Buffer | undefined>;
  /** Gives back what it holds; a `next` under way may fail then. */
  release(): Promise<void>;
}

export interface ContentFacts {
  readonly key: string;
  readonly info: ObjectInfo;
  readonly offset: number;
  readonly length: number;
}

/** @param call leaves here, not by whoever entered it. */
export function openContent(
  call: OpenCall,
  { key, info, offset, length }: ContentFacts,
  source: ContentSource,
): ObjectContent {
  let released: Promise<void> | undefined;
  const release = (): Promise<void> => {
    released ??= source
      .release()
      .catch(() => undefined) // what was read is read; a connection or a reading handle is lost
      .finally(() => {
        call.signal.removeEventListener('abort', onAbort);
        call.leave(); // I3
      });
    return released;
  };
  const onAbort = (): void => void release();
  call.signal.addEventListener('abort', onAbort, { once: true });
  if (call.signal.aborted) onAbort();

  async function* body(): AsyncGenerator<Buffer, void, void> {
    let got = 0;
    try {
      for (;;) {
        throwIfEnded(call.signal);
        if (released !== undefined) throw new TypeError('the body of the object is closed');
        const piece = await source.next();
        throwIfEnded(call.signal);
        if (piece === undefined) break;
        got += piece.length;
        if (got > length) throw unavailable(`the body is longer than announced key=${key}`); // I2
        if (piece.length > 0) yield piece;
      }
      if (got < length) throw shortBody(key, got, length); // I2
    } catch (error) {
      if (call.signal.aborted) throw endedError(call.signal, 'none');
      throw error;
    } finally {
      await release();
    }
  }
  return { ...info, offset, length, body: readOnce(body), close: release };
}

/** The bytes a range asks for: `undefined` when it begins behind the end. */
export function clipRange(
  range: { readonly offset: number; readonly length?: number | undefined } | undefined,
  size: number,
): { offset: number; length: number } | undefined {
  if (range === undefined) return { offset: 0, length: size };
  assertRange(range);
  if (range.offset >= size) return undefined;
  return {
    offset: range.offset,
    length: Math.min(range.length ?? Infinity, size - range.offset),
  };
}

export function assertRange(range: {
  readonly offset: number;
  readonly length?: number | undefined;
}): void {
  const { offset, length = 1 } = range;
  if (!Number.isSafeInteger(offset) || offset < 0) throw new TypeError(`not an offset: ${offset}`);
  if (!Number.isSafeInteger(length) || length < 1) throw new TypeError(`not a length: ${length}`);
}

/** A second loop over a body would find nothing and look like an empty object. */
export function readOnce(body: () => AsyncGenerator<Buffer, void, void>): AsyncIterable<Buffer> {
  let begun = false;
  return {
    [Symbol.asyncIterator]: () => {
      if (begun) throw new TypeError('the body of an object is read once');
      begun = true;
      return body();
    },
  };
}

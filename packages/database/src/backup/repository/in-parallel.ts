/** So many things at a time, the first failure ending all of them. */
import { HoldfastError } from '@holdfast/core';

/**
 * Runs `act` for each item, at most `limit` under way. Resolves, or rejects with the first failure,
 * once none is under way any more.
 *
 * @param signal ends it; each `act` gets one of its own, for many listeners to one look like a leak,
 * that also ends with the first failure.
 */
export async function inParallel<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  limit: number,
  signal: AbortSignal,
  act: (item: Item, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const broken = new AbortController();
  const both = AbortSignal.any([signal, broken.signal]);
  const underWay = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
    broken.abort(new HoldfastError('ABORTED', 'something beside it failed'));
  };
  try {
    for await (const item of items) {
      if (both.aborted) break;
      const running: Promise<void> = act(item, AbortSignal.any([both]))
        .catch(fail)
        .finally(() => underWay.delete(running));
      underWay.add(running);
      while (underWay.size >= limit) await Promise.race(underWay);
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(underWay);
  if (failure !== undefined) throw failure.error;
  signal.throwIfAborted();
}

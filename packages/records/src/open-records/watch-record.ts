/** Begins a watch as an application asked for it. What is wrong with that, the first `next` says. */
import { HoldfastError } from '@holdfast/core';
import type { RecordChange, WatchOptions } from '../records.ts';
import { subkeyCount } from '../schema.ts';
import { ALL_SUBKEYS } from '../subkey-set.ts';
import { ChangeFeed } from '../watches/change-feed.ts';
import type { ClientWatches } from '../watches/client-watches.ts';
import type { OpenRecord } from './opened-records.ts';

export function watchRecord(
  watches: ClientWatches,
  openRecord: () => OpenRecord,
  { count, expiresAtMs, signal, subkeys: asked = ALL_SUBKEYS }: WatchOptions,
): AsyncIterable<RecordChange> {
  try {
    const open = openRecord();
    if (signal?.aborted === true) throw aborted();
    if (count !== undefined && !(Number.isSafeInteger(count) && count > 0)) {
      throw new TypeError(`a watch has a count above 0, or none: ${count}`);
    }
    const subkeys = asked.within(subkeyCount(open.descriptor.schema));
    if (subkeys.isEmpty) throw new HoldfastError('INVALID_SUBKEY', 'no such subkeys to watch');
    const feed = watches.watch(open, { subkeys, count, expiresAtMs });
    const onAbort = (): void => feed.stop(aborted());
    signal?.addEventListener('abort', onAbort, { once: true });
    feed.onEnd = () => signal?.removeEventListener('abort', onAbort);
    return feed;
  } catch (error) {
    return ChangeFeed.failed(error as Error);
  }
}

function aborted(): HoldfastError {
  return new HoldfastError('ABORTED', 'the watch was aborted', { effect: 'none' });
}

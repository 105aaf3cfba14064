/** Watches over the engine: what they get, keep and inspect has its record as other calls have it. */
import type { RecordEngine } from '../engines/record-engine.ts';
import type { RecordStore } from '../record-store.ts';
import type { Sequence } from '../sequence.ts';
import { ClientWatches, type ClientWatchesComponents } from '../watches/client-watches.ts';
import type { RecordEvents } from './record-events.ts';
import type { RecordLocks } from './record-locks.ts';
import { shownValue } from './shown-value.ts';

type Given = 'clock' | 'logger' | 'peers' | 'items';

export interface OpenWatchesComponents extends Pick<ClientWatchesComponents, Given> {
  readonly local: RecordStore;
  readonly engine: RecordEngine;
  readonly locks: RecordLocks;
  readonly events: RecordEvents;
}

export function openWatches(components: OpenWatchesComponents): ClientWatches {
  const { local, engine, locks, events, ...given } = components;
  return new ClientWatches({
    ...given,
    keep: (descriptor, value) =>
      locks.shared(descriptor.id, async () => {
        if ((await local.peek(descriptor.id)) === undefined) return;
        await local.write(descriptor, [value], { origin: undefined });
      }),
    get: (key, subkey) =>
      locks.shared(key.id, () => engine.get(key, subkey, { forceRefresh: true })),
    inspect: (key, subkeys) =>
      locks.shared(key.id, () => engine.inspect(key, { subkeys, scope: 'get' })),
    numbersOf: async (record) => {
      const numbers = new Map<number, Sequence>();
      const head = await local.peek(record);
      for (const [subkey, stored] of head?.subkeys.entries() ?? []) {
        if (stored !== undefined) numbers.set(subkey, stored.sequence);
      }
      return numbers;
    },
    shown: (value, key) => shownValue(value, key),
    onChange: (change) => events.tell({ type: 'change', change }),
    onEnded: ({ key }) => events.tell({ type: 'watch-ended', key }),
  });
}

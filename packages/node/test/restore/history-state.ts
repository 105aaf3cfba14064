/** What stores and a stream hold at one LSN of a history. Never changed: each commit makes a new one. */
export interface EntryState {
  readonly text: string;
  readonly version: number;
}

export interface HistoryState {
  /** By name and key; a store without entries is not there. */
  readonly stores: ReadonlyMap<string, ReadonlyMap<string, EntryState>>;
  readonly messages: readonly string[];
}

export const NOTHING: HistoryState = { stores: new Map(), messages: [] };

/** @param entry `undefined`: there is none any more. */
export function withEntry(
  state: HistoryState,
  store: string,
  key: string,
  entry: EntryState | undefined,
): HistoryState {
  const entries = new Map(state.stores.get(store) ?? []);
  if (entry === undefined) entries.delete(key);
  else entries.set(key, entry);
  const stores = new Map(state.stores);
  if (entries.size === 0) stores.delete(store);
  else stores.set(store, entries);
  return { ...state, stores };
}

/** Everything, in an order of its own; equal texts are equal states. */
export function contentOf({ stores, messages }: HistoryState): string {
  const shown = [...stores].map(
    ([name, entries]) => [name, [...entries].toSorted(byName)] as const,
  );
  return JSON.stringify([shown.toSorted(byName), messages]);
}

/** Whether `found` holds these messages, or these and what was on its way. */
export function holdsMessages(
  found: HistoryState,
  messages: readonly string[],
  appending: string | undefined,
): boolean {
  const [is, was] = [found.messages.join(''), messages.join('')];
  return is === was || (appending !== undefined && is === was + appending);
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

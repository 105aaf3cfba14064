/**
 * Entries in a place without transactions, where one value at a time can be compared and set;
 * `CellKvBackend` makes a backend of it.
 *
 * 1. A cell holds the envelope of an entry and its value, under its key, or says that the entry was
 *    deleted. Its tag stands for what it holds.
 * 2. `put` and `remove` happen only where the cell is still as `there` says, at the moment in which
 *    they happen: else they are `false`, and nothing changed. They resolve once the change is as
 *    durable as the store is. Their error says by its effect whether the change may be there, or come.
 * 3. Places in other orders are derived: there may be more of them than entries, and what they name
 *    is looked at before it counts. They are made before the entry, and go after it.
 * 4. Walks give rows that are there, some at a time, and end with the last.
 * 5. Every call ends. `close` is called once.
 */
import type { EntryFacts } from '../../decide-write.ts';
import type { CreatedPlace, KeyInterval } from '../../kv-backend.ts';
import type { KvCapabilities } from '../../kv-store.ts';
import type { DueEntries, RowsWanted, TableRow } from '../table/entry-table.ts';

export interface Cell {
  readonly tag: string;
  /** Envelope and value; `undefined`: deleted. */
  readonly bytes: Buffer | undefined;
}

/** What a write found before it decided. */
export interface CellThere {
  readonly tag: string;
  /** `undefined`: it was deleted, or is damaged. */
  readonly facts: EntryFacts | undefined;
}

export type InTurn = (key: string, act: () => Promise<void>) => Promise<void>;

export interface CellStore {
  readonly capabilities: KvCapabilities;
  /** What the writer keeps: see `writer-head.ts`. */
  readHead(): Promise<Cell | undefined>;
  /** @param tag of what was read; `undefined`: there was none. */
  writeHead(bytes: Buffer, tag: string | undefined): Promise<boolean>;
  read(key: string): Promise<Cell | undefined>;
  put(
    key: string,
    bytes: Buffer,
    facts: EntryFacts,
    there: CellThere | undefined,
  ): Promise<boolean>;
  /** @param version of the change, which no other one has. */
  remove(key: string, there: CellThere, version: number): Promise<boolean>;
  range(interval: KeyInterval, wanted: RowsWanted): AsyncIterable<readonly TableRow[]>;
  created(behind: CreatedPlace | undefined, wanted: RowsWanted): AsyncIterable<readonly TableRow[]>;
  /** Past their expiry, at most `limit`. */
  due(nowMs: number, limit: number): Promise<DueEntries>;
  /**
   * Frees what entries left that were deleted long ago. Called now and then, by the writer.
   * @param inTurn runs an act when no write of the key is under way.
   */
  sweep(nowMs: number, inTurn: InTurn): Promise<void>;
  close(): Promise<void>;
}

/**
 * Rows of entries in a place with transactions; `TableKvBackend` makes a backend of it.
 *
 * 1. A row is the envelope of an entry and its value, under its key. What the table tells beside
 *    them (`seq`, `expiresAtMs`) is derived from the envelope: it puts rows in order, and nothing
 *    is read from it alone.
 * 2. `commit` happens whole or not at all, and only where the head is `expected` at the moment
 *    in which it happens: else it is `false` and nothing changed. It resolves once the change is as
 *    durable as the table is. Its error says by its effect whether the change may be there, or come.
 * 3. `range` and `created` begin with the first row of the interval, give at least one if there is
 *    one, and stop before `most` is exceeded.
 * 4. Every call ends. `close` is called once, when no call of `commit` is under way.
 */
import type { KvCapabilities } from '../../kv-store.ts';
import type { CreatedPlace, KeyInterval } from '../../kv-backend.ts';
import type { EntryFacts } from '../../decide-write.ts';

/** What a table knows of itself; every change of an entry raises `next`. */
export interface TableHead {
  /** Number of the next change. */
  readonly next: number;
  /** The newest epoch that was claimed. */
  readonly epoch: number;
}

export interface TableRow {
  readonly key: string;
  /** Envelope and value. */
  readonly bytes: Buffer;
}

export interface TableState {
  readonly head: TableHead;
  /** Of the keys asked for, at the same moment as the head; an error for a row that is damaged. */
  readonly entries: ReadonlyMap<string, EntryFacts | Error>;
}

export interface TablePut {
  readonly key: string;
  readonly facts: EntryFacts;
  /** Envelope and value. */
  readonly bytes: Buffer;
}

export interface TableChange {
  readonly expected: TableHead;
  readonly head: TableHead;
  readonly puts: readonly TablePut[];
  /** Keys, none of them among the puts. */
  readonly dels: readonly string[];
}

export interface RowsWanted {
  readonly reverse: boolean;
  readonly entries: number;
  readonly bytes: number;
}

export interface DueEntries {
  readonly keys: readonly string[];
  /** The earliest expiry that is not past; `undefined`: there is none, or keys are left. */
  readonly nextMs: number | undefined;
}

export interface EntryTable {
  readonly capabilities: KvCapabilities;
  load(keys: readonly string[]): Promise<TableState>;
  commit(change: TableChange): Promise<boolean>;
  read(key: string): Promise<Buffer | undefined>;
  range(interval: KeyInterval, most: RowsWanted): Promise<readonly TableRow[]>;
  created(behind: CreatedPlace | undefined, most: RowsWanted): Promise<readonly TableRow[]>;
  /** Past their expiry, at most `limit`. */
  due(nowMs: number, limit: number): Promise<DueEntries>;
  close(): Promise<void>;
}

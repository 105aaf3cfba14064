/**
 * Rows of entries in a SQLite file: FORMAT.md, "Entries in SQLite".
 *
 * Invariants
 * 1. Nobody else has the folder of the file open: its lock is held, and that of the file.
 * 2. `synchronous=FULL`: a transaction that ended is on the disk. One that failed was rolled back
 *    before anything else is asked of the database; where that fails too nothing is asked any more.
 * 3. With values of a few KiB a table with row ids is six times as quick and a third as large as one
 *    without: the key has an index of its own.
 *
 * Every call runs within the turn: a commit takes about as long as a sync of the disk.
 */
import { type DirectoryLock, HoldfastError, LIMITS } from '@holdfast/core';
import type { EntryFacts } from '../../decide-write.ts';
import type { CreatedPlace, KeyInterval } from '../../kv-backend.ts';
import type { KvCapabilities } from '../../kv-store.ts';
import { factsOfHead, factsOrDamage, MAX_ENVELOPE_BYTES } from '../stored-entry.ts';
import type {
  DueEntries,
  EntryTable,
  RowsWanted,
  TableChange,
  TableHead,
  TableRow,
  TableState,
} from '../table/entry-table.ts';
import { type SqliteDatabase, openSqlite, type SqliteStatement } from './sqlite-driver.ts';
import { sqliteError } from './sqlite-errors.ts';

const FORMAT = 1;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS entries (
    key BLOB NOT NULL UNIQUE, seq INTEGER NOT NULL, version INTEGER NOT NULL,
    expires INTEGER, bytes BLOB NOT NULL);
  CREATE INDEX IF NOT EXISTS created ON entries (seq, key);
  CREATE INDEX IF NOT EXISTS due ON entries (expires) WHERE expires IS NOT NULL;
  CREATE TABLE IF NOT EXISTS head (
    id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL,
    next INTEGER NOT NULL, epoch INTEGER NOT NULL);
  INSERT OR IGNORE INTO head VALUES (1, ${FORMAT}, 1, 0);
`;

interface Row {
  readonly key: Uint8Array;
  readonly bytes: Uint8Array;
}

interface HeadRow {
  readonly format: number;
  readonly next: number;
  readonly epoch: number;
}

interface FactsRow {
  readonly seq: number;
  readonly version: number;
  readonly head: Uint8Array;
}

export class SqliteEntryTable implements EntryTable {
  readonly capabilities: KvCapabilities = {
    atomicBatch: true,
    compareAndSet: true,
    createdOrder: true,
    ttl: true,
    watch: true,
    stamps: true,
    anyText: true,
    durability: 'power',
    evicts: false,
    retries: false,
    maxKeyBytes: LIMITS.maxEntryKeyBytes,
    maxValueBytes: LIMITS.maxEntryValueBytes,
    maxBatchOperations: LIMITS.maxTransactionOperations,
    maxBatchBytes: LIMITS.maxEntryBatchBytes,
  };
  readonly #database: SqliteDatabase;
  readonly #lock: DirectoryLock;
  readonly #statements = new Map<string, SqliteStatement>();
  #failed: HoldfastError | undefined;

  private constructor(database: SqliteDatabase, lock: DirectoryLock) {
    this.#database = database;
    this.#lock = lock;
  }

  static async open(path: string, lock: DirectoryLock): Promise<SqliteEntryTable> {
    const database = await openSqlite(path);
    try {
      return sqlite(() => {
        database.exec('PRAGMA locking_mode = EXCLUSIVE');
        database.exec('PRAGMA journal_mode = WAL');
        database.exec('PRAGMA synchronous = FULL');
        database.exec('PRAGMA cell_size_check = ON');
        database.exec(SCHEMA);
        const table = new SqliteEntryTable(database, lock);
        table.#head();
        return table;
      });
    } catch (error) {
      database.close();
      throw error;
    }
  }

  async load(keys: readonly string[]): Promise<TableState> {
    return this.#ask(() => {
      const entries = new Map<string, EntryFacts | Error>();
      const find = this.#sql(
        `SELECT seq, version, substr(bytes, 1, ${MAX_ENVELOPE_BYTES}) AS head FROM entries WHERE key = ?`,
      );
      for (const key of keys) {
        const row = find.get(Buffer.from(key)) as FactsRow | undefined;
        if (row === undefined) continue;
        entries.set(
          key,
          factsOrDamage(() => factsOfHead(bufferOf(row.head), row)),
        );
      }
      return { head: this.#head(), entries };
    });
  }

  async commit({ expected, head, puts, dels }: TableChange): Promise<boolean> {
    return this.#ask(() => {
      const now = this.#head();
      if (now.next !== expected.next || now.epoch !== expected.epoch) return false;
      this.#transaction(() => {
        const del = this.#sql('DELETE FROM entries WHERE key = ?');
        for (const key of dels) del.run(Buffer.from(key));
        const put = this.#sql(
          `INSERT INTO entries VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
           seq = excluded.seq, version = excluded.version, expires = excluded.expires,
           bytes = excluded.bytes`,
        );
        for (const { key, facts, bytes } of puts) {
          const { seq, version, expiresAtMs = null } = facts;
          put.run(Buffer.from(key), seq, version, expiresAtMs, bytes);
        }
        this.#sql('UPDATE head SET next = ?, epoch = ?').run(head.next, head.epoch);
      });
      return true;
    });
  }

  async read(key: string): Promise<Buffer | undefined> {
    return this.#ask(() => {
      const find = this.#sql('SELECT bytes FROM entries WHERE key = ?');
      const row = find.get(Buffer.from(key)) as Pick<Row, 'bytes'> | undefined;
      return row === undefined ? undefined : bufferOf(row.bytes);
    });
  }

  async range({ from, to }: KeyInterval, wanted: RowsWanted): Promise<readonly TableRow[]> {
    return this.#ask(() => {
      const order = wanted.reverse ? 'DESC' : 'ASC';
      const low = Buffer.from(from);
      const rows = `SELECT key, bytes FROM entries WHERE key >= ?`;
      if (to === undefined) {
        return take(this.#sql(`${rows} ORDER BY key ${order}`).iterate(low), wanted);
      }
      const both = this.#sql(`${rows} AND key < ? ORDER BY key ${order}`);
      return take(both.iterate(low, Buffer.from(to)), wanted);
    });
  }

  async created(
    behind: CreatedPlace | undefined,
    wanted: RowsWanted,
  ): Promise<readonly TableRow[]> {
    return this.#ask(() => {
      const order = wanted.reverse ? 'ASC' : 'DESC';
      const rows = 'SELECT key, bytes FROM entries';
      const sorted = `ORDER BY seq ${order}, key ${order}`;
      if (behind === undefined) return take(this.#sql(`${rows} ${sorted}`).iterate(), wanted);
      const from = this.#sql(
        `${rows} WHERE (seq, key) ${wanted.reverse ? '>' : '<'} (?, ?) ${sorted}`,
      );
      return take(from.iterate(behind.seq, Buffer.from(behind.key)), wanted);
    });
  }

  async due(nowMs: number, limit: number): Promise<DueEntries> {
    return this.#ask(() => {
      const keys = this.#sql('SELECT key FROM entries WHERE expires <= ? LIMIT ?').all(
        nowMs,
        limit,
      ) as Pick<Row, 'key'>[];
      const next = this.#sql('SELECT min(expires) AS at FROM entries WHERE expires > ?').get(
        nowMs,
      ) as { readonly at: number | null };
      return { keys: keys.map(({ key }) => textOf(key)), nextMs: next.at ?? undefined };
    });
  }

  async close(): Promise<void> {
    try {
      this.#statements.clear();
      this.#database.close();
    } finally {
      await this.#lock.release();
    }
  }

  #head(): TableHead {
    const head = this.#sql('SELECT format, next, epoch FROM head').get() as HeadRow | undefined;
    if (head === undefined) {
      throw new HoldfastError('FORMAT_INVALID', 'the database has no row that tells of itself');
    }
    if (head.format !== FORMAT) {
      throw new HoldfastError(
        'FORMAT_UNSUPPORTED',
        `the database was written by another format version, upgrade holdfast version=${head.format}`,
      );
    }
    return { next: head.next, epoch: head.epoch };
  }

  /** I2. */
  #transaction(act: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      act();
      this.#database.exec('COMMIT');
    } catch (error) {
      try {
        this.#database.exec('ROLLBACK');
      } catch (cause) {
        // Some failures roll back by themselves: then there is nothing to end.
        if (!/no transaction is active/.test(String(cause))) this.#failed = sqliteError(cause);
      }
      throw error;
    }
  }

  #ask<T>(act: () => T): T {
    if (this.#failed !== undefined) throw this.#failed;
    return sqlite(act);
  }

  #sql(text: string): SqliteStatement {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#database.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }
}

function sqlite<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw sqliteError(error);
  }
}

function take(rows: IterableIterator<unknown>, { entries, bytes }: RowsWanted): TableRow[] {
  const taken: TableRow[] = [];
  let size = 0;
  for (const row of rows as IterableIterator<Row>) {
    size += row.bytes.length;
    if (taken.length > 0 && size > bytes) break;
    taken.push({ key: textOf(row.key), bytes: bufferOf(row.bytes) });
    if (taken.length >= entries) break;
  }
  return taken;
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function textOf(key: Uint8Array): string {
  return bufferOf(key).toString('utf8');
}

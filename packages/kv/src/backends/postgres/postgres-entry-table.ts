/**
 * Rows of entries in two tables of a Postgres.
 *
 * Invariants
 * 1. A group is read with one statement and written with one other, which compares the head: several
 *    processes may write.
 * 2. A statement that got no answer may still run in the server. It does nothing once another one has
 *    moved the head.
 */
import { type Clock, HoldfastError, LIMITS } from '@holdfast/core';
import type { EntryFacts } from '../../decide-write.ts';
import type { CreatedPlace, KeyInterval } from '../../kv-backend.ts';
import type { KvCapabilities } from '../../kv-store.ts';
import { factsOfHead, factsOrDamage } from '../stored-entry.ts';
import type {
  DueEntries,
  EntryTable,
  RowsWanted,
  TableChange,
  TableRow,
  TableState,
} from '../table/entry-table.ts';
import { PostgresConnections, type PostgresPlace } from './postgres-connections.ts';
import {
  POSTGRES_FORMAT,
  type PostgresStatements,
  postgresStatements,
} from './postgres-statements.ts';

/** Whole numbers of 64 bits come as text. */
interface LoadedRow {
  readonly format: number;
  readonly next: string;
  readonly epoch: string;
  readonly key: Buffer | null;
  readonly seq: string;
  readonly version: string;
  readonly head: Buffer;
}

interface Row {
  readonly key: Buffer;
  readonly bytes: Buffer;
}

export class PostgresEntryTable implements EntryTable {
  readonly capabilities: KvCapabilities;
  readonly #connections: PostgresConnections;
  readonly #sql: PostgresStatements;
  readonly #name: string;

  private constructor(
    connections: PostgresConnections,
    name: string,
    durability: KvCapabilities['durability'],
  ) {
    this.#connections = connections;
    this.#name = name;
    this.#sql = postgresStatements(name);
    this.capabilities = {
      atomicBatch: true,
      compareAndSet: true,
      createdOrder: true,
      ttl: true,
      watch: false,
      stamps: true,
      anyText: true,
      durability,
      evicts: false,
      retries: false,
      maxKeyBytes: LIMITS.maxEntryKeyBytes,
      maxValueBytes: LIMITS.maxEntryValueBytes,
      maxBatchOperations: LIMITS.maxTransactionOperations,
      maxBatchBytes: LIMITS.maxEntryBatchBytes,
    };
  }

  static async open(clock: Clock, place: PostgresPlace, name: string): Promise<PostgresEntryTable> {
    const { schema } = postgresStatements(name);
    const connections = await PostgresConnections.open(clock, place);
    try {
      for (const text of schema) await createAnyway(connections, text);
      return new PostgresEntryTable(connections, name, await durabilityOf(connections));
    } catch (error) {
      await connections.close();
      throw error;
    }
  }

  async load(keys: readonly string[]): Promise<TableState> {
    const rows = await this.#ask<LoadedRow>('load', this.#sql.load, [keys.map(bytesOf)]);
    const [first] = rows;
    if (first === undefined) {
      throw new HoldfastError('FORMAT_INVALID', 'the row that tells of the store is not there');
    }
    if (first.format !== POSTGRES_FORMAT) {
      throw new HoldfastError(
        'FORMAT_UNSUPPORTED',
        `the store was written by another format version, upgrade holdfast version=${first.format}`,
      );
    }
    const entries = new Map<string, EntryFacts | Error>();
    for (const { key, seq, version, head } of rows) {
      if (key === null) continue;
      const told = { seq: Number(seq), version: Number(version) };
      entries.set(
        key.toString('utf8'),
        factsOrDamage(() => factsOfHead(head, told)),
      );
    }
    return { head: { next: Number(first.next), epoch: Number(first.epoch) }, entries };
  }

  async commit({ expected, head, puts, dels }: TableChange): Promise<boolean> {
    const values = [
      head.next,
      head.epoch,
      expected.next,
      expected.epoch,
      dels.map(bytesOf),
      puts.map(({ key }) => bytesOf(key)),
      puts.map(({ facts }) => facts.seq),
      puts.map(({ facts }) => facts.version),
      puts.map(({ facts }) => facts.expiresAtMs ?? null),
      puts.map(({ bytes }) => bytes),
    ];
    const statement = { name: `${this.#name}_commit`, text: this.#sql.commit, values };
    const [row] = await this.#connections.query<{ readonly done: number }>(statement, 'unknown');
    return row?.done === 1;
  }

  async read(key: string): Promise<Buffer | undefined> {
    const rows = await this.#ask<Row>('read', this.#sql.read, [bytesOf(key)]);
    return rows[0]?.bytes;
  }

  async range(
    { from, to }: KeyInterval,
    { reverse, entries, bytes }: RowsWanted,
  ): Promise<readonly TableRow[]> {
    const bounds = to === undefined ? [bytesOf(from)] : [bytesOf(from), bytesOf(to)];
    const text = this.#sql.range(reverse, to !== undefined);
    return rowsOf(await this.#ask<Row>(undefined, text, [entries, bytes, ...bounds]));
  }

  async created(
    behind: CreatedPlace | undefined,
    { reverse, entries, bytes }: RowsWanted,
  ): Promise<readonly TableRow[]> {
    const bounds = behind === undefined ? [] : [behind.seq, bytesOf(behind.key)];
    const text = this.#sql.created(reverse, behind !== undefined);
    return rowsOf(await this.#ask<Row>(undefined, text, [entries, bytes, ...bounds]));
  }

  async due(nowMs: number, limit: number): Promise<DueEntries> {
    const rows = await this.#ask<Pick<Row, 'key'>>(undefined, this.#sql.due, [nowMs, limit]);
    const [next] = await this.#ask<{ readonly at: string | null }>(undefined, this.#sql.nextDue, [
      nowMs,
    ]);
    const nextMs = next === undefined || next.at === null ? undefined : Number(next.at);
    return { keys: rows.map(({ key }) => key.toString('utf8')), nextMs };
  }

  close(): Promise<void> {
    return this.#connections.close();
  }

  /** @param name of a statement that is prepared once for each connection. */
  #ask<T>(
    name: string | undefined,
    text: string,
    values: readonly unknown[],
  ): Promise<readonly T[]> {
    const prepared = name === undefined ? {} : { name: `${this.#name}_${name}` };
    return this.#connections.query<T>({ ...prepared, text, values });
  }
}

/** Two processes that make one table at once: one of them is told that it is there. */
async function createAnyway(connections: PostgresConnections, text: string): Promise<void> {
  try {
    await connections.query({ text });
  } catch {
    await connections.query({ text });
  }
}

async function durabilityOf(connections: PostgresConnections): Promise<'power' | 'process'> {
  const text = `SELECT current_setting('fsync') AS fsync,
    current_setting('synchronous_commit') AS commit`;
  const [row] = await connections.query<{ readonly fsync: string; readonly commit: string }>({
    text,
  });
  return row?.fsync === 'on' && row.commit !== 'off' ? 'power' : 'process';
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text);
}

function rowsOf(rows: readonly Row[]): TableRow[] {
  return rows.map(({ key, bytes }) => ({ key: key.toString('utf8'), bytes }));
}

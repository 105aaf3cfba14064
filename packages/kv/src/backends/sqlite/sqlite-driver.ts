/**
 * What is used of SQLite, the same in both drivers: `node:sqlite`, which Node has from 22.13 on, and
 * `better-sqlite3` 11 or 12 for older ones (13 is not for Node 20, and ends it with a fault).
 */
import { loadDriver } from '../load-driver.ts';

export type SqliteValue = Uint8Array | number | null;

export interface SqliteStatement {
  run(...values: SqliteValue[]): unknown;
  get(...values: SqliteValue[]): unknown;
  all(...values: SqliteValue[]): unknown[];
  iterate(...values: SqliteValue[]): IterableIterator<unknown>;
}

export interface SqliteDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): SqliteStatement;
  close(): void;
}

type OpenDatabase = new (path: string) => SqliteDatabase;

interface SqliteModule {
  readonly DatabaseSync?: OpenDatabase;
  readonly default?: OpenDatabase;
}

export async function openSqlite(path: string): Promise<SqliteDatabase> {
  const module = await loadDriver<SqliteModule>('SQLite', ['node:sqlite', 'better-sqlite3']);
  const Database = module.DatabaseSync ?? (module.default as OpenDatabase);
  return new Database(path);
}

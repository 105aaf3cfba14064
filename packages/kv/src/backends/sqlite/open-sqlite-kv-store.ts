/**
 * A key-value store in a SQLite file of its own folder. Writes that are called in one turn, and
 * those that come while the disk is busy, share one transaction.
 */
import { type Clock, type FileSystem, NodeFileSystem } from '@holdfast/core';
import type { FencedKvStore } from '../../fencing.ts';
import { BackedFencedKvStore } from '../backed-fenced-kv-store.ts';
import { TableKvBackend } from '../table/table-kv-backend.ts';
import { SqliteEntryTable } from './sqlite-entry-table.ts';

export interface SqliteKvSettings {
  readonly id: string;
  /** A folder of this store alone; made if it is not there. */
  readonly directory: string;
  /** What writes carry: see `fencing.ts`. Default: 0. */
  readonly epoch?: number;
}

const FILE = 'entries.sqlite';

/** Driver: `node:sqlite`, where Node has it, else `better-sqlite3`. */
export async function openSqliteKvStore(
  components: { readonly clock: Clock; readonly fileSystem?: FileSystem },
  settings: SqliteKvSettings,
): Promise<FencedKvStore> {
  const { clock, fileSystem = new NodeFileSystem() } = components;
  const { id, directory, epoch = 0 } = settings;
  await fileSystem.makeDirectory(directory);
  const lock = await fileSystem.lockDirectory(directory);
  const table = await SqliteEntryTable.open(`${directory}/${FILE}`, lock).catch(
    async (error: unknown) => {
      await lock.release();
      throw error;
    },
  );
  const backend = await TableKvBackend.open({ clock }, table, { id, epoch });
  return new BackedFencedKvStore({ clock }, backend);
}

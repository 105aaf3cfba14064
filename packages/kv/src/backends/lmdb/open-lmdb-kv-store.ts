/**
 * A key-value store in an LMDB file of its own folder. A write is acknowledged once it is flushed to
 * the disk; those that are called while one is flushed share the next flush.
 */
import { type Clock, type FileSystem, NodeFileSystem } from '@holdfast/core';
import type { FencedKvStore } from '../../fencing.ts';
import { BackedFencedKvStore } from '../backed-fenced-kv-store.ts';
import { TableKvBackend } from '../table/table-kv-backend.ts';
import { LmdbEntryTable } from './lmdb-entry-table.ts';

export interface LmdbKvSettings {
  readonly id: string;
  /** A folder of this store alone; made if it is not there. */
  readonly directory: string;
  /** What writes carry: see `fencing.ts`. Default: 0. */
  readonly epoch?: number;
}

const FILE = 'entries.mdb';

/** Driver: `lmdb`. */
export async function openLmdbKvStore(
  components: { readonly clock: Clock; readonly fileSystem?: FileSystem },
  settings: LmdbKvSettings,
): Promise<FencedKvStore> {
  const { clock, fileSystem = new NodeFileSystem() } = components;
  const { id, directory, epoch = 0 } = settings;
  await fileSystem.makeDirectory(directory);
  const lock = await fileSystem.lockDirectory(directory);
  const table = await LmdbEntryTable.open(fileSystem, `${directory}/${FILE}`, lock).catch(
    async (error: unknown) => {
      await lock.release();
      throw error;
    },
  );
  const backend = await TableKvBackend.open({ clock }, table, { id, epoch });
  return new BackedFencedKvStore({ clock }, backend);
}

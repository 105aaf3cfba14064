/** Merges neighbouring tables into one, on this thread or another. */
import {
  BlockCodec,
  type Clock,
  type FileId,
  type FileSystem,
  HoldfastError,
  type KeyRing,
  type Lsn,
  Turns,
} from '@holdfast/core';
import { mergeRowBatches } from './merge-rows.ts';
import { type Pace, paceByTurn } from './pace.ts';
import { Table } from './table.ts';
import type { TableInfo } from './table-info.ts';
import { writeTableFromBatches } from './write-table.ts';

export interface CompactionInput {
  readonly path: string;
  readonly info: TableInfo;
}

export interface CompactionJob {
  /** 16 bytes; see `BlockCodec`. */
  readonly databaseId: Uint8Array;
  /** Of an encrypted database: the output is under the one that is active when the merge begins. */
  readonly keys?: KeyRing;
  /** Newest first, neighbours in age. */
  readonly inputs: readonly CompactionInput[];
  readonly output: { readonly path: string; readonly fileId: FileId };
  readonly dropTombstones: boolean;
}

export interface CompactionComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly pace?: Pace;
}

/**
 * The merged table, synced, or `undefined` (and no file) when no row was left. Damage in an
 * input rejects with its typed error; the inputs are never changed.
 */
export async function compactTables(
  components: CompactionComponents,
  job: Omit<CompactionJob, 'databaseId' | 'keys'>,
): Promise<TableInfo | undefined> {
  const { fileSystem, codec } = components;
  const opened: Table[] = [];
  try {
    for (const { path, info } of job.inputs) {
      opened.push(await Table.open({ fileSystem, codec }, path, info));
    }
    const infos = job.inputs.map((input) => input.info);
    const target = {
      ...job.output,
      firstLsn: Math.min(...infos.map((info) => info.firstLsn)) as Lsn,
      lastLsn: Math.max(...infos.map((info) => info.lastLsn)) as Lsn,
    };
    const scans = opened.map((table) => table.scan());
    return await writeTableFromBatches(
      components,
      target,
      mergeRowBatches(scans, { dropTombstones: job.dropTombstones }),
    );
  } finally {
    for (const table of opened) await table.retire();
  }
}

/** Merges tables somewhere. One job at a time; more wait in line. */
export interface Compactor {
  /**
   * The new table, synced, or `undefined` when no row was left. The caller syncs the
   * directory. Rejects with effect `none`: a half-written output is an orphan.
   */
  compact(job: CompactionJob): Promise<TableInfo | undefined>;
  /** What runs is given up; it and what waits reject with `CLOSED`. Idempotent. */
  close(): Promise<void>;
}

/** Merges on the caller's thread, giving way between blocks: for memory and simulation. */
export class InlineCompactor implements Compactor {
  readonly #fileSystem: FileSystem;
  readonly #pace: Pace;
  #closed = false;
  readonly #turns: Turns = new Turns();

  constructor(components: { readonly fileSystem: FileSystem; readonly clock: Clock }) {
    this.#fileSystem = components.fileSystem;
    const turn = paceByTurn(components.clock);
    this.#pace = async (bytes) => {
      await turn(bytes);
      if (this.#closed) throw compactorClosed();
    };
  }

  compact(job: CompactionJob): Promise<TableInfo | undefined> {
    return this.#turns.run(() => {
      if (this.#closed) throw compactorClosed();
      const codec = new BlockCodec(job.databaseId, job.keys);
      return compactTables({ fileSystem: this.#fileSystem, codec, pace: this.#pace }, job);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#turns.idle();
  }
}

export function compactorClosed(): HoldfastError {
  return new HoldfastError('CLOSED', 'compactor was closed');
}

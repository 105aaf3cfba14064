/** One table at a time: its second copy is made, and damage in either copy is mended. */
import {
  FILE_COPIES,
  type FileCopy,
  type FileProblem,
  type Pace,
  type Table,
} from '@holdfast/tables';
import { type FileSystem, HoldfastError, isHoldfastError, type ShardId } from '@holdfast/core';
import type { DamageList, DamageState } from './damage-list.ts';
import type { DatabaseShard } from './database-shard.ts';
import type { Quarantine } from './quarantine.ts';
import type { Suspects } from './suspects.ts';

interface Parts {
  readonly fileSystem: FileSystem;
  readonly dir: string;
  /** Free bytes that second copies leave to the log and to checkpoints. */
  readonly reserveBytes: number;
  readonly shards: readonly DatabaseShard[];
  readonly suspects: Suspects;
  readonly damages: DamageList;
  readonly quarantine: Quarantine;
}

/** Places of one copy that are named; one that is damaged all over needs no list. */
const MAX_PLACES = 8;

export class TableCare {
  readonly #parts: Parts;
  /** Tables whose mirror was there when it was last looked for. */
  readonly #mirrored = new WeakSet<Table>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  hasMirror(table: Table): void {
    this.#mirrored.add(table);
  }

  withoutMirror(tables: readonly Table[]): Table[] {
    return tables.filter((table) => !this.#mirrored.has(table));
  }

  /** Rejects when there was no room, or the original is damaged, or the table is on its way out. */
  async makeMirror(table: Table, pace: Pace | undefined): Promise<void> {
    await this.#assertRoom(table.info.bytes);
    await table.rebuild('mirror', { directory: this.#parts.dir, ...paced(table, pace) });
    this.#mirrored.add(table);
  }

  /** Checks every byte of both copies and mends what it can. */
  async scrub(table: Table, pace: Pace): Promise<void> {
    let whole = true;
    for (const copy of FILE_COPIES) whole = (await this.#scrubCopy(table, copy, pace)) && whole;
    if (whole) this.#parts.suspects.mended(table.info.fileId);
  }

  async #scrubCopy(table: Table, copy: FileCopy, pace: Pace): Promise<boolean> {
    const { damages, dir, quarantine } = this.#parts;
    const options = paced(table, pace);
    const path = table.pathOf(copy);
    const state = await table.check(copy, options.pace);
    if (state === 'whole') {
      if (copy === 'mirror') this.#mirrored.add(table);
      damages.repaired(path);
      return true;
    }
    if (state === 'missing' && copy === 'mirror' && !this.#mirrored.has(table)) {
      await this.makeMirror(table, pace); // it was never there
      return true;
    }
    if (copy === 'mirror') this.#mirrored.delete(table);
    const places: FileProblem[] = [];
    if (state === 'damaged') await placesOf(table, copy, places, options.pace);
    else places.push({ path, position: 0, message: `file is not there path=${path}` });
    let outcome: DamageState = 'quarantined';
    try {
      await table.rebuild(copy, {
        directory: dir,
        ...options,
        beforeReplace: (replaced) => quarantine.keep(replaced),
      });
      outcome = 'repaired';
      if (copy === 'mirror') this.#mirrored.add(table);
    } catch (error) {
      // Damaged in both: only what is whole of it is served. Anything else is tried again.
      if (!isHoldfastError(error) || error.kind !== 'corrupt') throw error;
    } finally {
      const shard = this.#shardOf(table);
      for (const { position, message } of table.retired ? [] : places) {
        damages.report({
          kind: state,
          path,
          position,
          message,
          state: outcome,
          ...(shard === undefined ? {} : { shard }),
        });
      }
    }
    return outcome === 'repaired';
  }

  async #assertRoom(bytes: number): Promise<void> {
    const { fileSystem, dir, reserveBytes } = this.#parts;
    if ((await fileSystem.freeBytes(dir)) >= reserveBytes + bytes) return;
    throw new HoldfastError('DISK_FULL', `no room for the second copy of a table bytes=${bytes}`);
  }

  #shardOf(table: Table): ShardId | undefined {
    return this.#parts.shards.find((shard) => shard.tables.includes(table))?.id;
  }
}

/** At most a few; a copy that is damaged where no block says so has one place, its beginning. */
async function placesOf(
  table: Table,
  copy: FileCopy,
  places: FileProblem[],
  pace: Pace,
): Promise<void> {
  const add = (problem: FileProblem): void => {
    if (places.length < MAX_PLACES) places.push(problem);
  };
  try {
    await table.locate(copy, add, pace);
  } catch (error) {
    if (!isHoldfastError(error) || error.kind !== 'corrupt') throw error;
    add({ path: table.pathOf(copy), position: 0, message: error.message }); // an index is lost
  }
}

/** Work on a table that is on its way out would keep it open. */
function paced(table: Table, pace: Pace | undefined): { pace: Pace } {
  return {
    pace: (bytes) => {
      if (table.retired) throw new HoldfastError('CLOSED', 'table was retired');
      return pace?.(bytes);
    },
  };
}

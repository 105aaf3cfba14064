/**
 * Builds one table from rows in key order. FORMAT.md, "Table".
 *
 * Invariants
 * 1. Keys strictly rise; a violation is a bug of the caller and nothing is written after it.
 * 2. `add` never waits: encoded blocks gather until `flush`, which the caller awaits whenever
 *    `wantsFlush`. Memory is one data block, one group's index and `tableWriteBytes`.
 * 3. All blocks are under the key that was active when the writer was made.
 * 4. The file does not exist before the first flush, and not at all without rows.
 */
import {
  assert,
  BLOCK_HEADER_BYTES,
  BLOCK_TYPES,
  type BlockCodec,
  type BlockType,
  type FileId,
  type FileSystem,
  HoldfastError,
  LIMITS,
  type Lsn,
} from '@holdfast/core';
import { encodeKeyFilter, hashKey } from './key-filter.ts';
import { NewFile, unlinkIfThere } from './new-file.ts';
import type { Pace } from './pace.ts';
import { RowBlockBuilder } from './row-block.ts';
import type { Row } from './row.ts';
import { storageError } from './storage-error.ts';
import {
  type BlockPlace,
  encodeBlockPlaces,
  encodeTableFooter,
  encodeTableRoot,
} from './table-format.ts';
import type { TableInfo } from './table-info.ts';

export interface TableWriteComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  /** How the work gives way; default: not at all beyond the writes themselves. */
  readonly pace?: Pace;
}

export interface TableTarget {
  readonly path: string;
  readonly fileId: FileId;
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
  /** Payload of one data block; default `LIMITS.tableBlockBytes`. */
  readonly blockBytes?: number;
}

const INDEX_BLOCK_BYTES = 16 * 1024;

export class TableWriter {
  readonly #components: TableWriteComponents;
  readonly #codec: BlockCodec;
  readonly #target: TableTarget;
  readonly #blockBytes: number;
  readonly #data: RowBlockBuilder;
  readonly #index = new RowBlockBuilder(INDEX_BLOCK_BYTES);
  readonly #root = new RowBlockBuilder(4096);
  #hashes: number[] = [];
  #firstKey: Buffer | undefined;
  #lastKey: Buffer | undefined;
  #rows = 0;
  #tombstones = 0;
  #file: NewFile | undefined;
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;
  /** Where the next block begins. */
  #position = 0;

  constructor(components: TableWriteComponents, target: TableTarget) {
    this.#components = components;
    this.#codec = components.codec.pinned();
    this.#target = target;
    this.#blockBytes = target.blockBytes ?? LIMITS.tableBlockBytes;
    this.#data = new RowBlockBuilder(this.#blockBytes);
  }

  get wantsFlush(): boolean {
    return this.#gatheredBytes >= LIMITS.tableWriteBytes;
  }

  add(row: Row): void {
    const { key, value } = row;
    if (key.length > LIMITS.maxRowKeyBytes || (value?.length ?? 0) > LIMITS.maxRowValueBytes) {
      throw new HoldfastError(
        'RECORD_TOO_LARGE',
        `row is too large keyBytes=${key.length} valueBytes=${value?.length ?? 0}`,
      );
    }
    if (this.#lastKey === undefined) this.#firstKey = Buffer.from(key);
    else assert(Buffer.compare(this.#lastKey, key) < 0, 'rows of a table must rise'); // I1
    if (
      this.#data.rows > 0 &&
      this.#data.bytes + RowBlockBuilder.rowBytes(row) > this.#blockBytes
    ) {
      this.#endDataBlock();
      if (this.#groupIsFull()) this.#endGroup();
    }
    this.#data.add(key, value);
    this.#hashes.push(hashKey(key));
    this.#lastKey = key;
    this.#rows++;
    if (value === undefined) this.#tombstones++;
  }

  async flush(): Promise<void> {
    if (this.#gatheredBytes === 0) return;
    const { fileSystem, pace } = this.#components;
    const bytes = Buffer.concat(this.#gathered, this.#gatheredBytes);
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#file ??= await NewFile.create(fileSystem, this.#target.path); // I4
    await this.#file.append(bytes);
    await pace?.(bytes.length);
  }

  /** The synced table, or `undefined` when there were no rows. */
  async finish(): Promise<TableInfo | undefined> {
    if (this.#rows === 0) {
      await this.#removeLeftover();
      return undefined;
    }
    const firstKey = this.#firstKey as Buffer;
    const lastKey = Buffer.from(this.#lastKey as Buffer);
    this.#endDataBlock();
    this.#endGroup();
    const root = this.#gather(
      BLOCK_TYPES.tableIndex,
      encodeTableRoot(firstKey, this.#root.finish()),
    );
    const { fileId, firstLsn, lastLsn } = this.#target;
    const counts = { rows: this.#rows, tombstones: this.#tombstones };
    this.#gather(
      BLOCK_TYPES.tableFooter,
      encodeTableFooter({ root, ...counts, firstLsn, lastLsn }),
    );
    await this.flush();
    const written = await (this.#file as NewFile).finish();
    return { fileId, ...counts, firstKey, lastKey, firstLsn, lastLsn, ...written };
  }

  /** Gives up and removes what was written. Never rejects. */
  async abandon(): Promise<void> {
    await this.#file?.abandon();
  }

  #groupIsFull(): boolean {
    return this.#hashes.length >= LIMITS.tableGroupRows || this.#index.bytes >= INDEX_BLOCK_BYTES;
  }

  #endDataBlock(): void {
    if (this.#data.rows === 0) return;
    const place = this.#gather(BLOCK_TYPES.tableData, this.#data.finish());
    this.#index.add(this.#lastKey as Buffer, encodeBlockPlaces([place]));
  }

  #endGroup(): void {
    const filter = this.#gather(BLOCK_TYPES.tableFilter, encodeKeyFilter(this.#hashes));
    const index = this.#gather(BLOCK_TYPES.tableIndex, this.#index.finish());
    this.#root.add(this.#lastKey as Buffer, encodeBlockPlaces([index, filter]));
    this.#hashes = [];
  }

  #gather(type: BlockType, payload: Buffer): BlockPlace {
    const position = this.#position;
    const { fileId } = this.#target;
    this.#gathered.push(this.#codec.encodeNew(payload, { type, fileId, position }));
    this.#gatheredBytes += BLOCK_HEADER_BYTES + payload.length;
    this.#position += BLOCK_HEADER_BYTES + payload.length;
    return { position, payloadLength: payload.length };
  }

  async #removeLeftover(): Promise<void> {
    try {
      await unlinkIfThere(this.#components.fileSystem, this.#target.path);
    } catch (error) {
      throw storageError(error, 'unlinking', this.#target.path);
    }
  }
}

/**
 * An open table: finds one key, scans a range. FORMAT.md, "Table".
 *
 * Invariants
 * 1. What is given out comes from blocks whose checksum held (`TableFile`); damage rejects the
 *    one read with `CHECKSUM_MISMATCH` (file and position in its details) and nothing else.
 * 2. Resident are the root rows only, about 60 bytes per 8 192 rows; everything else
 *    passes through the block cache.
 * 3. A read in progress keeps the file open, also after `retire`.
 *
 * Owner: the shard's list of tables.
 */
import {
  BLOCK_TYPES,
  type BlockCodec,
  type BlockType,
  type FileSystem,
  systemErrorCode,
} from '@holdfast/core';
import type { BlockCache } from './block-cache.ts';
import type { RebuildOptions } from './copy-file.ts';
import type { CopyState } from './file-digest.ts';
import type { FileProblem } from './file-problem.ts';
import { filterMayHold, hashKey } from './key-filter.ts';
import { compareRowKeys } from './key-order.ts';
import { type DamageListener, FILE_COPIES, type FileCopy } from './mirrored-file.ts';
import type { Pace } from './pace.ts';
import { RowBlock } from './row-block.ts';
import type { KeyRange, Row } from './row.ts';
import { damaged } from './storage-error.ts';
import { TableFile } from './table-file.ts';
import { type BlockPlace, decodeBlockPlace } from './table-format.ts';
import type { TableInfo } from './table-info.ts';
import { TableScan } from './table-scan.ts';

export interface TableComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  /** Without one, every read goes to disk: for work that passes by once. */
  readonly cache?: BlockCache;
  /** Hears of each copy that had to be passed over. */
  readonly onDamage?: DamageListener;
}

/** The answer lies on the disk. */
export const UNREAD: unique symbol = Symbol('unread');

export class Table {
  readonly path: string;
  readonly info: TableInfo;
  readonly #fileSystem: FileSystem;
  readonly #file: TableFile;
  readonly #cache: BlockCache | undefined;
  readonly #root: RowBlock;

  private constructor(components: TableComponents, file: TableFile) {
    this.path = file.path;
    this.info = file.info;
    this.#fileSystem = components.fileSystem;
    this.#file = file;
    this.#cache = components.cache;
    this.#root = file.root;
  }

  /**
   * Rejects with `FILE_MISSING`, or `CHECKSUM_MISMATCH` when neither copy is the table `info`
   * speaks of. Data blocks are not looked at yet.
   */
  static async open(components: TableComponents, path: string, info: TableInfo): Promise<Table> {
    return new Table(components, await TableFile.open(components, path, info));
  }

  /**
   * What `get` would give, as far as blocks in the cache tell; `UNREAD`: one of them is not there.
   *
   * @param hash `hashKey(key)`
   */
  getCached(key: Buffer, hash: number): Row | undefined | typeof UNREAD {
    if (compareRowKeys(key, this.info.firstKey) < 0) return undefined;
    const group = this.#root.firstAtOrAfter(key);
    if (group === this.#root.count) return undefined;
    const places = this.#root.row(group).value;
    const filter = this.#cached(decodeBlockPlace(places, 1));
    if (filter === undefined) return UNREAD;
    if (!filterMayHold(filter, hash)) return undefined;
    const index = this.#cached(decodeBlockPlace(places, 0));
    if (index === undefined) return UNREAD;
    const data = this.#cached(this.#dataPlace(new RowBlock(index), key));
    return data === undefined ? UNREAD : new RowBlock(data).get(key);
  }

  /** A row with value `undefined` is a tombstone; `undefined` says this table knows nothing. */
  async get(key: Buffer): Promise<Row | undefined> {
    if (compareRowKeys(key, this.info.firstKey) < 0) return undefined;
    const group = this.#root.firstAtOrAfter(key);
    if (group === this.#root.count) return undefined;
    this.#file.retain(); // I3
    try {
      const places = this.#root.row(group).value;
      const filter = await this.block(BLOCK_TYPES.tableFilter, decodeBlockPlace(places, 1));
      if (!filterMayHold(filter, hashKey(key))) return undefined;
      const index = new RowBlock(
        await this.block(BLOCK_TYPES.tableIndex, decodeBlockPlace(places, 0)),
      );
      const place = this.#dataPlace(index, key);
      return new RowBlock(await this.block(BLOCK_TYPES.tableData, place)).get(key);
    } finally {
      this.#file.release();
    }
  }

  /** Rows in key order, tombstones included. Nothing is read before the first `next`. */
  scan(range: KeyRange = {}): TableScan {
    return new TableScan(this, this.#root, range);
  }

  /** Re-reads every byte of both copies; says where they are damaged. */
  verify(onProblem: (problem: FileProblem) => void, pace?: Pace): Promise<void> {
    return this.#file.verify(onProblem, pace);
  }

  /** Re-reads every byte of one copy. */
  check(copy: FileCopy, pace?: Pace): Promise<CopyState> {
    return this.#file.check(copy, pace);
  }

  /** Says where one copy is damaged, block by block. */
  locate(copy: FileCopy, onProblem: (problem: FileProblem) => void, pace?: Pace): Promise<void> {
    return this.#file.locate(copy, onProblem, pace);
  }

  /** Makes a copy anew from the whole blocks of both; see `TableFile.rebuild`. */
  rebuild(copy: FileCopy, options: RebuildOptions): Promise<void> {
    return this.#file.rebuild(copy, options);
  }

  /** The key that the file is under, 0 when it is not encrypted. */
  keyId(): Promise<number> {
    return this.#file.keyId();
  }

  pathOf(copy: FileCopy): string {
    return this.#file.pathOf(copy);
  }

  /** It is on its way out: nobody needs its copies. */
  get retired(): boolean {
    return this.#file.retired;
  }

  /** One reader more; the file stays open until as many `release` calls. */
  retain(): void {
    this.#file.retain();
  }

  release(): void {
    this.#file.release();
  }

  /** Resolves once the last reader is gone, the handles closed and the cache clean of it. */
  async retire(): Promise<void> {
    await this.#file.retire();
    this.#cache?.drop(this.info.fileId);
  }

  /** `retire` for a table that no manifest names: both copies go with their last reader. */
  async discard(): Promise<void> {
    await this.retire();
    for (const copy of FILE_COPIES) {
      try {
        await this.#fileSystem.unlink(this.pathOf(copy));
      } catch (error) {
        if (systemErrorCode(error) !== 'ENOENT') throw error;
      }
    }
  }

  /** For `TableScan`: a checked payload, from the cache or the disk. */
  async block(type: BlockType, place: BlockPlace): Promise<Buffer> {
    const { fileId } = this.info;
    const cached = this.#cache?.get(fileId, place.position);
    if (cached !== undefined) return cached;
    const payload = await this.#file.block(type, place);
    this.#cache?.set(fileId, place.position, payload);
    return payload;
  }

  #cached({ position }: BlockPlace): Buffer | undefined {
    return this.#cache?.get(this.info.fileId, position);
  }

  #dataPlace(index: RowBlock, key: Buffer): BlockPlace {
    const entry = index.firstAtOrAfter(key);
    if (entry === index.count) throw damaged(this.path, 0, 'root and index contradict');
    return decodeBlockPlace(index.row(entry).value, 0);
  }

  /** For `TableScan`: adjacent data blocks with one disk read, past the cache. */
  adjacentBlocks(places: readonly BlockPlace[]): Promise<Buffer[]> {
    return this.#file.adjacentBlocks(BLOCK_TYPES.tableData, places);
  }
}

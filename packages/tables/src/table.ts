/**
 * An open table: finds one key, scans a range, re-reads everything. FORMAT.md, "Table".
 *
 * Invariants
 * 1. Every block is checked when it comes from disk; damage rejects the one read with
 *    `CHECKSUM_MISMATCH` (file and position in its details) and nothing else.
 * 2. Resident are the root rows only, about 60 bytes per 8 192 rows; everything else
 *    passes through the block cache.
 * 3. A read in progress keeps the file open, also after `retire`.
 *
 * Owner: the shard's list of tables.
 */
import {
  BLOCK_HEADER_BYTES,
  BLOCK_TYPES,
  type BlockCodec,
  type BlockType,
  type FileSystem,
} from '@holdfast/core';
import type { BlockCache } from './block-cache.ts';
import { digestHolds, problemFrom } from './file-digest.ts';
import type { FileProblem } from './file-problem.ts';
import { filterMayHold, hashKey } from './key-filter.ts';
import type { Pace } from './pace.ts';
import { RowBlock } from './row-block.ts';
import type { KeyRange, Row } from './row.ts';
import { SharedFile } from './shared-file.ts';
import { damaged } from './storage-error.ts';
import {
  type BlockPlace,
  decodeBlockPlace,
  decodeTableFooter,
  decodeTableRoot,
  TABLE_FOOTER_PAYLOAD_BYTES,
  type TableFooter,
} from './table-format.ts';
import type { TableInfo } from './table-info.ts';
import { TableScan } from './table-scan.ts';

export interface TableComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  /** Without one, every read goes to disk: for work that passes by once. */
  readonly cache?: BlockCache;
}

const FOOTER_BYTES = BLOCK_HEADER_BYTES + TABLE_FOOTER_PAYLOAD_BYTES;

export class Table {
  readonly path: string;
  readonly info: TableInfo;
  readonly #file: SharedFile;
  readonly #codec: BlockCodec;
  readonly #cache: BlockCache | undefined;
  readonly #root: RowBlock;

  private constructor(
    components: TableComponents,
    file: SharedFile,
    info: TableInfo,
    root: RowBlock,
  ) {
    this.path = file.path;
    this.info = info;
    this.#file = file;
    this.#codec = components.codec;
    this.#cache = components.cache;
    this.#root = root;
  }

  /**
   * Rejects with `FILE_MISSING`, or `CHECKSUM_MISMATCH` when the file is not the one `info`
   * speaks of. Data blocks are not looked at yet.
   */
  static async open(components: TableComponents, path: string, info: TableInfo): Promise<Table> {
    const file = await SharedFile.open(components.fileSystem, path, info.bytes);
    try {
      const { codec } = components;
      const footerAt = info.bytes - FOOTER_BYTES;
      if (footerAt < 0) throw damaged(path, 0, 'it is too short for a table');
      const footerBlock = await file.read(footerAt, FOOTER_BYTES);
      const footer = decodeTableFooter(
        codec.decode(footerBlock, 0, {
          type: BLOCK_TYPES.tableFooter,
          fileId: info.fileId,
          position: footerAt,
          path,
        }),
        path,
      );
      const { position, payloadLength } = footer.root;
      if (position + BLOCK_HEADER_BYTES + payloadLength !== footerAt) {
        throw damaged(path, footerAt, 'the root does not end at the footer');
      }
      const rootBlock = await file.read(position, BLOCK_HEADER_BYTES + payloadLength);
      const root = decodeTableRoot(
        codec.decode(rootBlock, 0, {
          type: BLOCK_TYPES.tableIndex,
          fileId: info.fileId,
          position,
          path,
        }),
      );
      const groups = new RowBlock(root.groups);
      assertSameTable(path, footerAt, info, footer, root.firstKey, groups);
      return new Table(components, file, info, groups);
    } catch (error) {
      await file.retire();
      throw error;
    }
  }

  /** A row with value `undefined` is a tombstone; `undefined` says this table knows nothing. */
  async get(key: Buffer): Promise<Row | undefined> {
    if (Buffer.compare(key, this.info.firstKey) < 0) return undefined;
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
      const entry = index.firstAtOrAfter(key);
      if (entry === index.count) throw damaged(this.path, 0, 'root and index contradict');
      const place = decodeBlockPlace(index.row(entry).value, 0);
      return new RowBlock(await this.block(BLOCK_TYPES.tableData, place)).get(key);
    } finally {
      this.#file.release();
    }
  }

  /** Rows in key order, tombstones included. Nothing is read before the first `next`. */
  scan(range: KeyRange = {}): TableScan {
    return new TableScan(this, this.#root, range);
  }

  /** Re-reads every byte; says where it is damaged. Rejects only when it cannot go on. */
  async verify(onProblem: (problem: FileProblem) => void, pace?: Pace): Promise<void> {
    this.#file.retain();
    try {
      if (await digestHolds(this.#file, this.info, pace)) return;
    } catch (error) {
      onProblem(problemFrom(error, this.path, 0));
      return;
    } finally {
      this.#file.release();
    }
    // The digest says that something is wrong; the checksums of the blocks say where.
    let found = 0;
    const count = (problem: FileProblem): void => {
      found++;
      onProblem(problem);
    };
    for (let group = 0; group < this.#root.count; group++) {
      await this.#verifyGroup(group, count, pace);
    }
    if (found === 0) onProblem({ path: this.path, position: 0, message: 'file digest differs' });
  }

  /** One reader more; the file stays open until as many `release` calls. */
  retain(): void {
    this.#file.retain();
  }

  release(): void {
    this.#file.release();
  }

  /** Resolves once the last reader is gone, the handle closed and the cache clean of it. */
  async retire(): Promise<void> {
    await this.#file.retire();
    this.#cache?.drop(this.info.fileId);
  }

  /** For `TableScan`: a checked payload, from the cache or the disk. */
  async block(type: BlockType, place: BlockPlace): Promise<Buffer> {
    const { fileId } = this.info;
    const cached = this.#cache?.get(fileId, place.position);
    if (cached !== undefined) return cached;
    const payload = await this.#readBlock(type, place);
    this.#cache?.set(fileId, place.position, payload);
    return payload;
  }

  /** For `TableScan`: adjacent data blocks with one disk read, past the cache. */
  async adjacentBlocks(places: readonly BlockPlace[]): Promise<Buffer[]> {
    const start = (places[0] as BlockPlace).position;
    const last = places.at(-1) as BlockPlace;
    const end = last.position + BLOCK_HEADER_BYTES + last.payloadLength;
    const bytes = await this.#readWithin(start, end - start);
    return places.map((place) =>
      this.#decode(bytes, place.position - start, BLOCK_TYPES.tableData, place),
    );
  }

  async #readBlock(type: BlockType, place: BlockPlace): Promise<Buffer> {
    const bytes = await this.#readWithin(place.position, BLOCK_HEADER_BYTES + place.payloadLength);
    return this.#decode(bytes, 0, type, place);
  }

  #readWithin(position: number, length: number): Promise<Buffer> {
    if (position + length > this.info.bytes) throw damaged(this.path, position, 'index points out');
    return this.#file.read(position, length);
  }

  #decode(bytes: Buffer, at: number, type: BlockType, place: BlockPlace): Buffer {
    const { position, payloadLength } = place;
    const payload = this.#codec.decode(bytes, at, {
      type,
      fileId: this.info.fileId,
      position,
      path: this.path,
    });
    if (payload.length !== payloadLength) throw damaged(this.path, position, 'a block is shorter');
    return payload;
  }

  async #verifyGroup(
    group: number,
    onProblem: (problem: FileProblem) => void,
    pace: Pace | undefined,
  ): Promise<void> {
    this.#file.retain();
    try {
      const places = this.#root.row(group).value;
      await this.#verifyBlock(BLOCK_TYPES.tableFilter, decodeBlockPlace(places, 1), onProblem);
      const indexPlace = decodeBlockPlace(places, 0);
      const payload = await this.#verifyBlock(BLOCK_TYPES.tableIndex, indexPlace, onProblem);
      if (payload === undefined) return;
      const index = new RowBlock(payload);
      for (let entry = 0; entry < index.count; entry++) {
        const place = decodeBlockPlace(index.row(entry).value, 0);
        await this.#verifyBlock(BLOCK_TYPES.tableData, place, onProblem);
        await pace?.(place.payloadLength);
      }
    } finally {
      this.#file.release();
    }
  }

  async #verifyBlock(
    type: BlockType,
    place: BlockPlace,
    onProblem: (problem: FileProblem) => void,
  ): Promise<Buffer | undefined> {
    try {
      return await this.#readBlock(type, place);
    } catch (error) {
      onProblem(problemFrom(error, this.path, place.position));
      return undefined;
    }
  }
}

function assertSameTable(
  path: string,
  footerAt: number,
  info: TableInfo,
  footer: TableFooter,
  firstKey: Buffer,
  groups: RowBlock,
): void {
  const same =
    footer.rows === info.rows &&
    footer.tombstones === info.tombstones &&
    footer.firstLsn === info.firstLsn &&
    footer.lastLsn === info.lastLsn &&
    groups.count > 0 &&
    firstKey.equals(info.firstKey) &&
    groups.row(groups.count - 1).key.equals(info.lastKey);
  if (!same) throw damaged(path, footerAt, 'it is not the table the manifest names');
}

/**
 * The blocks of one table and the two copies they rest in: reads them, checks whole copies,
 * and makes a copy anew from whatever is good of both. FORMAT.md, "Table".
 *
 * Invariants
 * 1. Every block is checked when it comes from disk. One that fails in one copy is read from the
 *    other; only a block that is damaged in both rejects, with `CHECKSUM_MISMATCH`.
 * 2. A copy made anew gets its name only when the digest of all of it is the manifest's, and it
 *    is synced: neither a crash nor a mistake puts a worse file in the place of a better one.
 * 3. After `retire` was called no file gets a name any more.
 *
 * Owner: the `Table` around it.
 */
import {
  BLOCK_HEADER_BYTES,
  BLOCK_TYPES,
  type BlockCodec,
  type BlockType,
  type FileSystem,
  HoldfastError,
} from '@holdfast/core';
import { putCopy, type RebuildOptions } from './copy-file.ts';
import { type CopyState, copyStateAfter, digestHolds, problemFrom } from './file-digest.ts';
import type { FileProblem } from './file-problem.ts';
import {
  type DamageListener,
  FILE_COPIES,
  type FileCopy,
  isUnreadable,
  MirroredFile,
} from './mirrored-file.ts';
import type { Pace } from './pace.ts';
import { RowBlock } from './row-block.ts';
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

interface Components {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly onDamage?: DamageListener;
}

interface TypedPlace extends BlockPlace {
  readonly type: BlockType;
}

const FOOTER_BYTES = BLOCK_HEADER_BYTES + TABLE_FOOTER_PAYLOAD_BYTES;

export class TableFile {
  readonly info: TableInfo;
  readonly #fileSystem: FileSystem;
  readonly #codec: BlockCodec;
  readonly #file: MirroredFile;
  #footerPlace: TypedPlace;
  #rootPlace: TypedPlace;
  #root: RowBlock | undefined;

  private constructor(components: Components, file: MirroredFile, info: TableInfo) {
    this.info = info;
    this.#fileSystem = components.fileSystem;
    this.#codec = components.codec;
    this.#file = file;
    this.#footerPlace = {
      type: BLOCK_TYPES.tableFooter,
      position: info.bytes - FOOTER_BYTES,
      payloadLength: TABLE_FOOTER_PAYLOAD_BYTES,
    };
    this.#rootPlace = this.#footerPlace;
  }

  static async open(components: Components, path: string, info: TableInfo): Promise<TableFile> {
    const { fileSystem, onDamage } = components;
    if (info.bytes < FOOTER_BYTES) throw damaged(path, 0, 'it is too short for a table');
    const file = await MirroredFile.open(fileSystem, path, info.bytes, onDamage);
    try {
      const table = new TableFile(components, file, info);
      await table.#readRoot();
      return table;
    } catch (error) {
      await file.retire();
      throw error;
    }
  }

  /** Of the original. */
  get path(): string {
    return this.#file.path;
  }

  /** One row per group. */
  get root(): RowBlock {
    return this.#root as RowBlock;
  }

  /** A checked payload. */
  block(type: BlockType, place: BlockPlace): Promise<Buffer> {
    return this.#read({ type, ...place }, (payload) => payload);
  }

  /** Adjacent blocks of one type, with one disk read when they are whole. */
  async adjacentBlocks(type: BlockType, places: readonly BlockPlace[]): Promise<Buffer[]> {
    const start = (places[0] as BlockPlace).position;
    const last = places.at(-1) as BlockPlace;
    const length = last.position + BLOCK_HEADER_BYTES + last.payloadLength - start;
    this.#assertInside(start, length);
    try {
      return await this.#file.read(start, length, (bytes, path) =>
        places.map((place) =>
          this.#decode(bytes, place.position - start, { type, ...place }, path),
        ),
      );
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      const blocks: Buffer[] = []; // each copy may hold what the other lacks, or cannot give out
      for (const place of places) blocks.push(await this.block(type, place));
      return blocks;
    }
  }

  /** Re-reads every byte of the copies that are there; says where they are damaged. */
  async verify(onProblem: (problem: FileProblem) => void, pace?: Pace): Promise<void> {
    for (const copy of FILE_COPIES) {
      try {
        const state = await this.check(copy, pace);
        if (state === 'missing' && copy === 'original') {
          onProblem({ path: this.path, position: 0, message: 'file is not there' });
        } else if (state === 'damaged') {
          await this.locate(copy, onProblem, pace);
        }
      } catch (error) {
        onProblem(problemFrom(error, this.#file.pathOf(copy), 0));
      }
    }
  }

  /**
   * Re-reads every byte of one copy, under the name it has now. Rejects when it cannot tell. What is
   * open stays open unless the copy is whole: it may be all there is of a copy that lost its name.
   */
  async check(copy: FileCopy, pace?: Pace): Promise<CopyState> {
    let file: SharedFile | undefined;
    this.#file.retain();
    try {
      file = await SharedFile.open(this.#fileSystem, this.#file.pathOf(copy));
      if (file.sizeProblem(this.info.bytes) !== undefined) return 'damaged';
      if (!(await digestHolds(file, this.info, pace))) return 'damaged';
      if (this.#file.adopt(copy, file)) file = undefined;
      return 'whole';
    } catch (error) {
      return copyStateAfter(error);
    } finally {
      await file?.retire();
      this.#file.release();
    }
  }

  pathOf(copy: FileCopy): string {
    return this.#file.pathOf(copy);
  }

  /**
   * Makes a copy anew from the whole blocks of both. Rejects with effect `none`: with a corrupt
   * code when a block is damaged in both, with `CLOSED` when the table was retired meanwhile.
   */
  async rebuild(copy: FileCopy, options: RebuildOptions): Promise<void> {
    const path = this.#file.pathOf(copy);
    const { digest } = this.info;
    const assertWanted = (): void => this.#assertNamed(path); // I3
    this.#file.retain();
    try {
      await putCopy(
        this.#fileSystem,
        { path, digest }, // I2
        options,
        (append) => this.#copyBlocks(append),
        assertWanted,
      );
      await this.#file.reopen(copy);
    } finally {
      this.#file.release();
    }
  }

  /** The key that the file is under, 0 when it is not encrypted, as its first block says. */
  keyId(): Promise<number> {
    return this.#file.read(0, BLOCK_HEADER_BYTES, (bytes, path) => {
      const header = this.#codec.peekHeader(bytes, 0);
      if (header === undefined) throw damaged(path, 0, 'its first block is damaged');
      return header.keyId;
    });
  }

  get retired(): boolean {
    return this.#file.retired;
  }

  retain(): void {
    this.#file.retain();
  }

  release(): void {
    this.#file.release();
  }

  retire(): Promise<void> {
    return this.#file.retire();
  }

  async #readRoot(): Promise<void> {
    const { info } = this;
    const footerAt = this.#footerPlace.position;
    const footer = await this.#read(this.#footerPlace, decodeTableFooter);
    const { position, payloadLength } = footer.root;
    if (position + BLOCK_HEADER_BYTES + payloadLength !== footerAt) {
      throw damaged(this.path, footerAt, 'the root does not end at the footer');
    }
    this.#rootPlace = { type: BLOCK_TYPES.tableIndex, ...footer.root };
    this.#root = await this.#read(this.#rootPlace, (payload, path) => {
      const root = decodeTableRoot(payload);
      const groups = new RowBlock(root.groups);
      assertSameTable(path, footerAt, info, footer, root.firstKey, groups);
      return groups;
    });
  }

  #read<Value>(place: TypedPlace, check: (payload: Buffer, path: string) => Value): Promise<Value> {
    const length = BLOCK_HEADER_BYTES + place.payloadLength;
    this.#assertInside(place.position, length);
    return this.#file.read(place.position, length, (bytes, path) =>
      check(this.#decode(bytes, 0, place, path), path),
    );
  }

  #decode(bytes: Buffer, at: number, place: TypedPlace, path: string): Buffer {
    const { type, position, payloadLength } = place;
    const payload = this.#codec.decode(bytes, at, {
      type,
      fileId: this.info.fileId,
      position,
      path,
    });
    if (payload.length !== payloadLength) throw damaged(path, position, 'a block is shorter');
    return payload;
  }

  #assertInside(position: number, length: number): void {
    if (position + length > this.info.bytes) throw damaged(this.path, position, 'index points out');
  }

  /** Every block in the order of the file. Rejects when an index is lost in both copies. */
  async *#places(): AsyncGenerator<TypedPlace, void, undefined> {
    for (let group = 0; group < this.root.count; group++) {
      const places = this.root.row(group).value;
      const indexPlace = decodeBlockPlace(places, 0);
      const index = new RowBlock(await this.block(BLOCK_TYPES.tableIndex, indexPlace));
      for (let entry = 0; entry < index.count; entry++) {
        yield { type: BLOCK_TYPES.tableData, ...decodeBlockPlace(index.row(entry).value, 0) };
      }
      yield { type: BLOCK_TYPES.tableFilter, ...decodeBlockPlace(places, 1) };
      yield { type: BLOCK_TYPES.tableIndex, ...indexPlace };
    }
    yield this.#rootPlace;
    yield this.#footerPlace;
  }

  async #copyBlocks(append: (bytes: Buffer) => Promise<void>): Promise<void> {
    for await (const place of this.#places()) {
      const length = BLOCK_HEADER_BYTES + place.payloadLength;
      this.#assertInside(place.position, length);
      const block = await this.#file.read(place.position, length, (bytes, path) => {
        this.#decode(bytes, 0, place, path);
        return bytes;
      });
      await append(block);
    }
  }

  /** The digest says that something is wrong; the checksums of the blocks say where. */
  async locate(
    copy: FileCopy,
    onProblem: (problem: FileProblem) => void,
    pace?: Pace,
  ): Promise<void> {
    const path = this.#file.pathOf(copy);
    let found = 0;
    this.#file.retain();
    try {
      for await (const place of this.#places()) {
        const { position, payloadLength } = place;
        const length = BLOCK_HEADER_BYTES + payloadLength;
        try {
          this.#decode(await this.#file.readCopy(copy, position, length), 0, place, path);
        } catch (error) {
          found++;
          onProblem(problemFrom(error, path, position));
        }
        await pace?.(length);
      }
    } finally {
      this.#file.release();
    }
    if (found === 0) onProblem({ path, position: 0, message: 'file digest differs' });
  }

  /** I3. Whoever retired it waits for readers, of which this is one, before it unlinks the names. */
  #assertNamed(path: string): void {
    if (this.#file.retired) throw new HoldfastError('CLOSED', `file was retired path=${path}`);
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

/**
 * Checked block payloads in memory, least recently used first out.
 *
 * Invariants
 * 1. `bytes` is the sum of the lengths of what is held and never exceeds `maxBytes` when
 *    `set` returns; a payload larger than that is not taken.
 * 2. A payload is held only after its checksum held, and never changes.
 * 3. File ids are never used twice in a database, so an entry never goes stale.
 *
 * Owner: the database; every open table and extent file holds a handle.
 */
interface Entry {
  readonly fileId: number;
  readonly position: number;
  readonly payload: Buffer;
  newer: Entry | undefined;
  older: Entry | undefined;
}

export class BlockCache {
  readonly #maxBytes: number;
  readonly #files = new Map<number, Map<number, Entry>>();
  #newest: Entry | undefined;
  #oldest: Entry | undefined;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(fileId: number, position: number): Buffer | undefined {
    const entry = this.#files.get(fileId)?.get(position);
    if (entry === undefined) return undefined;
    if (entry !== this.#newest) {
      this.#unlink(entry);
      this.#linkNewest(entry);
    }
    return entry.payload;
  }

  /** `get` for a reader that passes by and will not come back: the entry goes. */
  take(fileId: number, position: number): Buffer | undefined {
    const entry = this.#files.get(fileId)?.get(position);
    if (entry === undefined) return undefined;
    this.#remove(entry);
    return entry.payload;
  }

  /** @param payload should be alone in its memory: a view pins more than is counted. */
  set(fileId: number, position: number, payload: Buffer): void {
    if (payload.length > this.#maxBytes) return;
    let blocks = this.#files.get(fileId);
    const known = blocks?.get(position);
    if (known !== undefined) this.#remove(known);
    blocks = this.#files.get(fileId);
    if (blocks === undefined) {
      blocks = new Map();
      this.#files.set(fileId, blocks);
    }
    const entry: Entry = { fileId, position, payload, newer: undefined, older: undefined };
    blocks.set(position, entry);
    this.#bytes += payload.length;
    this.#linkNewest(entry);
    while (this.#bytes > this.#maxBytes && this.#oldest !== undefined) this.#remove(this.#oldest);
  }

  /** Forgets all blocks of a file. */
  drop(fileId: number): void {
    const blocks = this.#files.get(fileId);
    if (blocks === undefined) return;
    this.#files.delete(fileId);
    for (const entry of blocks.values()) {
      this.#unlink(entry);
      this.#bytes -= entry.payload.length;
    }
  }

  #remove(entry: Entry): void {
    const blocks = this.#files.get(entry.fileId);
    blocks?.delete(entry.position);
    if (blocks?.size === 0) this.#files.delete(entry.fileId);
    this.#unlink(entry);
    this.#bytes -= entry.payload.length;
  }

  #unlink(entry: Entry): void {
    if (entry.newer === undefined) this.#newest = entry.older;
    else entry.newer.older = entry.older;
    if (entry.older === undefined) this.#oldest = entry.newer;
    else entry.older.newer = entry.newer;
    entry.newer = undefined;
    entry.older = undefined;
  }

  #linkNewest(entry: Entry): void {
    entry.older = this.#newest;
    if (this.#newest !== undefined) this.#newest.newer = entry;
    this.#newest = entry;
    this.#oldest ??= entry;
  }
}

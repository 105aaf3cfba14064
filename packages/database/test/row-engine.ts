/**
 * The smallest engine there can be: a map from text to bytes. Small values rest in rows, larger
 * ones in extents that leave memory at the checkpoint. For tests and simulation.
 */
import { ByteReader, ByteWriter, type HoldfastError, type Lsn, type ShardId } from '@holdfast/core';
import { RECORD_RANGES, REQUIRED_RECORD } from '@holdfast/log';
import { decodeExtentRef, encodeExtentRef, type ExtentRef } from '@holdfast/tables';
import type {
  CollectingShard,
  CommitOptions,
  DamagedRow,
  Engine,
  EngineHost,
  MovedExtent,
  Operation,
  Shard,
} from '../src/index.ts';

const PUT = RECORD_RANGES.test | REQUIRED_RECORD;
const DELETE = (RECORD_RANGES.test + 1) | REQUIRED_RECORD;
const EXTENT_FROM_BYTES = 64;

export interface RowOperation extends Operation {
  readonly key: string;
  readonly value?: Buffer;
}

interface Entry {
  value: Buffer | undefined;
  ref: ExtentRef | undefined;
  inline: boolean;
}

export class RowEngine implements Engine<RowOperation> {
  readonly name = 'rows';
  readonly recordTypes = [PUT, DELETE];
  #host: EngineHost | undefined;
  readonly #entries = new Map<string, Entry>();
  readonly #dirty = new Map<string, Entry | undefined>();
  readonly #resting = new Map<string, Entry>();
  discards = 0;

  get host(): EngineHost {
    if (this.#host === undefined) throw new Error('not attached');
    return this.#host;
  }

  attach(host: EngineHost): void {
    this.#host = host;
  }

  /** One atomic change; `undefined` deletes. Resolves once visible. */
  write(changes: ReadonlyMap<string, Buffer | undefined>, options?: CommitOptions): Promise<Lsn> {
    const operations = [...changes].map(([key, value]): RowOperation => {
      const shard = this.host.shardOf(key);
      return value === undefined ? { type: DELETE, shard, key } : { type: PUT, shard, key, value };
    });
    return new Promise((resolve, reject: (error: HoldfastError) => void) => {
      this.host.commit(operations, { visible: resolve, failed: reject }, options);
    });
  }

  keys(): string[] {
    return [...this.#entries.keys()].sort();
  }

  async get(key: string): Promise<Buffer | undefined> {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.value !== undefined) return entry.value;
    const shard = this.host.shard(this.host.shardOf(key));
    if (entry.ref !== undefined) {
      return Buffer.concat(await shard.readExtent(entry.ref, 0, entry.ref.length));
    }
    return shard.get(inlineKey(key));
  }

  encode(operation: RowOperation): Uint8Array[] {
    const key = new ByteWriter().string(operation.key).finish();
    return operation.value === undefined ? [key] : [key, operation.value];
  }

  decode(type: number, shard: ShardId, payload: Buffer): RowOperation {
    const reader = new ByteReader(payload);
    const key = reader.string();
    return type === DELETE
      ? { type, shard, key }
      : { type, shard, key, value: reader.raw(reader.remaining) };
  }

  apply(operation: RowOperation): void {
    const before = this.#entries.get(operation.key);
    if (!this.#dirty.has(operation.key)) this.#dirty.set(operation.key, before);
    if (operation.value === undefined) {
      this.#entries.delete(operation.key);
      return;
    }
    this.#entries.set(operation.key, {
      value: operation.value,
      ref: undefined,
      inline: operation.value.length < EXTENT_FROM_BYTES,
    });
  }

  settled(): void {}

  discardPlanned(): void {
    this.discards++;
  }

  async load(shard: Shard): Promise<void> {
    for await (const { key, value } of shard.scan({})) {
      const name = key.subarray(1).toString();
      const inline = key[0] === INLINE;
      this.#entries.set(name, {
        value: inline ? value : undefined,
        ref: inline ? undefined : decodeExtentRef(value),
        inline,
      });
    }
  }

  opened(): void {}

  collect(shard: CollectingShard): void {
    for (const [key, before] of this.#dirty) {
      if (this.host.shardOf(key) !== shard.id) continue;
      this.#dirty.delete(key);
      if (before !== undefined) this.#drop(shard, key, before);
      const entry = this.#entries.get(key);
      if (entry === undefined) continue;
      const value = entry.value as Buffer;
      if (entry.inline) {
        shard.put(inlineKey(key), value);
      } else {
        entry.ref = shard.writeExtent(extentKey(key), [value]);
        shard.put(extentKey(key), encodeExtentRef(entry.ref));
        this.#resting.set(key, entry);
      }
    }
  }

  checkpointed(shard: Shard): void {
    for (const [key, entry] of this.#resting) {
      if (this.host.shardOf(key) !== shard.id) continue;
      this.#resting.delete(key);
      entry.value = undefined;
    }
  }

  extentsMoved(_shard: Shard, moves: readonly MovedExtent[]): void {
    for (const { owner, to } of moves) {
      const entry = this.#entries.get(owner.subarray(1).toString());
      if (entry?.ref !== undefined) entry.ref = to;
    }
  }

  identityOf(key: Buffer): string | undefined {
    const name = key.subarray(1).toString();
    return this.#entries.has(name) ? name : undefined;
  }

  extentOf(key: Buffer, value: Buffer): ExtentRef | undefined {
    return key[0] === EXTENT ? decodeExtentRef(value) : undefined;
  }

  /** The last value of each key that the log has, if it may be the one of the row. */
  async restoreExtents(
    rows: readonly DamagedRow[],
    history: () => AsyncIterable<Operation>,
  ): Promise<(readonly Buffer[] | undefined)[]> {
    const last = new Map<string, Buffer | undefined>();
    for await (const operation of history()) {
      const { key, value } = operation as RowOperation;
      last.set(key, value);
    }
    return rows.map((row) => {
      const value = last.get(row.key.subarray(1).toString());
      if (value?.length !== decodeExtentRef(row.value).length) return undefined;
      return row.holes.map(({ from, to }) => value.subarray(from, to));
    });
  }

  #drop(shard: CollectingShard, key: string, before: Entry): void {
    if (before.inline) {
      shard.delete(inlineKey(key));
    } else {
      shard.delete(extentKey(key));
      if (before.ref !== undefined) shard.freeExtent(before.ref);
    }
  }
}

const INLINE = 'i'.charCodeAt(0);
const EXTENT = 'e'.charCodeAt(0);

function inlineKey(key: string): Buffer {
  return Buffer.from(`i${key}`);
}

function extentKey(key: string): Buffer {
  return Buffer.from(`e${key}`);
}

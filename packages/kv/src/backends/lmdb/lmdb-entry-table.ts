/**
 * Rows of entries in an LMDB file: FORMAT.md, "Entries in LMDB".
 *
 * Invariants
 * 1. Nobody else has the folder of the file open: its lock is held.
 * 2. `#created` and `#due` name every entry by its place of creation and by its expiry; they may name
 *    more than there is, and what they name is looked at before it counts.
 * 3. LMDB checks nothing: the file's length is looked at before it is mapped, the head and each entry
 *    have checksums of their own.
 * 4. Once a flush failed nothing is written any more: what is on the disk is unknown.
 *
 * Every call runs within the turn: a commit takes about as long as a sync of the disk.
 */
import { crc32c, type DirectoryLock, type FileSystem, HoldfastError, LIMITS } from '@holdfast/core';
import type { EntryFacts } from '../../decide-write.ts';
import type { CreatedPlace, KeyInterval } from '../../kv-backend.ts';
import type { KvCapabilities } from '../../kv-store.ts';
import { factsOrDamage, openEntry } from '../stored-entry.ts';
import type {
  DueEntries,
  EntryTable,
  RowsWanted,
  TableChange,
  TableHead,
  TablePut,
  TableRow,
  TableState,
} from '../table/entry-table.ts';
import { type LmdbDatabase, type LmdbEnvironment, openLmdb } from './lmdb-driver.ts';
import { lmdbError } from './lmdb-errors.ts';
import { checkLmdbFile } from './lmdb-file-check.ts';

/** LMDB's own bound, less the number before a key in the other orders. */
const MAX_KEY_BYTES = 1_970;
const FORMAT = 1;
const HEAD = Buffer.from('head');
const HEAD_BYTES = 24;
const NUMBER_BYTES = 8;
const NOTHING = Buffer.from([0]);
const BINARY = { keyEncoding: 'binary', encoding: 'binary' } as const;
const NEW: TableHead = { next: 1, epoch: 0 };

export class LmdbEntryTable implements EntryTable {
  readonly capabilities: KvCapabilities = {
    atomicBatch: true,
    compareAndSet: true,
    createdOrder: true,
    ttl: true,
    watch: true,
    stamps: true,
    anyText: true,
    durability: 'power',
    evicts: false,
    retries: false,
    maxKeyBytes: MAX_KEY_BYTES,
    maxValueBytes: LIMITS.maxEntryValueBytes,
    maxBatchOperations: LIMITS.maxTransactionOperations,
    maxBatchBytes: LIMITS.maxEntryBatchBytes,
  };
  readonly #environment: LmdbEnvironment;
  readonly #lock: DirectoryLock;
  readonly #head: LmdbDatabase;
  readonly #entries: LmdbDatabase;
  readonly #created: LmdbDatabase;
  readonly #due: LmdbDatabase;
  #closed = false;
  #failed: HoldfastError | undefined;

  private constructor(environment: LmdbEnvironment, lock: DirectoryLock) {
    this.#environment = environment;
    this.#lock = lock;
    this.#head = environment.openDB({ name: 'head', ...BINARY });
    this.#entries = environment.openDB({ name: 'entries', ...BINARY });
    this.#created = environment.openDB({ name: 'created', ...BINARY });
    this.#due = environment.openDB({ name: 'due', ...BINARY });
  }

  static async open(
    fileSystem: FileSystem,
    path: string,
    lock: DirectoryLock,
  ): Promise<LmdbEntryTable> {
    await checkLmdbFile(fileSystem, path); // I3
    const environment = await openLmdb(path);
    return lmdb(() => new LmdbEntryTable(environment, lock));
  }

  async load(keys: readonly string[]): Promise<TableState> {
    return this.#ask(() => {
      const entries = new Map<string, EntryFacts | Error>();
      for (const key of keys) {
        const bytes = this.#entries.getBinary(Buffer.from(key));
        if (bytes !== undefined)
          entries.set(
            key,
            factsOrDamage(() => openEntry(key, bytes)),
          );
      }
      return { head: this.#readHead(), entries };
    });
  }

  async commit({ expected, head, puts, dels }: TableChange): Promise<boolean> {
    const done = this.#ask(() => {
      const now = this.#readHead();
      if (now.next !== expected.next || now.epoch !== expected.epoch) return false;
      this.#environment.transactionSync(() => {
        for (const key of dels) {
          this.#forget(key);
          this.#entries.removeSync(Buffer.from(key));
        }
        for (const put of puts) this.#put(put);
        this.#head.putSync(HEAD, encodeHead(head));
      });
      return true;
    });
    if (done) await this.#flush();
    return done;
  }

  async read(key: string): Promise<Buffer | undefined> {
    return this.#ask(() => this.#entries.getBinary(Buffer.from(key)));
  }

  async range({ from, to }: KeyInterval, wanted: RowsWanted): Promise<readonly TableRow[]> {
    return this.#ask(() => {
      const low = Buffer.from(from);
      const high = to === undefined ? {} : { [wanted.reverse ? 'start' : 'end']: Buffer.from(to) };
      const range = wanted.reverse
        ? { ...high, end: low, reverse: true, exclusiveStart: to !== undefined, inclusiveEnd: true }
        : { start: low, ...high };
      const taken: TableRow[] = [];
      let size = 0;
      for (const { key, value } of this.#entries.getRange({ ...range, limit: wanted.entries })) {
        size += value.length;
        if (taken.length > 0 && size > wanted.bytes) break;
        taken.push({ key: key.toString('utf8'), bytes: Buffer.from(value) });
      }
      return taken;
    });
  }

  async created(
    behind: CreatedPlace | undefined,
    wanted: RowsWanted,
  ): Promise<readonly TableRow[]> {
    return this.#ask(() => {
      const { reverse } = wanted;
      const start = behind === undefined ? {} : { start: numbered(behind.seq, behind.key) };
      const range = { ...start, reverse: !reverse, exclusiveStart: behind !== undefined };
      const taken: TableRow[] = [];
      let size = 0;
      for (const { key: place } of this.#created.getRange(range)) {
        const key = place.toString('utf8', NUMBER_BYTES);
        const bytes = this.#entries.getBinary(Buffer.from(key));
        if (bytes === undefined || seqOf(key, bytes) !== numberOf(place)) continue; // I2
        size += bytes.length;
        if (taken.length > 0 && size > wanted.bytes) break;
        taken.push({ key, bytes });
        if (taken.length >= wanted.entries) break;
      }
      return taken;
    });
  }

  async due(nowMs: number, limit: number): Promise<DueEntries> {
    return this.#ask(() => {
      const keys: string[] = [];
      const stale: Buffer[] = [];
      let nextMs: number | undefined;
      for (const { key: place } of this.#due.getRange({ limit: limit + 1 })) {
        const atMs = numberOf(place);
        if (atMs > nowMs || keys.length + stale.length >= limit) {
          nextMs = atMs;
          break;
        }
        const key = place.toString('utf8', NUMBER_BYTES);
        const bytes = this.#entries.getBinary(Buffer.from(key));
        const facts = bytes === undefined ? undefined : factsOrDamage(() => openEntry(key, bytes));
        if (facts !== undefined && 'expiresAtMs' in facts && facts.expiresAtMs === atMs) {
          keys.push(key);
        } else stale.push(Buffer.from(place));
      }
      if (stale.length > 0) {
        this.#environment.transactionSync(() => {
          for (const place of stale) this.#due.removeSync(place);
        });
      }
      return { keys, nextMs };
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    try {
      await this.#environment.close();
    } finally {
      await this.#lock.release();
    }
  }

  #put({ key, facts, bytes }: TablePut): void {
    this.#forget(key);
    this.#entries.putSync(Buffer.from(key), bytes);
    this.#created.putSync(numbered(facts.seq, key), NOTHING);
    const { expiresAtMs } = facts;
    if (expiresAtMs !== undefined) this.#due.putSync(numbered(expiresAtMs, key), NOTHING);
  }

  /** The places of an entry that goes, if they can still be read from it. I2. */
  #forget(key: string): void {
    const bytes = this.#entries.getBinary(Buffer.from(key));
    if (bytes === undefined) return;
    const facts = factsOrDamage(() => openEntry(key, bytes));
    if (facts instanceof Error) return;
    this.#created.removeSync(numbered(facts.seq, key));
    const { expiresAtMs } = facts;
    if (expiresAtMs !== undefined) this.#due.removeSync(numbered(expiresAtMs, key));
  }

  async #flush(): Promise<void> {
    try {
      await this.#environment.flushed;
    } catch (cause) {
      const options = { cause, effect: 'unknown' as const };
      this.#failed = new HoldfastError('STORAGE_UNAVAILABLE', 'a flush of LMDB failed', options); // I4
      throw this.#failed;
    }
  }

  #readHead(): TableHead {
    const bytes = this.#head.getBinary(HEAD);
    return bytes === undefined ? NEW : decodeHead(bytes);
  }

  #ask<T>(act: () => T): T {
    if (this.#failed !== undefined) throw this.#failed;
    if (this.#closed) throw new HoldfastError('CLOSED', 'the store is closed');
    return lmdb(act);
  }
}

function lmdb<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw lmdbError(error);
  }
}

function encodeHead({ next, epoch }: TableHead): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32LE(FORMAT, 0);
  head.writeBigUInt64LE(BigInt(next), 4);
  head.writeBigUInt64LE(BigInt(epoch), 12);
  head.writeUInt32LE(crc32c(head.subarray(0, 20)), 20);
  return head;
}

function decodeHead(head: Buffer): TableHead {
  if (head.length !== HEAD_BYTES || head.readUInt32LE(20) !== crc32c(head.subarray(0, 20))) {
    throw new HoldfastError('CHECKSUM_MISMATCH', 'the head of the store is damaged');
  }
  const format = head.readUInt32LE(0);
  if (format !== FORMAT) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `the store was written by another format version, upgrade holdfast version=${format}`,
    );
  }
  return { next: Number(head.readBigUInt64LE(4)), epoch: Number(head.readBigUInt64LE(12)) };
}

function numbered(number: number, key: string): Buffer {
  const name = Buffer.from(key);
  const place = Buffer.alloc(NUMBER_BYTES + name.length);
  place.writeBigUInt64BE(BigInt(number), 0);
  name.copy(place, NUMBER_BYTES);
  return place;
}

function numberOf(place: Buffer): number {
  return Number(place.readBigUInt64BE(0));
}

/** A damaged entry is not left out of the order: whoever takes it finds out. */
function seqOf(key: string, bytes: Buffer): number {
  return openEntry(key, bytes).seq;
}

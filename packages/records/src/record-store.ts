/**
 * The contract of what a peer keeps of records. There are two of them, of one kind: the *local* store
 * has the records that were created or opened here, for as long as nobody deletes them; the *remote*
 * store has what this peer keeps for others, within bounds. Both are kept on a `KvStore`
 * (`openRecordStore`): local in a durable tier, remote in the primary one.
 *
 * Contents
 * 1. A record is its descriptor, the newest value of each subkey, and a detail that only its owner
 *    reads. Descriptors and values were verified before they come here, as their types say; the
 *    store looks at neither signatures nor schemas again.
 * 2. The newest value wins, always (`compareValues`): a value that does not win over the one that is
 *    there, or over the floor of its subkey, changes nothing, on every path, after every restart.
 * 3. The floor of a subkey is the highest sequence number that was ever stored in it, with the digest of
 *    its value. It stays when values, or the whole record, are evicted, until `maxSequenceFloors`
 *    of other records came after it; `delete` of a local record keeps it as well.
 * 4. A record and its values come and go together: a reader never sees a record without a value that
 *    its head counts. What was evicted is gone whole.
 *
 * Writes
 * 5. `write` is all or nothing over its values, of one record, and durable when it resolved as far as the
 *    `KvStore` says. Writes of one record happen one after the other, in the order they were called;
 *    deciding (2) and writing are one step in that order. What is decided is told for each value.
 *    `floor` waits for the writes of its record that were called before it.
 * 6. With `ifRevision` it happens only while the record is as it was then (0: there is none), and only
 *    if every value is `written` or `same`: else `PRECONDITION_FAILED`, and nothing changed. Every
 *    change of values gives a record another revision; no two states ever share one, across restarts.
 * 7. A failed write (the `KvStore` threw) leaves memory as the store is: what is not known is read again,
 *    and counted in full until it is known.
 *
 * Bounds (remote; the local store has none but those of the format)
 * 8. Room for a write is made by evicting records, least recently touched first, of the origin with
 *    the most bytes first if that has half as much again as origins have on average (where records
 *    are short: with the most records); never one that is being written. No room: `full`, of `create`
 *    and `setDetail` `QUOTA_EXCEEDED`. Bytes are those of all rows with their keys.
 * 9. `origin` is the peer that a record's first value came from: its records and bytes count for it, up
 *    to `maxRecordsOfPeer` and `maxBytesOfPeer`; above: `full`, and nothing is evicted for it.
 * 10. `head`, `value`, `write` and `setDetail` touch a record; `peek`, `entries` and failed calls do not.
 *     The order of touches survives a restart roughly: to `recordTouchMs`.
 * 11. Indices in memory are bounded by the number of records; values are read from the `KvStore`, with a
 *     cache of `recordCacheBytes` before it.
 *
 * Damage
 * 12. A row that cannot be read is reported and kept as it is (`onDamage`), and its record is absent: it
 *     may be created anew, its floor stays.
 *
 * Life
 * 13. `close` is idempotent, waits for writes under way and ends every later call as `CLOSED`. The
 *     `KvStore` belongs to who opened it.
 */
import type { Logger } from '@holdfast/core';
import type { KvStore } from '@holdfast/kv';
import type { PeerId } from './coordinate.ts';
import type { VerifiedDescriptor } from './record-descriptor.ts';
import type { RecordId } from './record-key.ts';
import type { Sequence } from './sequence.ts';
import type { VerifiedValue } from './signed-value.ts';

export interface RecordStore extends AsyncDisposable {
  /** The record without its values. */
  head(record: RecordId): Promise<RecordHead | undefined>;
  peek(record: RecordId): Promise<RecordHead | undefined>;
  value(record: RecordId, subkey: number): Promise<VerifiedValue | undefined>;
  /** What a value of this subkey has to win over, also when nothing is stored. */
  floor(record: RecordId, subkey: number): Promise<SequenceFloor | undefined>;
  /** A record without values. `RECORD_EXISTS`. */
  create(descriptor: VerifiedDescriptor, detail?: Uint8Array): Promise<RecordHead>;
  /** All of one record, each subkey at most once; makes the record if it is not there. */
  write(
    descriptor: VerifiedDescriptor,
    values: readonly VerifiedValue[],
    options: RecordWriteOptions,
  ): Promise<RecordWriteReport>;
  /** Does nothing where there is no such record. */
  setDetail(record: RecordId, detail: Uint8Array): Promise<void>;
  /** With all its values; false when it is not there. */
  delete(record: RecordId): Promise<boolean>;
  /** Every record, in no order that means anything; what changes meanwhile may be given or not. */
  entries(): AsyncIterable<RecordHead>;
  usage(): RecordStoreUsage;
  close(): Promise<void>;
}

export interface RecordHead {
  readonly descriptor: VerifiedDescriptor;
  /** Number of the state of its values (6); above 0. */
  readonly revision: number;
  /** By subkey, for all of its schema; `undefined`: nothing is stored. */
  readonly subkeys: readonly (SubkeyHead | undefined)[];
  /** Of the blobs of all values. */
  readonly storedBytes: number;
  readonly touchedAtMs: number;
  readonly origin: PeerId | undefined;
  readonly detail: Uint8Array | undefined;
}

export interface SubkeyHead {
  readonly sequence: Sequence;
  /** Of the blob. */
  readonly bytes: number;
}

export interface SequenceFloor {
  readonly sequence: Sequence;
  /** SHA-256 of the blob. */
  readonly digest: Buffer;
}

export interface RecordWriteOptions {
  /** Who sent it; `undefined`: the application of this peer. */
  readonly origin: PeerId | undefined;
  readonly ifRevision?: number | undefined;
}

/** One for each value, in their order; nothing was written unless `status` is `done`. */
export type RecordWriteReport =
  | {
      readonly status: 'done';
      readonly head: RecordHead;
      readonly outcomes: readonly ValueOutcome[];
    }
  | { readonly status: 'full' };

export type ValueOutcome =
  | { readonly status: 'written' }
  /** The very same value is there already. */
  | { readonly status: 'same' }
  /** This one wins. */
  | { readonly status: 'superseded'; readonly value: VerifiedValue }
  /** One that is no longer here wins. */
  | { readonly status: 'outdated'; readonly floor: SequenceFloor };

export interface RecordStoreUsage {
  readonly records: number;
  /** Of all rows of records, with their keys: what bounds count. */
  readonly storedBytes: number;
  /** Records evicted since it was opened. */
  readonly evicted: number;
  readonly floors: number;
}

export interface RecordStoreSettings {
  readonly kind: 'local' | 'remote';
  /** Remote only; default: `RECORD_LIMITS`. */
  readonly maxRecords?: number | undefined;
  readonly maxBytes?: number | undefined;
  readonly maxRecordsOfPeer?: number | undefined;
  readonly maxBytesOfPeer?: number | undefined;
  /** Default: `maxSequenceFloors`. Fewer: an old value may win again sooner. */
  readonly maxFloors?: number | undefined;
  /** Of heads and of values, each. Default: `recordCacheBytes`. 0: all is read from the `KvStore`. */
  readonly cacheBytes?: number | undefined;
}

export interface RecordStoreComponents {
  /** Its own: nobody else writes there. */
  readonly kv: KvStore;
  /** Wall clock, for `touchedAtMs` only. */
  readonly nowMs: () => number;
  readonly logger: Logger;
  /** Told once for each row that cannot be read. */
  readonly onDamage?: ((key: string, error: unknown) => void) | undefined;
}

/**
 * What was written here and is not yet held by enough peers: the subkeys, not the values, which are in
 * the local store. The queue that sends them is its owner's business; an engine says only what belongs
 * there.
 *
 * 1. `add` resolves when it would survive what the local store survives: it comes before the write.
 * 2. Both are idempotent.
 */
import type { RecordId } from '../record-key.ts';
import type { SubkeySet } from '../subkey-set.ts';

export interface PendingWrites {
  add(record: RecordId, subkey: number): Promise<void>;
  remove(record: RecordId, subkey: number): Promise<void>;
  of(record: RecordId): SubkeySet;
}

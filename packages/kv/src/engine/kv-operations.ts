/** The records of the key-value engine: absolute effects on one entry. */
import { type Operation, RECORD_RANGES, REQUIRED_RECORD } from '@holdfast/database';
import type { EntryFacts } from '../decide-write.ts';

const range = RECORD_RANGES.kv | REQUIRED_RECORD;

export const KV_RECORDS = {
  put: (range | 0) as 0x8020,
  delete: (range | 1) as 0x8021,
  expire: (range | 2) as 0x8022,
} as const;

/** What rests about an entry beside its value. */
export interface StoredFacts extends EntryFacts {
  /** Number of the change that wrote it: never that of another one. */
  readonly change: number;
  /** Its value rests in an extent of its own. */
  readonly extent: boolean;
}

interface EntryOperation extends Operation {
  readonly store: string;
  readonly key: string;
  readonly change: number;
  /**
   * The entry that this one replaces or removes. From it the checkpoint knows which rows go, also
   * when the record is replayed and nobody has read them.
   */
  readonly before: StoredFacts | undefined;
}

export interface PutOperation extends EntryOperation {
  readonly type: typeof KV_RECORDS.put;
  readonly entry: StoredFacts;
  readonly value: Buffer;
}

export interface RemoveOperation extends EntryOperation {
  readonly type: typeof KV_RECORDS.delete | typeof KV_RECORDS.expire;
  readonly before: StoredFacts;
}

export type KvRecord = PutOperation | RemoveOperation;

/**
 * What one backend does; `BackedKvStore` makes a `KvStore` of it. Arguments were checked, bounds
 * hold, keys are valid, bytes are the backend's own, and the call was not ended before it began.
 *
 * 1. `write` takes its operations in order, all or none. Writes that touch one key take effect in
 *    the order of calls. It rejects as rule 8 of the contract says.
 * 2. `read`, `scan` and `scanCreated` give what was acknowledged when they were called, and never
 *    what is past its expiry. The bytes they give are copies.
 * 3. A scan that is left calls nothing any more; its `return` gives back what it holds. An entry that
 *    was there all the time from the first `next` on is given once.
 * 4. `changes` is called in the turn of the caller's `watch`: what it gives begins there. Its values
 *    are views: they are copied before they are given out.
 * 5. `close` is called once, after the last write has ended.
 */
import type { KvAck, KvCapabilities, KvChange, KvEntry, KvStamp } from './kv-store.ts';

export interface KvBackend {
  readonly id: string;
  readonly capabilities: KvCapabilities;
  read(key: string): Promise<KvEntry | undefined>;
  write(operations: readonly KvWrite[], signal: AbortSignal | undefined): Promise<readonly KvAck[]>;
  /** In key order, some at a time. */
  scan(interval: KeyInterval, options: KvScanOptions): AsyncIterable<readonly KvEntry[]>;
  /** In order of creation, newest first: those created before `behind`; with `reverse`, after it. */
  scanCreated(
    behind: CreatedPlace | undefined,
    options: KvScanOptions,
  ): AsyncIterable<readonly KvEntry[]>;
  changes(since: number | undefined, signal: AbortSignal): AsyncIterable<KvChange>;
  lastChange(): number;
  /**
   * No entry has a version above this, and one that is written later has, unless a stamp says
   * otherwise. Absent where others write too; where it is there, so is `compareAndSet`.
   */
  highestVersion?(): number;
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** An entry in the order of creation: stamps may give one `seq` to several. */
export interface CreatedPlace {
  readonly seq: number;
  readonly key: string;
}

/** Keys from `from` on, below `to`; `to` absent: to the end. */
export interface KeyInterval {
  readonly from: string;
  readonly to: string | undefined;
}

export interface KvScanOptions {
  readonly reverse: boolean;
  /** No more than this will be taken; more may be given. */
  readonly limit: number;
}

export type KvWrite = KvPutWrite | KvDeleteWrite | KvExpireWrite;

export interface KvPutWrite {
  readonly type: 'put';
  readonly key: string;
  readonly value: Buffer;
  readonly expiresAtMs: number | undefined;
  readonly ifVersion: number | undefined;
  readonly ifAbsent: boolean;
  readonly stamp: KvStamp | undefined;
}

export interface KvDeleteWrite {
  readonly type: 'del';
  readonly key: string;
  readonly ifVersion: number | undefined;
}

/** Removes an entry that is past its expiry; nothing happens to another one. */
export interface KvExpireWrite {
  readonly type: 'expire';
  readonly key: string;
}

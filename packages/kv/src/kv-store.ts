/**
 * The contract of key-value stores: bytes under text keys, in order, each with a version. Backends
 * are memory and the node's own engine; around any of them go views (`viewOf`, `namespaced`).
 * `kvStoreConformance` shows what is promised here.
 *
 * Keys and values
 * 1. A key is text whose UTF-8 has 1 to `capabilities.maxKeyBytes` bytes; text that is no UTF-16
 *    (half a surrogate pair), or that the store's rules do not take, is `INVALID_ENTRY_KEY`. Keys
 *    are ordered by their bytes in UTF-8, which is the order of code points.
 * 2. A value is 0 or more bytes; empty is not absent. More than `maxValueBytes`, or a batch of more
 *    than `maxBatchOperations` or `maxBatchBytes`, is `RECORD_TOO_LARGE` before anything happens.
 * 3. Bytes handed over are copied before the call returns; bytes given out are the caller's.
 * 4. Absent is not unavailable: `undefined` says that the store itself answered "there is none".
 *    Whoever cannot know throws.
 *
 * Writes
 * 5. The order of *calls* that touch one key is the order of their effects, awaited or not. Calls on
 *    different keys have no order among each other.
 * 6. A write that resolved is as durable as `capabilities.durability` says, and is seen by every
 *    read that is called from then on. No read ever sees a value whose write then is undone.
 * 7. An acknowledgement never lies: a write that was overtaken by a newer one of its key resolves
 *    only if the newer one does, and otherwise fails with it.
 * 8. An error of a write has effect `none` when certainly nothing changed and never will, else
 *    `unknown`: then the change may be there or come.
 * 9. Every write of an entry gives it a new `version`, above all earlier ones of the store. `seq`
 *    is the version it was created with, and stays when the entry is written again; an entry that was
 *    deleted, or is past its expiry, is created anew. A stamp gives both from outside, so that a
 *    copy keeps the order of its original: a stamped put happens only where its version is above
 *    that of the entry; elsewhere it resolves and changes nothing. Later writes go above it.
 * 10. `ifVersion` and `ifAbsent` are decided at the one moment in which the write would happen; of
 *    any number of writes that expect one version at most one succeeds. The others are
 *    `PRECONDITION_FAILED` and change nothing. `del` of what is not there succeeds.
 * 11. `batch` is all or nothing, also for readers who look key by key after it resolved. Its
 *    operations happen in order, and each condition sees those before it.
 * 12. `clear` deletes what was there when it was called, by and by; it is not one step.
 *
 * Expiry
 * 13. An entry with an expiry is absent from that moment of the store's clock on, for every call. Its
 *    bytes go later, by themselves; only then the change feed says `expire`. A put without a time to
 *    live makes the entry last.
 *
 * Reads of many
 * 14. A range goes in key order, or against it with `reverse`, and gives every entry that was there
 *    all the time while it was walked, each once; what changes meanwhile may be given or not. `gte`
 *    and `lte` win over `gt` and `lt`; all that is given must hold. `limit` counts what is given.
 *    Where the range ends early (`break`, an error, a signal) everything it held is given back.
 * 15. `page` goes in key order from the lowest, or in order of creation (`seq`) from the newest, or
 *    the other way with `reverse`. A page but the last has `limit` entries, or `maxBytes` of values,
 *    and a token for the next; the last has no token. An entry that was there all the time is on one page, whatever is written
 *    between two pages: writing it again does not move it. A token holds for the store of this `id`,
 *    the order, direction and prefix it came from, across restarts; elsewhere, or changed, it is
 *    `INVALID_PAGE_TOKEN`.
 * 16. `watch` gives every change behind `since`, in order, each once, after it was acknowledged; then
 *    waits. Numbers of changes rise over the whole store; `lastChange` tells the highest. What is
 *    kept is bounded: `since` below it, or a reader too slow, is `CHANGES_TRIMMED`.
 *
 * Life
 * 17. A call whose signal ended before it began is `ABORTED` and does nothing; later it ends soon as
 *    `ABORTED`, a write with the effect it may still have. A signal that ends after the call disturbs nothing.
 * 18. `flush` resolves once every write called before it has ended.
 * 19. `close` is idempotent: it waits for writes under way, ends walks and watches as `CLOSED`, as is
 *    every call afterwards.
 * 20. Wrong arguments reject or throw on the first `next`, never in the call itself. What
 *    `capabilities` does not name is `KV_UNSUPPORTED`. Nothing is retried in here.
 *
 * Owner: who opened it closes it; a view closes nothing.
 */
export interface KvStore extends AsyncDisposable {
  /** Names the store for page tokens: the same after a restart and for whoever takes its place. */
  readonly id: string;
  readonly capabilities: KvCapabilities;
  get(key: string, options?: KvCallOptions): Promise<Uint8Array | undefined>;
  getEntry(key: string, options?: KvCallOptions): Promise<KvEntry | undefined>;
  /** One for each key, in the order asked; not one moment for all. */
  getMany(
    keys: readonly string[],
    options?: KvCallOptions,
  ): Promise<readonly (Uint8Array | undefined)[]>;
  has(key: string, options?: KvCallOptions): Promise<boolean>;
  put(key: string, value: Uint8Array, options?: KvPutOptions): Promise<KvAck>;
  del(key: string, options?: KvDeleteOptions): Promise<KvAck>;
  /** One acknowledgement for each operation. */
  batch(operations: readonly KvOperation[], options?: KvCallOptions): Promise<readonly KvAck[]>;
  keys(range?: KvRange): AsyncIterable<string>;
  values(range?: KvRange): AsyncIterable<Uint8Array>;
  iterator(range?: KvRange): AsyncIterable<[key: string, value: Uint8Array]>;
  /** The range with everything about each entry. */
  entries(range?: KvRange): AsyncIterable<KvEntry>;
  page(options: KvPageOptions): Promise<KvPage>;
  clear(range?: KvRange): Promise<void>;
  /** Begins where it is called, not at the first `next`. */
  watch(options?: KvWatchOptions): AsyncIterable<KvChange>;
  /** Number of the newest acknowledged change; 0 when there was none. */
  lastChange(options?: KvCallOptions): Promise<number>;
  flush(options?: KvCallOptions): Promise<void>;
  close(): Promise<void>;
}

/** What differs between stores; everything else in the contract all of them do. */
export interface KvCapabilities {
  /** `batch` of more than one operation. */
  readonly atomicBatch: boolean;
  /** `ifVersion` and `ifAbsent`. */
  readonly compareAndSet: boolean;
  /** Pages in order of creation. */
  readonly createdOrder: boolean;
  /** `ttlMs` and `expiresAtMs`. */
  readonly ttl: boolean;
  readonly watch: boolean;
  /** Stamped puts. */
  readonly stamps: boolean;
  /** Any text is a key; otherwise `A-Z a-z 0-9 _ -` only. */
  readonly anyText: boolean;
  /**
   * What an acknowledged write survives: nothing, the end of the process, or the loss of power.
   */
  readonly durability: 'none' | 'process' | 'power';
  /** Entries may be dropped for newer ones: a cache. */
  readonly evicts: boolean;
  /** The store tries again by itself, so that nobody else needs to. */
  readonly retries: boolean;
  readonly maxKeyBytes: number;
  readonly maxValueBytes: number;
  readonly maxBatchOperations: number;
  /** Keys and values of a batch together. */
  readonly maxBatchBytes: number;
}

export interface KvCallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface KvEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly version: number;
  /** Its place in the order of creation. */
  readonly seq: number;
  /** Number of the writer's fence; 0 where nothing fences. */
  readonly epoch: number;
  /** Ms since the Unix epoch. */
  readonly expiresAtMs: number | undefined;
}

/** What another store gave to an entry that is copied. */
export interface KvStamp {
  readonly seq: number;
  /** At least `seq`. */
  readonly version: number;
  readonly epoch: number;
}

export interface KvCondition {
  /** Only when the entry has this version. */
  readonly ifVersion?: number | undefined;
}

export interface KvPutConditions extends KvCondition {
  /** Only when there is no entry. */
  readonly ifAbsent?: boolean | undefined;
  /** From now on, whole ms, above 0. */
  readonly ttlMs?: number | undefined;
  /** Instead of `ttlMs`: ms since the Unix epoch; in the past is allowed. */
  readonly expiresAtMs?: number | undefined;
  /** Not with a condition. */
  readonly stamp?: KvStamp | undefined;
}

export interface KvPutOptions extends KvPutConditions, KvCallOptions {}

export interface KvDeleteOptions extends KvCondition, KvCallOptions {}

export interface KvPutOperation extends KvPutConditions {
  readonly type: 'put';
  readonly key: string;
  readonly value: Uint8Array;
}

export interface KvDeleteOperation extends KvCondition {
  readonly type: 'del';
  readonly key: string;
}

export type KvOperation = KvPutOperation | KvDeleteOperation;

export interface KvAck {
  /** False when there was nothing to delete, or a stamped put came too late. */
  readonly changed: boolean;
  /** Of the entry as put; of a delete the number of its change; 0 when nothing changed. */
  readonly version: number;
}

export interface KvRange extends KvCallOptions {
  readonly gt?: string | undefined;
  readonly gte?: string | undefined;
  readonly lt?: string | undefined;
  readonly lte?: string | undefined;
  /** Keys that begin with this. */
  readonly prefix?: string | undefined;
  readonly reverse?: boolean | undefined;
  /** Default: no limit. */
  readonly limit?: number | undefined;
}

export interface KvPageOptions extends KvCallOptions {
  readonly order: 'key' | 'created';
  readonly reverse?: boolean | undefined;
  readonly prefix?: string | undefined;
  /** 1 to 1000; default 50. */
  readonly limit?: number | undefined;
  /** The page ends with the entry whose value, as it rests, makes it so large; default: no bound. */
  readonly maxBytes?: number | undefined;
  /** `next` of the page before. */
  readonly token?: string | undefined;
  /** Instead of `token`: begins behind this place, whether or not there is an entry. */
  readonly behind?: { readonly seq: number; readonly key: string } | undefined;
}

export interface KvPage {
  readonly entries: readonly KvEntry[];
  readonly next: string | undefined;
}

export interface KvWatchOptions extends KvCallOptions {
  readonly prefix?: string | undefined;
  /** Behind this change; default: from now on. */
  readonly since?: number | undefined;
}

export interface KvChange {
  /** Rises by every change of the store; may leave numbers out. */
  readonly seq: number;
  readonly type: 'put' | 'del' | 'expire';
  readonly key: string;
  /** Of the entry as put, or as it was when it went. */
  readonly version: number;
  /** Of a put. */
  readonly value: Uint8Array | undefined;
}

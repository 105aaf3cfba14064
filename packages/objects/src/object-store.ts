/**
 * The seam for object storage: whole, immutable values under keys, replaced or deleted at once.
 * Backends are memory, files and S3; around any of them go `RetryingObjectStore` and
 * `InstrumentedObjectStore`. `objectStoreConformance` shows what is promised here.
 *
 * Contract:
 * 1. A key is 1 to 512 bytes of UTF-8: segments joined by `/`, none empty, none beginning with
 *    a dot, no control characters. Another one is `INVALID_OBJECT_KEY` before anything happens.
 *    What a store finds beside such keys it leaves alone and does not list.
 * 2. `put` is all or nothing: until it has ended nobody sees any of the new bytes, afterwards
 *    everybody sees all of them, and they are as durable as the store is. Of two puts of one
 *    key one comes last and stays whole.
 * 3. `ifAbsent` and `ifMatch` are decided by the store, at the one moment in which the object
 *    would appear: of any number of puts of one key with `ifAbsent` at most one succeeds,
 *    whoever makes them and wherever. The others are `PRECONDITION_FAILED` and change nothing.
 *    Where `capabilities` does not name a condition, asking for it is `OBJECT_STORE_UNSUPPORTED`.
 * 4. An etag stands for the bytes of an object: as long as it is the same, so are they.
 * 5. What was put is there for `get`, `head` and `list` from then on, from anywhere. A deleted
 *    object is gone likewise.
 * 6. `OBJECT_NOT_FOUND` says that the store itself answered "there is none". A store that does not
 *    answer, an answer that makes no sense, a missing bucket are never that.
 * 7. A body ends normally only when all its bytes came: a short one is `STORAGE_UNAVAILABLE`.
 *    It is of one object, also when that is replaced or deleted meanwhile, or it fails. Whether
 *    the bytes are the right ones is for the caller to check: it knows their hash.
 * 8. `delete` of what is not there succeeds.
 * 9. `list` goes in the order of the bytes of the keys in UTF-8. A page holds every key that was
 *    there all the time while it was made, and each once. Walking page by page misses no key that
 *    was there all the time.
 * 10. Memory is bounded: a body is never held whole beyond a few parts, in either direction.
 *    Bytes handed over for a `put` must not change before it ended; bytes given out are the
 *    caller's.
 * 11. An error of a `put` or `delete` has effect `none` when certainly nothing changed and never
 *    will, else `unknown`: then the change may be there, or come until the store gave up on it.
 *    `writeId` tells afterwards whose write it is that one finds.
 * 12. A call ends soon after its signal did, as `ABORTED`. Every call ends: silence of the other
 *    side is `STORAGE_UNAVAILABLE` after a time. Nothing is retried in here: see
 *    `RetryingObjectStore`.
 * 13. `close` is idempotent. What is under way fails as `CLOSED`, as does every call afterwards.
 *
 * Owner: who opened it closes it; a decorator closes what it decorates.
 */
export interface ObjectStore {
  readonly capabilities: ObjectStoreCapabilities;
  put(key: string, body: ObjectBody, options?: PutOptions): Promise<PutResult>;
  /** Resolves once the store has said what it will send. */
  get(key: string, options?: GetOptions): Promise<ObjectContent>;
  head(key: string, options?: CallOptions): Promise<ObjectInfo>;
  delete(key: string, options?: CallOptions): Promise<void>;
  list(options?: ListOptions): Promise<ObjectPage>;
  /**
   * Frees what interrupted puts left behind, unseen by everything above, where they began longer
   * ago than `olderThanMs`. Resolves to how many there were.
   */
  removeLeftovers(options: LeftoverOptions): Promise<number>;
  close(): Promise<void>;
}

/** What differs between stores; everything else in the contract all of them do. */
export interface ObjectStoreCapabilities {
  /** `put` with `ifAbsent`. */
  readonly ifAbsent: boolean;
  /** `put` with `ifMatch`. */
  readonly ifMatch: boolean;
  /** Largest body that may be put with a condition, bytes; `Infinity` where it does not matter. */
  readonly maxConditionalBytes: number;
  /** `a` and `a/b` can both be objects. */
  readonly nestedKeys: boolean;
}

/**
 * Bytes; or pieces of them in order; or a function that makes the pieces anew each time, which is
 * what can be retried.
 */
export type ObjectBody = Uint8Array | ObjectPieces | (() => ObjectPieces);

export type ObjectPieces = AsyncIterable<Uint8Array>;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface PutOptions extends CallOptions {
  /** Only when there is no object of this key. */
  readonly ifAbsent?: boolean | undefined;
  /** Only when the object has this etag. */
  readonly ifMatch?: string | undefined;
  /** Bytes that `body` will give; another number is `OBJECT_LENGTH_MISMATCH`, and nothing is put. */
  readonly contentLength?: number | undefined;
  /**
   * 32 hexadecimal digits, kept with the object: a name for this one write. See 11. Without one the
   * store may choose one.
   */
  readonly writeId?: string | undefined;
}

export interface PutResult {
  readonly etag: string;
  readonly size: number;
}

export interface GetOptions extends CallOptions {
  /** Default: all. `length` may reach beyond the end, `offset` may not: `INVALID_RANGE`. */
  readonly range?: ByteRange | undefined;
  /** Another etag is `PRECONDITION_FAILED`. */
  readonly ifMatch?: string | undefined;
}

export interface ByteRange {
  readonly offset: number;
  /** At least 1. Default: to the end. */
  readonly length?: number | undefined;
}

export interface ObjectInfo {
  readonly etag: string;
  /** Of the whole object, bytes. */
  readonly size: number;
  /** When it was put, by the clock of the store, ms since the Unix epoch. */
  readonly modifiedMs: number;
  readonly writeId?: string | undefined;
}

export interface ObjectContent extends ObjectInfo {
  /** Of the first byte of `body` in the object. */
  readonly offset: number;
  /** Bytes that `body` gives. */
  readonly length: number;
  /**
   * Once. Whoever got it reads it to its end, leaves its loop, or calls `close`: until then it
   * may hold a file or a connection.
   */
  readonly body: AsyncIterable<Buffer>;
  /** Idempotent. */
  close(): Promise<void>;
}

export interface ListOptions extends CallOptions {
  /** Keys that begin with this, anywhere in a segment. Default: all. */
  readonly prefix?: string | undefined;
  /** Keys behind this one, which need not exist. */
  readonly after?: string | undefined;
  /** At least 1; a page never holds more than 1000. */
  readonly limit?: number | undefined;
}

export interface ListedObject {
  readonly key: string;
  readonly size: number;
}

export interface ObjectPage {
  readonly objects: readonly ListedObject[];
  /** For the next page; `undefined` when this was the last. A page may be empty and not the last. */
  readonly after: string | undefined;
}

export interface LeftoverOptions extends CallOptions {
  readonly olderThanMs: number;
}

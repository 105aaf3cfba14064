/**
 * The domain API of streams: what the HTTP protocol, the embedded API and the tests speak
 * to. `StreamEngine` implements it. No HTTP here: values are parsed, errors are typed.
 *
 * Contract
 * 1. A promise resolves after the change is durable and visible; reads never see a byte that a
 *    crash could take back.
 * 2. Data, producer state, `Stream-Seq` and closure of one append are one atomic change.
 * 3. Checks run in a fixed order (PROTOCOL 5.2, 5.2.1): existence, producer duplicate or fence,
 *    closed, content type, producer order, `Stream-Seq`, limits.
 * 4. A read gives whole messages: a position between two of them means "from the message that
 *    contains it", and a position past the tail is the tail: empty and up to date.
 * 5. Reads write nothing. They move the sliding expiry in memory only.
 * 6. Errors carry what the protocol answers in headers as `details`: `STREAM_CLOSED` the tail as
 *    `nextOffset`, `PRODUCER_FENCED` the `currentEpoch`, `PRODUCER_SEQ_GAP` `expectedSeq` and
 *    `receivedSeq`.
 */
import type { HoldfastError } from '@holdfast/core';
import type { Position } from './position.ts';

export interface StreamConfig {
  /** As given, trimmed; compared case-insensitively without parameters' order mattering. */
  readonly contentType: string;
  /** Sliding time to live in whole seconds. */
  readonly ttlSeconds?: number;
  /** Absolute expiry, ms since the epoch, with the text it was given as. */
  readonly expiresAtMs?: number;
  readonly expiresAtText?: string;
}

export interface ForkRequest {
  /** Path of the source, in the same form as every stream path. */
  readonly source: string;
  /** Absent: the source's tail. */
  readonly at?: Position;
  /** Messages (JSON) or bytes past `at`; 0 is the same as absent. */
  readonly subOffset: number;
}

export interface CreateRequest {
  readonly path: string;
  /** Absent in a fork: inherited. Absent otherwise: `application/octet-stream`. */
  readonly contentType?: string;
  readonly ttlSeconds?: number;
  readonly expiresAtMs?: number;
  readonly expiresAtText?: string;
  readonly closed: boolean;
  readonly fork?: ForkRequest;
  /**
   * First content: splits and checks it once the stream's type is known, which a fork may take
   * from a source that is itself on its way; throws `HoldfastError`.
   */
  readonly initial?: (json: boolean) => Messages;
}

/**
 * Data of one append: the bytes as they rest and travel (JSON messages each with a comma
 * behind) and where each message ends. For other types one append is one message.
 */
export interface Messages {
  readonly bytes: Buffer;
  /** Length of each message in `bytes`, in order; their sum is `bytes.length`. */
  readonly lengths: readonly number[];
}

export interface ProducerTag {
  readonly id: string;
  readonly epoch: number;
  readonly seq: number;
}

export interface AppendRequest {
  readonly path: string;
  /** Must match when there is data. */
  readonly contentType?: string;
  /**
   * Splits and checks the body once the stream's type is known; throws `HoldfastError`. May be
   * called again, and then gives the same.
   */
  readonly messages?: (json: boolean) => Messages;
  readonly producer?: ProducerTag;
  readonly streamSeq?: string;
  readonly close: boolean;
}

export interface AppendResult {
  /** `duplicate`: a producer's retry or an idempotent close; nothing was written. */
  readonly outcome: 'appended' | 'duplicate';
  readonly tail: Position;
  readonly closed: boolean;
  /** Highest accepted producer state, when the request had a producer. */
  readonly producer?: { readonly epoch: number; readonly seq: number };
}

export interface CreateResult {
  readonly created: boolean;
  readonly info: StreamInfo;
}

export interface StreamInfo extends StreamConfig {
  readonly path: string;
  /** Stable number of this stream; a new stream at the same path gets another. */
  readonly id: number;
  readonly json: boolean;
  readonly tail: Position;
  readonly closed: boolean;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly forkedFrom?: string;
  readonly forkedAt?: Position;
  /** Bytes of its own, without what it inherits. */
  readonly ownBytes: number;
  readonly forks: number;
}

/** One bounded read. The bytes are views: read only. */
export interface StreamSlice {
  readonly info: StreamInfo;
  readonly from: Position;
  readonly to: Position;
  /** Bytes between the two as they rest. */
  readonly byteLength: number;
  /** Everything there was at this moment has been given. */
  readonly upToDate: boolean;
  /** Closed, and nothing follows. */
  readonly endOfStream: boolean;
  /** The whole slice, when it is in memory. */
  readonly bytes?: readonly Buffer[];
  /**
   * The slice in pieces of at most `readPieceBytes`, for one pass. A piece is valid until the
   * next one is asked for.
   */
  pieces(): AsyncIterable<readonly Buffer[]>;
}

export interface ReadRequest {
  readonly path: string;
  /** `start`, `now`, or a position. */
  readonly from: Position | 'start' | 'now';
  readonly maxBytes: number;
}

/** A live reader parked on a stream. Methods must not throw. */
export interface StreamWatcher {
  /** Something changed (data or closure); called once per durable batch. */
  changed(change: StreamChange): void;
  /** The stream was deleted or expired, or the node failed. */
  ended(reason: HoldfastError): void;
}

/** Shared by all watchers of a stream: derived encodings may be cached on it by the caller. */
export interface StreamChange {
  readonly info: StreamInfo;
  /** Tail before and after. */
  readonly from: Position;
  readonly to: Position;
  /** The new bytes, as consecutive views. */
  readonly bytes: readonly Buffer[];
  readonly closed: boolean;
}

export interface ListRequest {
  readonly prefix?: string;
  /** Paths greater than this one. */
  readonly after?: string;
  readonly limit: number;
}

export interface StreamStore {
  create(request: CreateRequest): Promise<CreateResult>;
  append(request: AppendRequest): Promise<AppendResult>;
  delete(path: string): Promise<void>;
  /** Never resets the time to live. Throws `STREAM_NOT_FOUND` or `STREAM_GONE`. */
  stat(path: string): StreamInfo;
  /** Synchronous when the slice is in memory: the hot path of tail reads. Resets the time to live. */
  read(request: ReadRequest): StreamSlice | Promise<StreamSlice>;
  /** Parks a reader; returns what takes it off again. Resets the time to live. */
  watch(path: string, watcher: StreamWatcher): () => void;
  /** Own streams by path, without soft-deleted and reserved ones. */
  list(request: ListRequest): StreamInfo[];
}

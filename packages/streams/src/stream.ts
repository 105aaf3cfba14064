/**
 * One stream's metadata in memory. Changed by `apply` (what is durable) and by the planners
 * (what commits in flight will make true); everybody else reads.
 *
 * Invariants
 * 1. `applied` is what the log says up to the last applied record. Readers see only it.
 * 2. `planned` exists while commits are in flight and is `applied` after all of them; with
 *    nothing in flight there is no planned view.
 * 3. The tail buffer holds every byte from `collected` to the applied tail, at least.
 * 4. `ownBytes` of a fork begin at its base; what is before belongs to its ancestors.
 */
import type { ShardId } from '@holdfast/core';
import type { Flight } from '@holdfast/database';
import { isJsonContentType } from './content-type.ts';
import { type Position, START } from './position.ts';
import type { CreateOperation, ForkOrigin } from './stream-operations.ts';
import type { StreamConfig, StreamInfo, StreamWatcher } from './stream-store.ts';
import { TailBuffer } from './tail-buffer.ts';

/** `new`: its creation is in flight. `softDeleted`: only its forks still read it. */
export type StreamState = 'new' | 'active' | 'softDeleted' | 'removed';

export interface ProducerState {
  readonly epoch: number;
  /** Highest accepted sequence number of the epoch. */
  readonly seq: number;
}

/** What operations change, but for the producers. */
export interface StreamView {
  state: StreamState;
  tail: Position;
  closed: boolean;
  streamSeq: string | undefined;
  /** Forks that name this stream as their source. */
  forks: number;
}

export interface StreamOrigin extends StreamConfig {
  readonly id: number;
  readonly shard: ShardId;
  readonly path: string;
  readonly createdAtMs: number;
  readonly fork?: ForkOrigin;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class Stream {
  readonly id: number;
  readonly shard: ShardId;
  readonly path: string;
  readonly config: StreamConfig;
  readonly json: boolean;
  readonly createdAtMs: number;
  readonly fork: ForkOrigin | undefined;
  /** Where its own data begins. */
  readonly base: Position;

  readonly applied: StreamView;
  planned: StreamView | undefined;
  /** Producers of durable appends. */
  producers: Map<string, ProducerState> | undefined;
  /** Newer states of producers with appends in flight. */
  plannedProducers: Map<string, ProducerState> | undefined;
  /** Commits on their way, and the newest of them. */
  inFlight = 0;
  lastCommit: Flight | undefined;

  tail: TailBuffer;
  /** Data before this is in extents, readable since the last collect. */
  collected: Position;
  /** Data before this is on disk: the tail buffer may drop it. */
  checkpointed: Position;
  /** Producers whose rows are behind. */
  dirtyProducers: Set<string> | undefined;

  updatedAtMs: number;
  /** Last read or write, ms: moves the sliding expiry. */
  touchedAtMs: number;
  /** The same as the stream's row has it. */
  savedTouchMs: number;
  watchers: Set<StreamWatcher> | undefined;
  #info: StreamInfo | undefined;

  /** @param tail its tail so far: the base when it is new. */
  constructor(origin: StreamOrigin, tail: Position | undefined) {
    this.id = origin.id;
    this.shard = origin.shard;
    this.path = origin.path;
    this.config = configOf(origin);
    this.json = isJsonContentType(origin.contentType);
    this.createdAtMs = origin.createdAtMs;
    this.fork = origin.fork;
    this.base = origin.fork?.base ?? START;
    const from = tail ?? this.base;
    this.applied = { state: 'new', tail: from, closed: false, streamSeq: undefined, forks: 0 };
    this.tail = new TailBuffer(from);
    this.collected = from;
    this.checkpointed = from;
    this.updatedAtMs = origin.createdAtMs;
    this.touchedAtMs = origin.createdAtMs;
    this.savedTouchMs = 0;
  }

  static created(operation: CreateOperation): Stream {
    return new Stream(operation, undefined);
  }

  /** What plans are checked against. */
  get ahead(): StreamView {
    return this.planned ?? this.applied;
  }

  /** The planned view, to be changed. */
  planning(): StreamView {
    this.planned ??= { ...this.applied };
    return this.planned;
  }

  discardPlanned(): void {
    this.planned = undefined;
    this.plannedProducers = undefined;
    this.inFlight = 0;
    this.lastCommit = undefined;
  }

  /** @param ahead with what is in flight. */
  producer(id: string, ahead: boolean): ProducerState | undefined {
    return (ahead ? this.plannedProducers?.get(id) : undefined) ?? this.producers?.get(id);
  }

  get ownBytes(): number {
    return this.applied.tail.bytes - this.base.bytes;
  }

  /** Call after any change of what `info` shows. */
  changed(): void {
    this.#info = undefined;
  }

  /** Nobody will read it again: whoever holds the removed stream holds no data with it. */
  forgetBytes(): void {
    this.tail = new TailBuffer(this.applied.tail);
  }

  /** A snapshot of the applied state; the same object until something changes. */
  get info(): StreamInfo {
    if (this.#info !== undefined) return this.#info;
    const { applied, config } = this;
    // One shape for most streams, and no spread: this is made anew after every append.
    const info: Mutable<StreamInfo> = {
      contentType: config.contentType,
      path: this.path,
      id: this.id,
      json: this.json,
      tail: applied.tail,
      closed: applied.closed,
      createdAtMs: this.createdAtMs,
      updatedAtMs: this.updatedAtMs,
      ownBytes: this.ownBytes,
      forks: applied.forks,
    };
    if (config.ttlSeconds !== undefined) info.ttlSeconds = config.ttlSeconds;
    if (config.expiresAtMs !== undefined) info.expiresAtMs = config.expiresAtMs;
    if (config.expiresAtText !== undefined) info.expiresAtText = config.expiresAtText;
    if (this.fork !== undefined) {
      info.forkedFrom = this.fork.sourcePath;
      info.forkedAt = this.fork.base;
    }
    this.#info = info;
    return info;
  }
}

function configOf(origin: StreamConfig): StreamConfig {
  const config: Mutable<StreamConfig> = { contentType: origin.contentType };
  if (origin.ttlSeconds !== undefined) config.ttlSeconds = origin.ttlSeconds;
  if (origin.expiresAtMs !== undefined) config.expiresAtMs = origin.expiresAtMs;
  if (origin.expiresAtText !== undefined) config.expiresAtText = origin.expiresAtText;
  return config;
}

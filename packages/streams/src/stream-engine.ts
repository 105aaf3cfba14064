/**
 * The stream engine: the `StreamStore` of the HTTP protocol and the embedded API, and an
 * `Engine` of the database. Wires the parts; rules live in the planners, the reader, the
 * collector and the reaper.
 *
 * Invariants
 * 1. Plans are checked and reserved in one turn, and become planned state only after the host
 *    accepted them (`CommitPlan`, `planAppend`).
 * 2. Applied state changes only in `apply` and `load`.
 * 3. An answer resting on what is not durable waits for it (`runAttempt`).
 */
import {
  assert,
  type Clock,
  type HoldfastError,
  isHoldfastError,
  type Logger,
  type Random,
  type ShardId,
} from '@holdfast/core';
import type {
  CollectingShard,
  DamagedRow,
  Engine,
  EngineHost,
  ExtentRef,
  MovedExtent,
  Operation,
  Shard,
} from '@holdfast/database';
import { planAppend, streamAhead } from './append-plan.ts';
import { type Applying, applyOperation } from './apply-operation.ts';
import { planCreate, rememberBase } from './create-plan.ts';
import { planDelete } from './delete-plan.ts';
import { isExpired } from './expiry.ts';
import { ExtentCatalog } from './extent-catalog.ts';
import { restoreExtents } from './extent-restore.ts';
import { endAll, LiveReaders } from './live-readers.ts';
import { assertTexts, CommitPlan, gone, notFound, type Planning, Usage } from './planning.ts';
import { START } from './position.ts';
import { Reaper } from './reaper.ts';
import { ShardLedger } from './shard-ledger.ts';
import { runAttempt } from './run-attempt.ts';
import { StoredMessages } from './stored-messages.ts';
import { InFlight } from './stream-commit.ts';
import { StreamDirectory } from './stream-directory.ts';
import { collectShard } from './stream-collector.ts';
import { loadShard } from './stream-loader.ts';
import { decodeStreamOperation, encodeStreamOperation } from './stream-operation-codec.ts';
import { STREAM_RECORDS, type StreamOperation } from './stream-operations.ts';
import { lookUps, StreamObservers } from './stream-observers.ts';
import { StreamReader } from './stream-reader.ts';
import { extentOfRow, firstMessageOf, identityOfCounter, streamOfRow } from './stream-rows.ts';
import { type StreamSettings, streamSettings } from './stream-settings.ts';
import type {
  AppendRequest,
  AppendResult,
  CreateRequest,
  CreateResult,
  ListRequest,
  ReadRequest,
  StreamInfo,
  StreamSlice,
  StreamStore,
  StreamWatcher,
} from './stream-store.ts';
import type { Stream } from './stream.ts';
import { isReservedPath } from './subscriptions/path-pattern.ts';
import type { ObservedStreams, StreamObserver } from './subscriptions/stream-observer.ts';
import { TailCache } from './tail-cache.ts';
import { TouchKeeper } from './touch-keeper.ts';

export interface StreamComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export function createStreamEngine(
  components: StreamComponents,
  settings: Partial<StreamSettings> = {},
): StreamEngine {
  return new StreamEngine(components, streamSettings(settings));
}

export class StreamEngine implements StreamStore, Engine<StreamOperation> {
  readonly name = 'streams';
  readonly recordTypes: readonly number[] = Object.values(STREAM_RECORDS);
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #settings: StreamSettings;
  readonly #directory = new StreamDirectory();
  readonly #inFlight = new InFlight();
  readonly #usage = new Usage();
  readonly #live = new LiveReaders();
  readonly #observers = new StreamObservers();
  readonly #tails: TailCache;
  readonly #catalog: ExtentCatalog;
  readonly #reader: StreamReader;
  readonly #reaper: Reaper;
  readonly #touches: TouchKeeper;
  readonly #applying: Applying;
  readonly #ledger: ShardLedger;
  #planning: Planning | undefined;
  #host: EngineHost | undefined;
  #nextId = 1;
  #open = false;

  constructor(components: StreamComponents, settings: StreamSettings) {
    this.#clock = components.clock;
    this.#logger = components.logger;
    this.#settings = settings;
    const shardOf = (stream: Stream): Shard => this.#attached().shard(stream.shard);
    this.#tails = new TailCache(settings);
    this.#catalog = new ExtentCatalog(shardOf);
    this.#ledger = new ShardLedger(this.#catalog, components.logger);
    const stored = new StoredMessages(this.#catalog, shardOf);
    this.#reader = new StreamReader(this.#directory, stored, settings.readPieceBytes);
    this.#touches = new TouchKeeper(components.clock, (stream) => this.#ledger.of(stream.shard));
    this.#reaper = new Reaper(components, settings, {
      size: () => this.#directory.size,
      expire: (stream) => this.#expire(stream),
    });
    this.#applying = {
      directory: this.#directory,
      usage: this.#usage,
      changesOf: (operation) => this.#ledger.of(operation.shard),
      changed: (stream, from) => {
        this.#live.changed(stream, from);
        if (this.#open) this.#observers.changed(stream);
      },
      created: (stream) => {
        if (!this.#open) return;
        this.#reaper.add(stream);
        this.#observers.created(stream);
      },
      ended: (stream) => {
        this.#live.ended(stream);
        if (this.#open) this.#observers.removed(stream);
        if (stream.applied.state !== 'removed') return;
        this.#tails.removed(stream);
        if (this.#open) this.#ledger.findExtents(stream);
      },
    };
  }

  /** Once, before anything else. */
  attach(host: EngineHost): void {
    assert(this.#host === undefined, 'stream engine is attached twice');
    this.#host = host;
    this.#ledger.attach(host);
    this.#planning = {
      host,
      directory: this.#directory,
      inFlight: this.#inFlight,
      usage: this.#usage,
      settings: this.#settings,
      nextId: () => this.#nextId++,
    };
  }

  /** Before the last checkpoint of a clean stop: it writes every touch, not only old ones. */
  saveTouches(): void {
    this.#ledger.touchesSaved = true;
  }

  /** Live readers end; expiry stops. The database closes by itself. Idempotent. */
  close(): void {
    this.#reaper.stop();
    for (const stream of this.#directory.all()) endAll(stream);
  }

  // -- StreamStore ---------------------------------------------------------------------------

  create(request: CreateRequest): Promise<CreateResult> {
    const findBase = rememberBase((source, fork) => this.#reader.forkBase(source, fork));
    const paths = request.fork === undefined ? [] : [request.fork.source];
    return new Promise((resolve, reject) => {
      assertTexts(request.path, request.contentType);
      const planning = this.#ready();
      runAttempt(this.#directory, [request.path, ...paths], resolve, reject, () =>
        planCreate(planning, request, findBase, this.#clock.now(), resolve, reject),
      );
    });
  }

  append(request: AppendRequest): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      assertTexts(request.path, request.streamSeq, request.producer?.id);
      const planning = this.#ready();
      runAttempt(this.#directory, [request.path], resolve, reject, () =>
        planAppend(planning, request, this.#clock.now(), resolve, reject),
      );
    });
  }

  delete(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const planning = this.#ready();
      runAttempt(this.#directory, [path], resolve, reject, () => {
        const plan = new CommitPlan(planning);
        planDelete(planning, plan, streamAhead(planning, path, this.#clock.now()));
        plan.submit(resolve, reject, { reclaims: true });
        return { kind: 'committed' };
      });
    });
  }

  stat(path: string): StreamInfo {
    return this.#visible(path).info;
  }

  read(request: ReadRequest): StreamSlice | Promise<StreamSlice> {
    const stream = this.#visible(request.path);
    this.#touches.touch(stream);
    this.#tails.used(stream);
    const from =
      request.from === 'start'
        ? START
        : request.from === 'now'
          ? stream.applied.tail
          : request.from;
    return this.#reader.read(stream, from, request.maxBytes);
  }

  watch(path: string, watcher: StreamWatcher): () => void {
    const stream = this.#visible(path);
    this.#touches.touch(stream);
    stream.watchers ??= new Set();
    stream.watchers.add(watcher);
    return () => this.#touches.unwatch(stream, watcher);
  }

  list(request: ListRequest): StreamInfo[] {
    const now = this.#clock.now();
    const wanted = (stream: Stream): boolean =>
      stream.applied.state === 'active' && !isExpired(stream, now) && !isReservedPath(stream.path);
    return this.#directory.list(request, wanted).map((stream) => stream.info);
  }

  /** Before the engine is opened: from then on the observer hears of every batch. */
  observe(observer: StreamObserver): ObservedStreams {
    this.#observers.add(observer);
    return lookUps(this.#directory, () => this.#ledger.highestId);
  }

  // -- Engine --------------------------------------------------------------------------------

  encode(operation: StreamOperation): readonly Uint8Array[] {
    return encodeStreamOperation(operation);
  }

  decode(type: number, shard: ShardId, payload: Buffer): StreamOperation {
    return decodeStreamOperation(type, shard, payload);
  }

  apply(operation: StreamOperation): void {
    applyOperation(this.#applying, operation);
  }

  settled(): void {
    this.#live.settled();
    this.#observers.settled();
  }

  discardPlanned(): void {
    for (const stream of this.#inFlight.discard()) {
      if (stream.applied.state === 'new') this.#directory.unplan(stream);
    }
    this.#plannedIsApplied();
  }

  load(shard: Shard): Promise<void> {
    return loadShard(shard, this.#ledger.of(shard.id), {
      directory: this.#directory,
      usage: this.#usage,
    });
  }

  opened(): void {
    this.#open = true;
    this.#plannedIsApplied();
    this.#nextId = this.#ledger.highestId + 1;
    const trusted = this.#attached().cleanStart && this.#ledger.touchesWereSaved;
    for (const stream of this.#directory.all()) {
      if (!trusted) this.#touches.restart(stream);
      this.#reaper.add(stream);
    }
    this.#ledger.findGraves();
    this.#reaper.start();
  }

  collect(shard: CollectingShard): void {
    collectShard(shard, this.#ledger.of(shard.id), this.#catalog, this.#ledger.counter(shard.id));
    this.#ledger.findGraves();
  }

  checkpointed(shard: Shard): void {
    const changes = this.#ledger.of(shard.id);
    const { collected } = changes;
    changes.collected = [];
    this.#tails.checkpointed(collected);
  }

  extentsMoved(_shard: Shard, moves: readonly MovedExtent[]): void {
    for (const { owner, to } of moves) {
      const id = streamOfRow(owner);
      if (id !== undefined) this.#catalog.moved(id, firstMessageOf(owner), to);
    }
  }

  identityOf(key: Buffer): string | undefined {
    const id = streamOfRow(key);
    if (id === undefined) return identityOfCounter(key);
    return (this.#directory.byId(id) ?? this.#ledger.grave(id))?.path;
  }

  extentOf(key: Buffer, value: Buffer): ExtentRef | undefined {
    return extentOfRow(key, value);
  }

  restoreExtents(
    rows: readonly DamagedRow[],
    history: () => AsyncIterable<Operation>,
  ): Promise<readonly (readonly Buffer[] | undefined)[]> {
    const streamOf = (row: DamagedRow): Stream | undefined =>
      this.#directory.byId(streamOfRow(row.key) ?? 0);
    return restoreExtents(streamOf, rows, history);
  }

  // -- inside --------------------------------------------------------------------------------

  #visible(path: string): Stream {
    const stream = this.#directory.applied(path);
    if (stream === undefined) throw notFound();
    if (stream.applied.state === 'softDeleted') throw gone();
    if (isExpired(stream, this.#clock.now())) throw stream.applied.forks > 0 ? gone() : notFound();
    return stream;
  }

  #expire(stream: Stream): boolean {
    const planning = this.#ready();
    const plan = new CommitPlan(planning);
    planDelete(planning, plan, stream);
    const failed = (error: HoldfastError): void => {
      if (error.effect === 'none') this.#reaper.add(stream);
    };
    try {
      plan.submit(() => {}, failed, { reclaims: true });
      return true;
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      this.#logger.warn('reaper.refused', { code: error.code });
      return false;
    }
  }

  #plannedIsApplied(): void {
    this.#usage.bytesAhead = this.#usage.bytes;
    this.#usage.streamsAhead = this.#directory.size;
  }

  #attached(): EngineHost {
    assert(this.#host !== undefined, 'stream engine is not attached');
    return this.#host;
  }

  #ready(): Planning {
    assert(this.#open && this.#planning !== undefined, 'stream engine is not open yet');
    return this.#planning;
  }
}

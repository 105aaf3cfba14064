/**
 * Streams without HTTP: `node.streams`. The same engine and the same guarantees; offsets are
 * the same opaque texts that HTTP clients see.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import {
  formatPosition,
  isReservedPath,
  parsePosition,
  type Position,
  type ProducerTag,
  type StreamInfo,
  type StreamStore,
} from '@holdfast/streams';
import {
  checkedProducer,
  checkedStreamSeq,
  checkedSubOffset,
  createRequest,
} from './embedded-input.ts';
import { encodeMessages } from './embedded-messages.ts';
import type { HoldProcess } from './node-keep-alive.ts';
import { listPage, type StreamPage } from './stream-list-route.ts';
import { readBatches, type StreamBatch } from './stream-reader.ts';

export interface OpenStreamOptions {
  /** Content type; `contentType` is the same. A new stream without it holds octets. */
  readonly type?: string;
  readonly contentType?: string;
  /** Deleted when neither read nor written for this long. */
  readonly ttlSeconds?: number;
  readonly expiresAt?: Date;
}

export interface AppendOptions {
  /** Makes a retry safe: the same producer, epoch and seq is written once. */
  readonly producer?: ProducerTag;
  /** `Stream-Seq`: must be greater, byte by byte, than that of the last append that had one. */
  readonly seq?: string;
  /** Closes the stream with this append, atomically. */
  readonly close?: boolean;
}

export interface AppendOutcome {
  readonly nextOffset: string;
  /** A producer's retry: it was there already and nothing was written. */
  readonly duplicate: boolean;
  readonly closed: boolean;
}

export interface ReadOptions {
  /** `start` (the default), `now`, or an offset. */
  readonly from?: string;
  /** Goes on with what is appended later, until the stream is closed. */
  readonly live?: boolean;
  readonly signal?: AbortSignal;
}

export interface ForkOptions extends OpenStreamOptions {
  /** Where the fork leaves the source; absent: at its tail. */
  readonly at?: string;
  /** Messages (JSON) or bytes past `at`. */
  readonly subOffset?: number;
}

export interface StreamSummary {
  readonly path: string;
  readonly contentType: string;
  readonly nextOffset: string;
  readonly closed: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly ttlSeconds?: number;
  readonly expiresAt?: Date;
  readonly forkedFrom?: string;
}

/** What live reads need of the node they belong to. */
export interface NodeLife {
  /** Aborted when the node closes: live reads end with its reason. */
  readonly closing: AbortSignal;
  /** Called while a live read waits. */
  readonly hold: HoldProcess;
}

export class EmbeddedStreams {
  /** The engine itself, for what this API does not say. */
  readonly store: StreamStore;
  readonly #life: NodeLife;

  constructor(store: StreamStore, life: NodeLife) {
    this.store = store;
    this.#life = life;
  }

  /**
   * The stream at `path`, created if it is not there. Options that an existing stream does not
   * have reject with `STREAM_EXISTS`; without options it is taken as it is, also when closed.
   */
  async open<Message = unknown>(
    path: string,
    options: OpenStreamOptions = {},
  ): Promise<StreamHandle<Message>> {
    assertOwn(path);
    const existing = this.#find(path);
    if (existing !== undefined && fits(existing, options)) return this.#handle(existing);
    const { info } = await this.store.create(createRequest(path, options));
    return this.#handle(info);
  }

  /** @throws `STREAM_NOT_FOUND` or `STREAM_GONE`. */
  info(path: string): StreamSummary {
    return summaryOf(this.store.stat(path));
  }

  list(options: { prefix?: string; after?: string; limit?: number } = {}): StreamPage {
    return listPage(this.store, { limit: 100, ...options });
  }

  /** How many there are. Walks all of them: for people, not for every request. */
  count(): number {
    return this.store.list({ limit: LIMITS.maxStreams }).length;
  }

  async delete(path: string): Promise<void> {
    assertOwn(path);
    await this.store.delete(path);
  }

  #find(path: string): StreamInfo | undefined {
    try {
      return this.store.stat(path);
    } catch (error) {
      if (error instanceof HoldfastError && error.kind === 'missing') return undefined;
      throw error;
    }
  }

  #handle<Message>(info: StreamInfo): StreamHandle<Message> {
    return new StreamHandle<Message>(this.store, info, this.#life);
  }
}

/** One stream. Holds no state of its own: two handles of a path are the same stream. */
export class StreamHandle<Message = unknown> {
  readonly path: string;
  readonly contentType: string;
  readonly json: boolean;
  readonly #store: StreamStore;
  readonly #life: NodeLife;

  constructor(store: StreamStore, info: StreamInfo, life: NodeLife) {
    this.#store = store;
    this.#life = life;
    this.path = info.path;
    this.contentType = info.contentType;
    this.json = info.json;
  }

  /**
   * One message: any JSON value in a JSON stream, a string or bytes in others. Resolves when it
   * is durable.
   */
  append(message: Message | string | Uint8Array, options?: AppendOptions): Promise<AppendOutcome> {
    return this.appendAll([message as Message], options);
  }

  /** Several messages as one atomic append. */
  async appendAll(
    messages: readonly Message[],
    options: AppendOptions = {},
  ): Promise<AppendOutcome> {
    const encoded = encodeMessages(messages, this.json);
    if (encoded.bytes.length === 0 && options.close !== true) {
      throw new HoldfastError('EMPTY_BODY', 'there is nothing to append');
    }
    const result = await this.#store.append({
      path: this.path,
      contentType: this.contentType,
      ...(encoded.bytes.length === 0 ? {} : { messages: () => encoded }),
      ...(options.producer === undefined ? {} : { producer: checkedProducer(options.producer) }),
      ...(options.seq === undefined ? {} : { streamSeq: checkedStreamSeq(options.seq) }),
      close: options.close ?? false,
    });
    return {
      nextOffset: formatPosition(result.tail),
      duplicate: result.outcome === 'duplicate',
      closed: result.closed,
    };
  }

  /** Messages of a JSON stream one by one; of others the bytes as they come. */
  async *read(options: ReadOptions = {}): AsyncGenerator<Message, void, undefined> {
    for await (const batch of this.batches(options)) yield* batch.messages;
  }

  /** Like `read`, with the offset to go on from behind each batch. */
  batches(options: ReadOptions = {}): AsyncGenerator<StreamBatch<Message>, void, undefined> {
    const { signal, live = false, from = 'start' } = options;
    const { closing, hold } = this.#life;
    return readBatches<Message>(this.#store, {
      path: this.path,
      from: from === 'start' || from === 'now' ? from : parsePosition(from),
      live,
      signal: signal === undefined ? closing : AbortSignal.any([signal, closing]),
      hold,
    });
  }

  /** No more appends, for good; readers see the end. Closing twice is closing once. */
  async close(): Promise<AppendOutcome> {
    return this.appendAll([], { close: true });
  }

  async delete(): Promise<void> {
    await this.#store.delete(this.path);
  }

  /** A new stream that begins with what this one holds, without copying it. */
  async fork(path: string, options: ForkOptions = {}): Promise<StreamHandle<Message>> {
    const at: Position | undefined =
      options.at === undefined ? undefined : parsePosition(options.at);
    const { info } = await this.#store.create({
      ...createRequest(path, options),
      fork: {
        source: this.path,
        subOffset: checkedSubOffset(options.subOffset ?? 0),
        ...(at === undefined ? {} : { at }),
      },
    });
    return new StreamHandle<Message>(this.#store, info, this.#life);
  }

  info(): StreamSummary {
    return summaryOf(this.#store.stat(this.path));
  }
}

/** The streams of the protocol itself are written by it alone. */
function assertOwn(path: string): void {
  if (isReservedPath(path)) {
    throw new HoldfastError('ROUTE_NOT_FOUND', 'this path is reserved for the protocol');
  }
}

function fits(info: StreamInfo, options: OpenStreamOptions): boolean {
  const type = options.type ?? options.contentType;
  return (
    (type === undefined || type.trim().toLowerCase() === info.contentType.toLowerCase()) &&
    (options.ttlSeconds === undefined || options.ttlSeconds === info.ttlSeconds) &&
    (options.expiresAt === undefined || options.expiresAt.getTime() === info.expiresAtMs)
  );
}

function summaryOf(info: StreamInfo): StreamSummary {
  return {
    path: info.path,
    contentType: info.contentType,
    nextOffset: formatPosition(info.tail),
    closed: info.closed,
    createdAt: new Date(info.createdAtMs),
    updatedAt: new Date(info.updatedAtMs),
    ...(info.ttlSeconds === undefined ? {} : { ttlSeconds: info.ttlSeconds }),
    ...(info.expiresAtMs === undefined ? {} : { expiresAt: new Date(info.expiresAtMs) }),
    ...(info.forkedFrom === undefined ? {} : { forkedFrom: info.forkedFrom }),
  };
}

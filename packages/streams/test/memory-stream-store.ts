/**
 * A `StreamStore` in memory, for tests of the protocol alone: small, obvious, synchronous inside.
 * It is also a model: what it does with a request is what the contract says, in the fewest lines.
 */
import { HoldfastError } from '@holdfast/core';
import { contentTypeKey, isJsonContentType, sameContentType } from '../src/content-type.ts';
import { comparePositions, formatPosition, type Position } from '../src/position.ts';
import type {
  AppendRequest,
  AppendResult,
  CreateRequest,
  CreateResult,
  ForkRequest,
  ListRequest,
  Messages,
  ReadRequest,
  StreamChange,
  StreamInfo,
  StreamSlice,
  StreamStore,
  StreamWatcher,
} from '../src/stream-store.ts';

interface Producer {
  epoch: number;
  seq: number;
}

interface Message {
  readonly bytes: Buffer;
  /** Position before it. */
  readonly at: Position;
}

interface Stream {
  readonly id: number;
  readonly path: string;
  readonly contentType: string;
  readonly json: boolean;
  readonly ttlSeconds: number | undefined;
  readonly expiresAtMs: number | undefined;
  readonly expiresAtText: string | undefined;
  readonly source: Stream | undefined;
  /** As asked for, to compare a second PUT with. */
  readonly forkKey: string;
  readonly messages: Message[];
  readonly producers: Map<string, Producer>;
  readonly watchers: Set<StreamWatcher>;
  tail: Position;
  closed: boolean;
  forks: number;
  softDeleted: boolean;
  removed: boolean;
  streamSeq: string | undefined;
  touchedMs: number;
  createdMs: number;
}

export interface MemoryStoreOptions {
  /** Which reads answer with pieces on a later turn, as from a disk. Absent: none. */
  readonly slowReads?: 'all' | 'every-second';
  now?(): number;
}

export class MemoryStreamStore implements StreamStore {
  readonly #streams = new Map<string, Stream>();
  readonly #options: MemoryStoreOptions;
  #nextId = 1;
  #reads = 0;
  /** Creates and appends that changed something. */
  writes = 0;

  constructor(options: MemoryStoreOptions = {}) {
    this.#options = options;
  }

  get size(): number {
    return this.#streams.size;
  }

  async create(request: CreateRequest): Promise<CreateResult> {
    const source = request.fork === undefined ? undefined : this.#source(request.fork);
    const contentType = request.contentType ?? source?.contentType ?? 'application/octet-stream';
    const existing = this.#peek(request.path);
    if (existing !== undefined) return this.#confirm(existing, request, contentType);
    if (source !== undefined && !sameContentType(contentType, source.contentType)) {
      throw new HoldfastError('CONTENT_TYPE_MISMATCH', 'a fork has the type of its source');
    }
    const stream = this.#open(request, contentType, source);
    if (request.fork !== undefined && source !== undefined) inherit(stream, source, request.fork);
    if (source !== undefined) source.forks++;
    if (request.initial !== undefined) add(stream, request.initial(stream.json));
    stream.closed = request.closed;
    this.#streams.set(stream.path, stream);
    this.writes++;
    return { created: true, info: infoOf(stream) };
  }

  append(request: AppendRequest): Promise<AppendResult> {
    try {
      return Promise.resolve(this.#append(request));
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  async delete(path: string): Promise<void> {
    const stream = this.#live(path);
    this.#remove(stream);
    for (const watcher of stream.watchers)
      watcher.ended(new HoldfastError('STREAM_NOT_FOUND', 'stream was deleted'));
  }

  stat(path: string): StreamInfo {
    return infoOf(this.#live(path));
  }

  read(request: ReadRequest): StreamSlice | Promise<StreamSlice> {
    const stream = this.#live(request.path);
    stream.touchedMs = this.#now();
    const slice = sliceOf(stream, request);
    const { slowReads } = this.#options;
    const slow = slowReads === 'all' || (slowReads === 'every-second' && ++this.#reads % 2 === 0);
    if (!slow) return slice;
    const { bytes, ...rest } = slice;
    return new Promise((resolve) => {
      setImmediate(() =>
        resolve({
          ...rest,
          async *pieces() {
            for (const one of bytes ?? []) yield [one];
          },
        }),
      );
    });
  }

  watch(path: string, watcher: StreamWatcher): () => void {
    const stream = this.#live(path);
    stream.touchedMs = this.#now();
    stream.watchers.add(watcher);
    return () => stream.watchers.delete(watcher);
  }

  list(request: ListRequest): StreamInfo[] {
    return [...this.#streams.keys()]
      .filter((path) => path.startsWith(request.prefix ?? '') && path > (request.after ?? ''))
      .sort()
      .slice(0, request.limit)
      .map((path) => infoOf(this.#live(path)));
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now();
  }

  #append(request: AppendRequest): AppendResult {
    const stream = this.#live(request.path);
    const { producer } = request;
    const known = producer === undefined ? undefined : stream.producers.get(producer.id);
    if (producer !== undefined && known !== undefined) {
      if (producer.epoch < known.epoch) {
        throw new HoldfastError('PRODUCER_FENCED', 'a newer epoch writes', {
          details: { currentEpoch: known.epoch },
        });
      }
      if (producer.epoch === known.epoch && producer.seq <= known.seq) {
        return { outcome: 'duplicate', tail: stream.tail, closed: stream.closed, producer: known };
      }
    }
    if (stream.closed) {
      if (request.close && request.messages === undefined && producer === undefined) {
        return { outcome: 'duplicate', tail: stream.tail, closed: true };
      }
      throw new HoldfastError('STREAM_CLOSED', 'stream is closed', {
        details: { nextOffset: formatPosition(stream.tail) },
      });
    }
    this.#checkWriter(stream, request, known);
    const data = request.messages?.(stream.json);
    return this.#commit(stream, request, data);
  }

  #checkWriter(stream: Stream, request: AppendRequest, known: Producer | undefined): void {
    const { producer, streamSeq, contentType } = request;
    if (contentType !== undefined && !sameContentType(contentType, stream.contentType)) {
      throw new HoldfastError('CONTENT_TYPE_MISMATCH', 'content type is not the one of the stream');
    }
    if (producer !== undefined) {
      const newEpoch = known === undefined || producer.epoch > known.epoch;
      if (known !== undefined && newEpoch && producer.seq !== 0) {
        throw new HoldfastError('INVALID_PRODUCER', 'a new epoch starts at seq 0');
      }
      const expectedSeq = newEpoch ? 0 : known.seq + 1;
      if (producer.seq !== expectedSeq) {
        throw new HoldfastError('PRODUCER_SEQ_GAP', 'producer skipped appends', {
          details: { expectedSeq, receivedSeq: producer.seq },
        });
      }
    }
    if (
      streamSeq !== undefined &&
      stream.streamSeq !== undefined &&
      streamSeq <= stream.streamSeq
    ) {
      throw new HoldfastError('STREAM_SEQ_CONFLICT', 'stream-seq is not above the last one');
    }
  }

  #commit(stream: Stream, request: AppendRequest, data: Messages | undefined): AppendResult {
    const from = stream.tail;
    if (data !== undefined) add(stream, data);
    if (request.streamSeq !== undefined) stream.streamSeq = request.streamSeq;
    const { producer } = request;
    if (producer !== undefined) {
      stream.producers.set(producer.id, { epoch: producer.epoch, seq: producer.seq });
    }
    stream.closed = request.close;
    stream.touchedMs = this.#now();
    this.writes++;
    const change: StreamChange = {
      info: infoOf(stream),
      from,
      to: stream.tail,
      bytes: data === undefined ? [] : [data.bytes],
      closed: stream.closed,
    };
    for (const watcher of stream.watchers) watcher.changed(change);
    return {
      outcome: 'appended',
      tail: stream.tail,
      closed: stream.closed,
      ...(producer === undefined ? {} : { producer }),
    };
  }

  #open(request: CreateRequest, contentType: string, source: Stream | undefined): Stream {
    const own = request.ttlSeconds !== undefined || request.expiresAtMs !== undefined;
    const expiry = own ? request : source;
    return {
      id: this.#nextId++,
      path: request.path,
      contentType,
      json: isJsonContentType(contentType),
      ttlSeconds: expiry?.ttlSeconds,
      expiresAtMs: expiry?.expiresAtMs,
      expiresAtText: expiry?.expiresAtText,
      source,
      forkKey: forkKey(request.fork),
      messages: [],
      producers: new Map(),
      watchers: new Set(),
      tail: { messages: 0, bytes: 0 },
      closed: false,
      forks: 0,
      softDeleted: false,
      removed: false,
      streamSeq: undefined,
      touchedMs: this.#now(),
      createdMs: this.#now(),
    };
  }

  #confirm(existing: Stream, request: CreateRequest, contentType: string): CreateResult {
    if (existing.softDeleted) throw new HoldfastError('PATH_BLOCKED', 'path is held by its forks');
    const own = request.ttlSeconds !== undefined || request.expiresAtMs !== undefined;
    const sameExpiry =
      (!own && existing.source !== undefined) ||
      (request.ttlSeconds === existing.ttlSeconds && request.expiresAtMs === existing.expiresAtMs);
    const same =
      contentTypeKey(contentType) === contentTypeKey(existing.contentType) &&
      sameExpiry &&
      request.closed === existing.closed &&
      forkKey(request.fork) === existing.forkKey;
    if (!same) throw new HoldfastError('STREAM_EXISTS', 'stream exists with another configuration');
    return { created: false, info: infoOf(existing) };
  }

  #source(fork: ForkRequest): Stream {
    const source = this.#peek(fork.source);
    if (source === undefined) throw new HoldfastError('STREAM_NOT_FOUND', 'no such source');
    if (source.softDeleted) throw new HoldfastError('FORK_SOURCE_GONE', 'source is deleted');
    return source;
  }

  #live(path: string): Stream {
    const stream = this.#peek(path);
    if (stream === undefined) throw new HoldfastError('STREAM_NOT_FOUND', 'no such stream');
    if (stream.softDeleted) throw new HoldfastError('STREAM_GONE', 'stream is deleted');
    return stream;
  }

  #peek(path: string): Stream | undefined {
    const stream = this.#streams.get(path);
    if (stream === undefined || stream.softDeleted) return stream;
    const ttlEnd =
      stream.ttlSeconds === undefined ? Infinity : stream.touchedMs + stream.ttlSeconds * 1000;
    if (this.#now() < Math.min(ttlEnd, stream.expiresAtMs ?? Infinity)) return stream;
    this.#remove(stream);
    return this.#streams.get(path);
  }

  #remove(stream: Stream): void {
    this.writes++;
    if (stream.forks > 0) {
      stream.softDeleted = true;
      return;
    }
    for (let gone: Stream | undefined = stream; gone !== undefined;) {
      this.#streams.delete(gone.path);
      gone.removed = true;
      const source: Stream | undefined = gone.source;
      if (source === undefined || --source.forks > 0 || !source.softDeleted) return;
      gone = source;
    }
  }
}

function forkKey(fork: ForkRequest | undefined): string {
  if (fork === undefined) return '';
  const at = fork.at === undefined ? 'tail' : formatPosition(fork.at);
  return `${fork.source} ${at} ${fork.subOffset}`;
}

function add(stream: Stream, data: Messages): void {
  let start = 0;
  for (const length of data.lengths) {
    const bytes = data.bytes.subarray(start, start + length);
    stream.messages.push({ bytes, at: stream.tail });
    stream.tail = {
      messages: stream.tail.messages + 1,
      bytes: stream.tail.bytes + length,
    };
    start += length;
  }
}

function inherit(stream: Stream, source: Stream, fork: ForkRequest): void {
  const at = fork.at ?? source.tail;
  const beyond = new HoldfastError('FORK_OFFSET_BEYOND_TAIL', 'fork offset is beyond the tail');
  if (comparePositions(at, source.tail) > 0) throw beyond;
  const kept = source.messages.filter((message) => comparePositions(message.at, at) < 0);
  stream.messages.push(...kept);
  stream.tail = at;
  if (fork.subOffset === 0) return;
  const rest = source.messages.slice(kept.length);
  if (stream.json) {
    if (fork.subOffset > rest.length) throw beyond;
    for (const { bytes } of rest.slice(0, fork.subOffset)) {
      add(stream, { bytes, lengths: [bytes.length] });
    }
    return;
  }
  const [next] = rest;
  if (next === undefined || fork.subOffset > next.bytes.length) throw beyond;
  const bytes = next.bytes.subarray(0, fork.subOffset);
  add(stream, { bytes, lengths: [bytes.length] });
}

function sliceOf(stream: Stream, request: ReadRequest): StreamSlice {
  const { messages, tail } = stream;
  const wanted = typeof request.from === 'string' ? undefined : request.from;
  let index = request.from === 'now' ? messages.length : 0;
  if (wanted !== undefined) index = firstAt(messages, tail, wanted);
  const from = messages[index]?.at ?? tail;
  const bytes: Buffer[] = [];
  let size = 0;
  for (; index < messages.length; index++) {
    const message = messages[index] as Message;
    if (size > 0 && size + message.bytes.length > request.maxBytes) break;
    bytes.push(message.bytes);
    size += message.bytes.length;
  }
  const to = messages[index]?.at ?? tail;
  const upToDate = index === messages.length;
  return {
    info: infoOf(stream),
    from,
    to,
    byteLength: size,
    upToDate,
    endOfStream: upToDate && stream.closed,
    bytes,
    async *pieces() {
      yield bytes;
    },
  };
}

/** The message that holds the position, or the first behind it. */
function firstAt(messages: readonly Message[], tail: Position, wanted: Position): number {
  let low = 0;
  let high = messages.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const end = messages[middle + 1]?.at ?? tail;
    if (comparePositions(end, wanted) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function infoOf(stream: Stream): StreamInfo {
  return {
    path: stream.path,
    id: stream.id,
    contentType: stream.contentType,
    json: stream.json,
    ...(stream.ttlSeconds === undefined ? {} : { ttlSeconds: stream.ttlSeconds }),
    ...(stream.expiresAtMs === undefined ? {} : { expiresAtMs: stream.expiresAtMs }),
    ...(stream.expiresAtText === undefined ? {} : { expiresAtText: stream.expiresAtText }),
    tail: stream.tail,
    closed: stream.closed,
    createdAtMs: stream.createdMs,
    updatedAtMs: stream.touchedMs,
    ownBytes: stream.tail.bytes,
    forks: stream.forks,
  };
}

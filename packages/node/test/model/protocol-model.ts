/**
 * The Durable Streams protocol as a small model: a request and the time give one answer. Written
 * from the protocol's text, not from the server: streams are lists of messages, everything is
 * looked up by search, a fork copies what it inherits.
 *
 * What the text leaves open is decided here as the contract of this server (docs and decisions):
 * offsets are `messages_bytes` (0005), a retry is a duplicate also on a closed stream (0009), an
 * unclean stop renews sliding windows (0006), the reaper waits ten seconds after a start and
 * skips a round when the wall clock jumped.
 */
export interface Message {
  readonly data: Buffer;
  /** As it counts in offsets: JSON rests with a comma. */
  readonly size: number;
  readonly endsAppend: boolean;
}

export interface Place {
  readonly messages: number;
  readonly bytes: number;
}

/** A body and what it means to a JSON stream; `undefined` elements: not valid JSON. */
export interface Body {
  readonly raw: Buffer;
  readonly elements: readonly string[] | undefined;
}

export interface ModelRequest {
  readonly method: 'PUT' | 'POST' | 'GET' | 'HEAD' | 'DELETE' | 'OPTIONS';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly offset?: string;
  readonly body?: Body;
}

export interface Expected {
  readonly status: number;
  /** Protocol headers; all others must be absent. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** What the entity tag has to stand for: equal for equal, different for different. */
  readonly entity?: string;
  /** Whole seconds a cache may keep it at most. */
  readonly freshSeconds?: number;
}

interface Fork {
  readonly sourceKey: number;
  readonly sourcePath: string;
  readonly at: Place | undefined;
  readonly base: Place;
  readonly subOffset: number;
  readonly inheritsExpiry: boolean;
}

export interface ModelStream {
  readonly key: number;
  readonly path: string;
  readonly contentType: string;
  readonly json: boolean;
  messages: readonly Message[];
  closed: boolean;
  readonly ttlSeconds: number | undefined;
  readonly expiresAt: { readonly text: string; readonly ms: number } | undefined;
  readonly fork: Fork | undefined;
  readonly createdAtMs: number;
  touchedAtMs: number;
  streamSeq: string | undefined;
  readonly producers: Map<string, { readonly epoch: number; readonly seq: number }>;
  softDeleted: boolean;
}

export interface Slice {
  readonly from: Place;
  readonly to: Place;
  readonly messages: readonly Message[];
  readonly upToDate: boolean;
  readonly closed: boolean;
}

const REAPER_GRACE_MS = 10_000;
const REAPER_JUMP_MS = 300_000;

class Refusal extends Error {
  readonly expected: Expected;
  constructor(status: number, headers: Record<string, string> = {}) {
    super(String(status));
    this.expected = { status, headers };
  }
}

export class ProtocolModel {
  streams: ModelStream[] = [];
  readonly chunkBytes: number;
  nowMs: number;
  /** Streams with a live reader do not expire. */
  readonly watched = new Set<number>();
  #nextKey = 1;
  #upMs = 0;
  #jumpedMs = 0;

  constructor(chunkBytes: number, nowMs: number) {
    this.chunkBytes = chunkBytes;
    this.nowMs = nowMs;
  }

  clone(): ProtocolModel {
    const copy = new ProtocolModel(this.chunkBytes, this.nowMs);
    copy.streams = this.streams.map((s) => ({ ...s, producers: new Map(s.producers) }));
    copy.#nextKey = this.#nextKey;
    copy.#upMs = this.#upMs;
    copy.#jumpedMs = this.#jumpedMs;
    return copy;
  }

  ask(request: ModelRequest): Expected {
    try {
      switch (request.method) {
        case 'PUT':
          return this.#put(request);
        case 'POST':
          return this.#post(request);
        case 'GET':
          return this.#get(request);
        case 'HEAD':
          return this.#head(request);
        case 'DELETE':
          this.#remove(this.use(request.path));
          return { status: 204, headers: {} };
        case 'OPTIONS':
          return { status: 204, headers: {} };
      }
    } catch (error) {
      if (error instanceof Refusal) return error.expected;
      throw error;
    }
  }

  find(path: string): ModelStream | undefined {
    return this.streams.find((stream) => stream.path === path);
  }

  forks(stream: ModelStream): number {
    return this.streams.filter(({ fork }) => fork?.sourceKey === stream.key).length;
  }

  isOver(stream: ModelStream): boolean {
    if (stream.expiresAt !== undefined && this.nowMs >= stream.expiresAt.ms) return true;
    if (stream.ttlSeconds === undefined || this.watched.has(stream.key)) return false;
    return this.nowMs >= stream.touchedAtMs + stream.ttlSeconds * 1000;
  }

  /** The stream that a request is for; throws the refusal. */
  use(path: string): ModelStream {
    const stream = this.find(path);
    if (stream === undefined) throw new Refusal(404);
    if (stream.softDeleted) throw new Refusal(410);
    if (this.isOver(stream)) throw new Refusal(this.forks(stream) > 0 ? 410 : 404);
    return stream;
  }

  touch(stream: ModelStream): void {
    stream.touchedAtMs = Math.max(stream.touchedAtMs, this.nowMs);
  }

  // -- time ------------------------------------------------------------------------------------

  /** One second passes; the reaper has its round. */
  second(): void {
    this.nowMs += 1000;
    this.#upMs += 1000;
    const jumped = Math.abs(this.#jumpedMs) > REAPER_JUMP_MS;
    this.#jumpedMs = 0;
    if (jumped || this.#upMs < REAPER_GRACE_MS) return;
    for (const stream of [...this.streams]) {
      const there = this.streams.includes(stream) && !stream.softDeleted;
      if (there && this.isOver(stream)) this.#remove(stream);
    }
  }

  /** Only the wall clock moves. */
  jump(byMs: number): void {
    this.nowMs += byMs;
    this.#jumpedMs += byMs;
  }

  restarted(cleanly: boolean): void {
    this.#upMs = 0;
    this.#jumpedMs = 0;
    if (!cleanly) for (const stream of this.streams) this.touch(stream);
  }

  // -- PUT -------------------------------------------------------------------------------------

  #put({ path, headers, body }: ModelRequest): Expected {
    const type = headers['content-type'];
    if (type !== undefined && !/^[\w.+-]+\/[\w.+-]+(;.*)?$/.test(type)) throw new Refusal(400);
    const expiry = expiryOf(headers);
    const closed = isTrue(headers['stream-closed']);
    const from = forkOf(headers);
    const existing = this.find(path);
    if (existing !== undefined) {
      const over = this.isOver(existing);
      if (existing.softDeleted || (over && this.forks(existing) > 0)) throw new Refusal(409);
      if (!over) {
        if (!isSame(existing, type, expiry, closed, from)) throw new Refusal(409);
        return described(200, existing);
      }
    }
    const origin = from === undefined ? undefined : this.#origin(from, type);
    const json = isJson(type ?? origin?.source.contentType ?? '');
    const own = body === undefined ? [] : messagesOf(body, json);
    if (existing !== undefined) this.#remove(existing);
    const given = expiry.ttlSeconds !== undefined || expiry.expiresAt !== undefined;
    const inherited = given ? expiry : (origin?.source ?? expiry);
    const stream: ModelStream = {
      key: this.#nextKey++,
      path,
      contentType: type ?? origin?.source.contentType ?? 'application/octet-stream',
      json,
      messages: [...(origin?.messages ?? []), ...own],
      closed,
      ttlSeconds: inherited.ttlSeconds,
      expiresAt: inherited.expiresAt,
      fork:
        origin === undefined || from === undefined
          ? undefined
          : {
              sourceKey: origin.source.key,
              sourcePath: from.source,
              at: from.at,
              base: placeAt(origin.messages, origin.messages.length),
              subOffset: from.subOffset,
              inheritsExpiry: !given,
            },
      createdAtMs: this.nowMs,
      touchedAtMs: this.nowMs,
      streamSeq: undefined,
      producers: new Map(),
      softDeleted: false,
    };
    this.streams.push(stream);
    return described(201, stream);
  }

  #origin(
    from: ForkRequest,
    type: string | undefined,
  ): { source: ModelStream; messages: Message[] } {
    const source = this.find(from.source);
    if (source === undefined) throw new Refusal(404);
    const over = this.isOver(source);
    if (source.softDeleted || (over && this.forks(source) > 0)) throw new Refusal(409);
    if (over) throw new Refusal(404);
    if (type !== undefined && typeKey(type) !== typeKey(source.contentType)) throw new Refusal(409);
    const { messages } = source;
    const tail = tailOf(source);
    const at = from.at ?? tail;
    const count = messages.findIndex((_, i) => samePlace(placeAt(messages, i), at));
    const index = samePlace(at, tail) ? messages.length : count;
    if (index < 0) throw new Refusal(400);
    const kept = messages.slice(0, index);
    let left = from.subOffset;
    if (!source.json && left > 0) {
      const cut = messages[index];
      if (cut === undefined || left > cut.size) throw new Refusal(400);
      kept.push({ data: cut.data.subarray(0, left), size: left, endsAppend: true });
      left = 0;
    }
    for (let i = index; left > 0; i++) {
      const next = messages[i];
      if (next === undefined) throw new Refusal(400);
      kept.push(next);
      left--;
      if (next.endsAppend && left > 0) throw new Refusal(400);
    }
    const last = kept.at(-1);
    if (last !== undefined) kept[kept.length - 1] = { ...last, endsAppend: true };
    return { source, messages: kept };
  }

  // -- POST ------------------------------------------------------------------------------------

  #post({ path, headers, body }: ModelRequest): Expected {
    const close = isTrue(headers['stream-closed']);
    const producer = producerOf(headers);
    const streamSeq = headers['stream-seq'];
    if (streamSeq === '') throw new Refusal(400);
    const hasData = body !== undefined && body.raw.length > 0;
    const type = headers['content-type'];
    if (hasData && type === undefined) throw new Refusal(400);
    if (!hasData && !close) throw new Refusal(400);
    const stream = this.use(path);
    const known = producer && stream.producers.get(producer.id);
    if (producer !== undefined && known !== undefined) {
      if (producer.epoch < known.epoch) {
        throw new Refusal(403, { 'producer-epoch': String(known.epoch) });
      }
      if (producer.epoch === known.epoch && producer.seq <= known.seq) {
        return appended(204, stream, known);
      }
    }
    if (stream.closed) {
      if (!hasData && producer === undefined) return appended(204, stream, undefined);
      throw new Refusal(409, { 'stream-closed': 'true', 'stream-next-offset': tokenOf(stream) });
    }
    if (hasData && typeKey(type as string) !== typeKey(stream.contentType)) throw new Refusal(409);
    if (producer !== undefined) checkOrder(producer, known);
    const last = stream.streamSeq;
    if (streamSeq !== undefined && last !== undefined && streamSeq <= last) throw new Refusal(409);
    const added = hasData ? messagesOf(body, stream.json) : [];
    if (hasData && added.length === 0) throw new Refusal(400);
    stream.messages = [...stream.messages, ...added];
    stream.closed = close;
    if (streamSeq !== undefined) stream.streamSeq = streamSeq;
    if (producer !== undefined) stream.producers.set(producer.id, producer);
    this.touch(stream);
    return appended(producer !== undefined && hasData ? 200 : 204, stream, producer);
  }

  // -- reads -----------------------------------------------------------------------------------

  #get({ path, headers, offset }: ModelRequest): Expected {
    const from = offsetOf(offset ?? '-1');
    const stream = this.use(path);
    this.touch(stream);
    const slice = this.slice(stream, from);
    const answer = {
      'stream-next-offset': format(slice.to),
      ...(slice.upToDate ? { 'stream-up-to-date': 'true' } : {}),
      ...(slice.closed ? { 'stream-closed': 'true' } : {}),
    };
    const body = bodyOf(stream, slice.messages);
    const type = { 'content-type': stream.contentType };
    if (from === 'now') {
      return { status: 200, headers: { ...answer, ...type }, body, freshSeconds: 0 };
    }
    const entity = entityOf(stream, slice);
    const condition = headers['if-none-match'];
    const fresh = { entity, freshSeconds: this.#freshFor(stream, slice) };
    if (condition !== undefined && isMatch(condition, entity)) {
      return { status: 304, headers: answer, ...fresh };
    }
    return { status: 200, headers: { ...answer, ...type }, body, ...fresh };
  }

  /** What a read gives: whole messages, at least one, then as many as the chunk takes. */
  slice(stream: ModelStream, from: Place | 'now', maxBytes: number = this.chunkBytes): Slice {
    const { messages, closed } = stream;
    const tail = tailOf(stream);
    if (from === 'now' || compare(from, tail) >= 0) {
      return { from: tail, to: tail, messages: [], upToDate: true, closed };
    }
    let first = 0;
    while (compare(placeAt(messages, first + 1), from) <= 0) first++;
    const start = placeAt(messages, first);
    let end = first + 1;
    while (end < messages.length && placeAt(messages, end + 1).bytes - start.bytes <= maxBytes) {
      end++;
    }
    const upToDate = end === messages.length;
    return {
      from: start,
      to: placeAt(messages, end),
      messages: messages.slice(first, end),
      upToDate,
      closed: closed && upToDate,
    };
  }

  #freshFor(stream: ModelStream, slice: Slice): number {
    if (slice.messages.length === 0 && !slice.closed) return 0;
    if (stream.expiresAt !== undefined) {
      return Math.floor((stream.expiresAt.ms - this.nowMs) / 1000);
    }
    return stream.ttlSeconds ?? Number.MAX_SAFE_INTEGER;
  }

  #head({ path }: ModelRequest): Expected {
    const stream = this.use(path);
    const expected = described(200, stream);
    const headers: Record<string, string> = { ...expected.headers };
    if (stream.ttlSeconds !== undefined) headers['stream-ttl'] = String(stream.ttlSeconds);
    if (stream.expiresAt !== undefined) headers['stream-expires-at'] = stream.expiresAt.text;
    return { status: 200, headers, freshSeconds: 0 };
  }

  // -- the list route --------------------------------------------------------------------------

  list(asked: { prefix?: string; after?: string; limit?: string }): unknown {
    const { prefix = '', after = '', limit = '100' } = asked;
    if (!/^[1-9]\d*$/.test(limit) || Number(limit) > 1000) return { status: 400 };
    const all = this.streams
      .filter((stream) => !stream.softDeleted && !this.isOver(stream))
      .filter(({ path }) => path.startsWith(prefix) && path > after)
      .sort((a, b) => (a.path < b.path ? -1 : 1));
    const page = all.slice(0, Number(limit));
    const more = all.length > page.length;
    return {
      streams: page.map((stream) => this.#listed(stream)),
      ...(more ? { next: page.at(-1)?.path } : {}),
    };
  }

  #listed(stream: ModelStream): unknown {
    const { expiresAt, ttlSeconds, fork } = stream;
    return {
      path: stream.path,
      contentType: stream.contentType,
      nextOffset: tokenOf(stream),
      ...tailOf(stream),
      closed: stream.closed,
      createdAt: new Date(stream.createdAtMs).toISOString(),
      ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
      ...(expiresAt === undefined ? {} : { expiresAt: expiresAt.text }),
      ...(fork === undefined ? {} : { forkedFrom: fork.sourcePath }),
      forks: this.forks(stream),
    };
  }

  /** Deletes for readers; what nobody forks goes, and with it deleted sources nobody else forks. */
  #remove(stream: ModelStream): void {
    if (this.forks(stream) > 0) {
      stream.softDeleted = true;
      return;
    }
    this.streams = this.streams.filter((other) => other !== stream);
    const source = this.streams.find(({ key }) => key === stream.fork?.sourceKey);
    if (source?.softDeleted === true) this.#remove(source);
  }
}

// -- the pieces ----------------------------------------------------------------------------------

export function placeAt(messages: readonly Message[], count: number): Place {
  let bytes = 0;
  for (let i = 0; i < count; i++) bytes += (messages[i] as Message).size;
  return { messages: count, bytes };
}

export function tailOf(stream: ModelStream): Place {
  return placeAt(stream.messages, stream.messages.length);
}

export function format(place: Place): string {
  return [place.messages, place.bytes].map((n) => String(n).padStart(16, '0')).join('_');
}

export function compare(a: Place, b: Place): number {
  return a.messages - b.messages || a.bytes - b.bytes;
}

/** Throws the refusal of a malformed one. */
export function offsetOf(token: string): Place | 'now' {
  if (token === 'now') return 'now';
  if (token === '-1') return { messages: 0, bytes: 0 };
  const match = /^(\d{16})_(\d{16})$/.exec(token);
  const [messages, bytes] = [Number(match?.[1]), Number(match?.[2])];
  if (!Number.isSafeInteger(messages) || !Number.isSafeInteger(bytes)) throw new Refusal(400);
  return { messages, bytes };
}

export function bodyOf(stream: ModelStream, messages: readonly Message[]): Buffer {
  if (!stream.json) return Buffer.concat(messages.map(({ data }) => data));
  return Buffer.from(`[${messages.map(({ data }) => data.toString()).join(',')}]`);
}

export function entityOf(stream: ModelStream, slice: Slice): string {
  const range = `${format(slice.from)}:${format(slice.to)}`;
  return `<${stream.key}:${range}${slice.closed ? ':closed' : ''}>`;
}

function tokenOf(stream: ModelStream): string {
  return format(tailOf(stream));
}

function samePlace(a: Place, b: Place): boolean {
  return compare(a, b) === 0;
}

function described(status: number, stream: ModelStream): Expected {
  return {
    status,
    headers: {
      'content-type': stream.contentType,
      'stream-next-offset': tokenOf(stream),
      ...(stream.closed ? { 'stream-closed': 'true' } : {}),
      ...(status === 201 ? { location: stream.path } : {}),
    },
  };
}

function appended(
  status: number,
  stream: ModelStream,
  producer: { epoch: number; seq: number } | undefined,
): Expected {
  const tag =
    producer === undefined
      ? {}
      : { 'producer-epoch': String(producer.epoch), 'producer-seq': String(producer.seq) };
  return {
    status,
    headers: {
      'stream-next-offset': tokenOf(stream),
      ...(stream.closed ? { 'stream-closed': 'true' } : {}),
      ...tag,
    },
  };
}

function messagesOf(body: Body, json: boolean): Message[] {
  if (!json) {
    if (body.raw.length === 0) return [];
    return [{ data: body.raw, size: body.raw.length, endsAppend: true }];
  }
  if (body.raw.length === 0) return [];
  const { elements } = body;
  if (elements === undefined) throw new Refusal(400);
  return elements.map((text, i) => {
    const data = Buffer.from(text);
    return { data, size: data.length + 1, endsAppend: i === elements.length - 1 };
  });
}

function isTrue(value: string | undefined): boolean {
  return value?.toLowerCase() === 'true';
}

function isJson(type: string): boolean {
  return typeKey(type) === 'application/json';
}

/** HTTP clients add `charset=utf-8` by themselves: it says nothing. */
function typeKey(type: string): string {
  return type.toLowerCase().replace(/\s*;\s*charset="?utf-8"?/, '');
}

type Expiry = Pick<ModelStream, 'ttlSeconds' | 'expiresAt'>;

function expiryOf(headers: Readonly<Record<string, string>>): Expiry {
  const ttl = headers['stream-ttl'];
  const at = headers['stream-expires-at'];
  if (ttl !== undefined && at !== undefined) throw new Refusal(400);
  if (ttl !== undefined && !/^(0|[1-9]\d*)$/.test(ttl)) throw new Refusal(400);
  const ms = at === undefined || !at.includes('T') ? NaN : Date.parse(at);
  if (at !== undefined && Number.isNaN(ms)) throw new Refusal(400);
  return {
    ttlSeconds: ttl === undefined ? undefined : Number(ttl),
    expiresAt: at === undefined ? undefined : { text: at, ms },
  };
}

interface ForkRequest {
  readonly source: string;
  readonly at: Place | undefined;
  readonly subOffset: number;
}

function forkOf(headers: Readonly<Record<string, string>>): ForkRequest | undefined {
  const from = headers['stream-forked-from'];
  const offset = headers['stream-fork-offset'];
  const sub = headers['stream-fork-sub-offset'];
  if (from === undefined) {
    if (offset === undefined && sub === undefined) return undefined;
    throw new Refusal(400);
  }
  if (sub !== undefined && !/^(0|[1-9]\d*)$/.test(sub)) throw new Refusal(400);
  const subOffset = Number(sub ?? 0);
  if (subOffset > 0 && offset === undefined) throw new Refusal(400);
  const at = offset === undefined ? undefined : offsetOf(offset);
  if (at === 'now' || !from.startsWith('/v1/stream/')) throw new Refusal(400);
  return { source: decodeURIComponent(from.slice('/v1/stream/'.length)), at, subOffset };
}

function isSame(
  stream: ModelStream,
  type: string | undefined,
  expiry: Expiry,
  closed: boolean,
  from: ForkRequest | undefined,
): boolean {
  const { fork } = stream;
  if (closed !== stream.closed || (fork === undefined) !== (from === undefined)) return false;
  const wanted = type ?? (fork === undefined ? 'application/octet-stream' : stream.contentType);
  if (typeKey(wanted) !== typeKey(stream.contentType)) return false;
  const own = fork?.inheritsExpiry === true ? NO_EXPIRY : stream;
  if (expiry.ttlSeconds !== own.ttlSeconds) return false;
  if (expiry.expiresAt?.ms !== own.expiresAt?.ms) return false;
  if (fork === undefined || from === undefined) return true;
  if (fork.sourcePath !== from.source || fork.subOffset !== from.subOffset) return false;
  if (from.at === undefined) return fork.at === undefined;
  return samePlace(fork.at ?? fork.base, from.at);
}

const NO_EXPIRY: Expiry = { ttlSeconds: undefined, expiresAt: undefined };

interface Producer {
  readonly id: string;
  readonly epoch: number;
  readonly seq: number;
}

function producerOf(headers: Readonly<Record<string, string>>): Producer | undefined {
  const parts = ['producer-id', 'producer-epoch', 'producer-seq'].map((name) => headers[name]);
  if (parts.every((part) => part === undefined)) return undefined;
  const [id, epoch, seq] = parts;
  if (id === undefined || id === '' || epoch === undefined || seq === undefined) {
    throw new Refusal(400);
  }
  for (const number of [epoch, seq]) {
    if (!/^(0|[1-9]\d*)$/.test(number) || !Number.isSafeInteger(Number(number))) {
      throw new Refusal(400);
    }
  }
  return { id, epoch: Number(epoch), seq: Number(seq) };
}

function checkOrder(producer: Producer, known: { epoch: number; seq: number } | undefined): void {
  const renewed = known !== undefined && producer.epoch > known.epoch;
  if (renewed && producer.seq !== 0) throw new Refusal(400);
  const expected = known === undefined || renewed ? 0 : known.seq + 1;
  if (producer.seq === expected) return;
  throw new Refusal(409, {
    'producer-expected-seq': String(expected),
    'producer-received-seq': String(producer.seq),
  });
}

/** The condition is written with entities in place of tags. */
function isMatch(condition: string, entity: string): boolean {
  return condition
    .split(',')
    .map((part) => part.trim().replace(/^W\//, ''))
    .some((part) => part === '*' || part === entity);
}

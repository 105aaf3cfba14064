/**
 * What the stream engine must do, said plainly: every stream is a list of messages, a fork is
 * a copy, and every change makes a new state. Slow and obvious on purpose.
 */
import type { ErrorCode } from '@holdfast/core';
import { comparePositions, type Position } from '../src/position.ts';

export interface ModelMessage {
  readonly text: string;
  readonly endsAppend: boolean;
}

export interface ModelStream {
  readonly key: number;
  readonly path: string;
  readonly json: boolean;
  readonly messages: ModelMessage[];
  readonly inherited: number;
  readonly source: number | undefined;
  readonly request: string;
  readonly ttlMs: number | undefined;
  closed: boolean;
  streamSeq: string | undefined;
  producers: Record<string, { epoch: number; seq: number }>;
  state: 'active' | 'softDeleted';
}

export interface ModelState {
  readonly streams: Map<number, ModelStream>;
}

export type Expected =
  | { readonly kind: 'refused'; readonly code: ErrorCode }
  | { readonly kind: 'answered'; readonly tail: Position; readonly closed: boolean }
  | { readonly kind: 'committed'; readonly tail: Position; readonly closed: boolean };

export interface ModelCreate {
  readonly path: string;
  readonly json: boolean;
  readonly closed: boolean;
  readonly ttlSeconds: number | undefined;
  readonly initial: readonly string[];
  readonly fork: { source: string; at: Position | undefined; subOffset: number } | undefined;
}

export interface ModelAppend {
  readonly path: string;
  readonly json: boolean;
  readonly texts: readonly string[];
  readonly close: boolean;
  readonly producer: { id: string; epoch: number; seq: number } | undefined;
  readonly streamSeq: string | undefined;
}

class Refusal extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode) {
    super(code);
    this.code = code;
  }
}

export class StreamModel {
  /** `history[0]` is durable; the others are what commits in flight lead to. */
  history: ModelState[] = [{ streams: new Map() }];
  touched = new Map<number, number>();
  nowMs = 0;
  #nextKey = 1;

  get durable(): ModelState {
    return this.history[0] as ModelState;
  }

  get ahead(): ModelState {
    return this.history.at(-1) as ModelState;
  }

  get inFlight(): number {
    return this.history.length - 1;
  }

  settle(count: number): void {
    this.history = this.history.slice(Math.min(count, this.inFlight));
  }

  discard(): void {
    this.history = [this.durable];
  }

  crash(kept: number): void {
    this.settle(kept);
    this.discard();
    for (const stream of this.durable.streams.values()) this.touched.set(stream.key, this.nowMs);
  }

  find(state: ModelState, path: string): ModelStream | undefined {
    return [...state.streams.values()].find((stream) => stream.path === path);
  }

  forks(state: ModelState, key: number): number {
    return [...state.streams.values()].filter((stream) => stream.source === key).length;
  }

  isOver(stream: ModelStream): boolean {
    if (stream.ttlMs === undefined) return false;
    return this.nowMs >= (this.touched.get(stream.key) ?? 0) + stream.ttlMs;
  }

  /** The stream a request may use, or a refusal. */
  use(state: ModelState, path: string): ModelStream {
    const stream = this.find(state, path);
    if (stream === undefined) throw new Refusal('STREAM_NOT_FOUND');
    if (stream.state === 'softDeleted') throw new Refusal('STREAM_GONE');
    if (this.isOver(stream)) {
      throw new Refusal(this.forks(state, stream.key) > 0 ? 'STREAM_GONE' : 'STREAM_NOT_FOUND');
    }
    return stream;
  }

  create(request: ModelCreate): Expected {
    return this.#try((next) => {
      const existing = this.find(next, request.path);
      if (existing !== undefined) {
        const over = this.isOver(existing);
        const blocked = over && this.forks(next, existing.key) > 0;
        if (existing.state === 'softDeleted' || blocked) throw new Refusal('PATH_BLOCKED');
        if (!over) {
          if (existing.request !== requestOf(request) || existing.closed !== request.closed) {
            throw new Refusal('STREAM_EXISTS');
          }
          const durable = this.durable.streams.get(existing.key);
          return answerOf(durable?.closed === existing.closed ? durable : existing);
        }
      }
      const { messages, source } = this.#inherit(next, request);
      if (existing !== undefined) this.#remove(next, existing);
      const stream: ModelStream = {
        key: this.#nextKey++,
        path: request.path,
        json: request.json,
        messages: [...messages, ...append(request.initial)],
        inherited: messages.length,
        source: source?.key,
        request: requestOf(request),
        ttlMs: request.ttlSeconds === undefined ? source?.ttlMs : request.ttlSeconds * 1000,
        closed: request.closed,
        streamSeq: undefined,
        producers: {},
        state: 'active',
      };
      next.streams.set(stream.key, stream);
      this.touched.set(stream.key, this.nowMs);
      return { kind: 'committed', tail: tailOf(stream), closed: stream.closed };
    });
  }

  append(request: ModelAppend): Expected {
    return this.#try((next) => {
      const stream = this.use(next, request.path);
      const { producer } = request;
      const known = producer === undefined ? undefined : stream.producers[`$${producer.id}`];
      if (producer !== undefined && known !== undefined) {
        if (producer.epoch < known.epoch) throw new Refusal('PRODUCER_FENCED');
        if (producer.epoch === known.epoch && producer.seq <= known.seq) {
          const durable = this.durable.streams.get(stream.key);
          const seen = durable?.producers[`$${producer.id}`];
          const isDurable = seen?.epoch === producer.epoch && producer.seq <= seen.seq;
          return answerOf(isDurable ? (durable as ModelStream) : stream);
        }
      }
      if (stream.closed) {
        if (request.close && request.texts.length === 0 && producer === undefined) {
          return answerOf(stream);
        }
        throw new Refusal('STREAM_CLOSED');
      }
      if (request.texts.length > 0 && request.json !== stream.json) {
        throw new Refusal('CONTENT_TYPE_MISMATCH');
      }
      if (producer !== undefined) checkOrder(producer, known);
      if (request.streamSeq !== undefined && stream.streamSeq !== undefined) {
        if (request.streamSeq <= stream.streamSeq) throw new Refusal('STREAM_SEQ_CONFLICT');
      }
      if (request.texts.length === 0 && !request.close) throw new Refusal('EMPTY_BODY');
      stream.messages.push(...append(request.texts));
      stream.closed = request.close;
      if (request.streamSeq !== undefined) stream.streamSeq = request.streamSeq;
      if (producer !== undefined) stream.producers[`$${producer.id}`] = { ...producer };
      this.touched.set(stream.key, this.nowMs);
      return { kind: 'committed', tail: tailOf(stream), closed: stream.closed };
    });
  }

  delete(path: string): Expected {
    return this.#try((next) => {
      const stream = this.use(next, path);
      const tail = tailOf(stream);
      this.#remove(next, stream);
      return { kind: 'committed', tail, closed: stream.closed };
    });
  }

  /** Everything that is over goes. Returns how many commits that takes. */
  reap(): number {
    let commits = 0;
    for (;;) {
      const over = [...this.ahead.streams.values()].find(
        (stream) => stream.state === 'active' && this.isOver(stream),
      );
      if (over === undefined) return commits;
      this.#try((next) => {
        this.#remove(next, next.streams.get(over.key) as ModelStream);
        return { kind: 'committed', tail: { messages: 0, bytes: 0 }, closed: false };
      });
      commits++;
    }
  }

  #inherit(
    state: ModelState,
    request: ModelCreate,
  ): { messages: ModelMessage[]; source: ModelStream | undefined } {
    if (request.fork === undefined) return { messages: [], source: undefined };
    const source = this.find(state, request.fork.source);
    if (source === undefined) throw new Refusal('STREAM_NOT_FOUND');
    const over = this.isOver(source);
    const forked = this.forks(state, source.key) > 0;
    if (source.state === 'softDeleted' || (over && forked)) throw new Refusal('FORK_SOURCE_GONE');
    if (over) throw new Refusal('STREAM_NOT_FOUND');
    if (source.json !== request.json) throw new Refusal('CONTENT_TYPE_MISMATCH');
    const shown = this.durable.streams.get(source.key) as ModelStream;
    return { messages: cutAt(shown, request.fork.at ?? tailOf(shown), request.fork), source };
  }

  #remove(state: ModelState, stream: ModelStream): void {
    if (this.forks(state, stream.key) > 0) {
      stream.state = 'softDeleted';
      return;
    }
    state.streams.delete(stream.key);
    const source = stream.source === undefined ? undefined : state.streams.get(stream.source);
    if (source?.state === 'softDeleted') this.#remove(state, source);
  }

  #try(run: (next: ModelState) => Expected): Expected {
    const next = structuredClone(this.ahead);
    try {
      const expected = run(next);
      if (expected.kind === 'committed') this.history.push(next);
      return expected;
    } catch (error) {
      if (error instanceof Refusal) return { kind: 'refused', code: error.code };
      throw error;
    }
  }
}

/** What is durable is answered as it is; the rest waits, and is answered as it will be. */
function answerOf(stream: ModelStream): Expected {
  return { kind: 'answered', tail: tailOf(stream), closed: stream.closed };
}

/** The messages of a new fork. */
function cutAt(
  source: ModelStream,
  at: Position,
  { subOffset }: { subOffset: number },
): ModelMessage[] {
  const order = comparePositions(at, tailOf(source));
  if (order > 0 || (order === 0 && subOffset > 0)) throw new Refusal('FORK_OFFSET_BEYOND_TAIL');
  const kept = source.messages.slice(0, at.messages);
  if (comparePositions(positionOf(source, at.messages), at) !== 0) {
    throw new Refusal('INVALID_OFFSET');
  }
  if (subOffset === 0) return ended(kept);
  if (!source.json) {
    const { text } = source.messages[at.messages] as ModelMessage;
    if (subOffset > text.length) throw new Refusal('FORK_OFFSET_BEYOND_TAIL');
    return [...kept, { text: text.slice(0, subOffset), endsAppend: true }];
  }
  for (let left = subOffset, i = at.messages; left > 0; left--, i++) {
    const message = source.messages[i] as ModelMessage;
    kept.push(message);
    if (message.endsAppend && left > 1) throw new Refusal('FORK_OFFSET_BEYOND_TAIL');
  }
  return ended(kept);
}

function ended(messages: readonly ModelMessage[]): ModelMessage[] {
  return messages.map((message, i) =>
    i === messages.length - 1 ? { ...message, endsAppend: true } : message,
  );
}

function append(texts: readonly string[]): ModelMessage[] {
  return texts.map((text, i) => ({ text, endsAppend: i === texts.length - 1 }));
}

function checkOrder(
  producer: { epoch: number; seq: number },
  known: { epoch: number; seq: number } | undefined,
): void {
  if (known !== undefined && producer.epoch > known.epoch) {
    if (producer.seq !== 0) throw new Refusal('INVALID_PRODUCER');
    return;
  }
  if (producer.seq !== (known?.seq ?? -1) + 1) throw new Refusal('PRODUCER_SEQ_GAP');
}

function requestOf(request: ModelCreate): string {
  const { json, ttlSeconds, fork } = request;
  return JSON.stringify({ json, ttlSeconds, fork });
}

export function positionOf(stream: ModelStream, messages: number): Position {
  const before = stream.messages.slice(0, messages);
  return { messages: before.length, bytes: before.reduce((sum, { text }) => sum + text.length, 0) };
}

export function tailOf(stream: ModelStream): Position {
  return positionOf(stream, stream.messages.length);
}

/** What a read from a position gives. */
export function readModel(
  stream: ModelStream,
  from: Position,
  maxBytes: number,
): { from: Position; to: Position; text: string; upToDate: boolean } {
  const tail = tailOf(stream);
  if (comparePositions(from, tail) >= 0) return { from: tail, to: tail, text: '', upToDate: true };
  let first = 0;
  while (comparePositions(positionOf(stream, first + 1), from) <= 0) first++;
  let end = first + 1;
  const start = positionOf(stream, first);
  while (end < stream.messages.length) {
    if (positionOf(stream, end + 1).bytes - start.bytes > maxBytes) break;
    end++;
  }
  const text = stream.messages.slice(first, end).map((message) => message.text);
  const upToDate = end === stream.messages.length;
  return { from: start, to: positionOf(stream, end), text: text.join(''), upToDate };
}

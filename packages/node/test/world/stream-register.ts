/**
 * One stream as a sequential object: what the protocol says each request answers, for the
 * linearizability checker. Written from the protocol and not from the engine: everything is a
 * plain value, and nothing is ever half done.
 *
 * Messages are as they rest: text ends with `;`, JSON values with `,`, and hold neither inside.
 */
import type { Operation, SequentialModel } from '@holdfast/testkit';
import type { RecordedOperation } from './history-recorder.ts';

export interface Producer {
  readonly id: string;
  readonly epoch: number;
  readonly seq: number;
}

export type StreamInput =
  | {
      readonly kind: 'create';
      readonly closed: boolean;
      readonly messages: readonly string[];
      readonly ttlMs?: number;
      /** A fork: what it inherits, known to whoever makes it. */
      readonly fork?: { readonly source: string; readonly at: string };
    }
  | {
      readonly kind: 'append';
      readonly messages: readonly string[];
      readonly close: boolean;
      readonly producer?: Producer;
      readonly streamSeq?: string;
    }
  /** From a position, given by its bytes. */
  | { readonly kind: 'read'; readonly from: number | 'now' }
  | { readonly kind: 'head' }
  | { readonly kind: 'delete' };

export interface StreamOutput {
  /** Everything an answer says but the body, e.g. `200 tail=… closed`. */
  readonly answer: string;
  /** Of a read that gave something. */
  readonly read?: {
    readonly text: string;
    readonly to: string;
    readonly upToDate: boolean;
    readonly closed: boolean;
    /** The connection broke: `text` is the beginning of what was sent. */
    readonly cut: boolean;
  };
}

/** Its times are for streams that expire. */
export type StreamOperation = RecordedOperation<StreamInput, StreamOutput>;

/** The messages of a stream; equal contents are the same object. */
class Content {
  readonly parent: Content | undefined;
  readonly text: string;
  readonly messages: number;
  readonly id: number;
  readonly #children = new Map<string, Content>();
  readonly #ids: { last: number };

  constructor(ids: { last: number }, parent?: Content, message = '') {
    this.#ids = ids;
    this.parent = parent;
    this.text = (parent?.text ?? '') + message;
    this.messages = parent === undefined ? 0 : parent.messages + 1;
    this.id = ++ids.last;
  }

  plus(message: string): Content {
    let child = this.#children.get(message);
    if (child === undefined) {
      child = new Content(this.#ids, this, message);
      this.#children.set(message, child);
    }
    return child;
  }

  get tail(): string {
    return positionOf(this.messages, this.text.length);
  }
}

export interface StreamState {
  /** `deleted`: as absent, but forks may keep the path. */
  readonly life: 'absent' | 'live' | 'deleted';
  readonly content: Content;
  readonly closed: boolean;
  readonly streamSeq?: string;
  readonly producers: ReadonlyMap<string, Producer>;
  readonly ttlMs?: number;
  readonly fork?: string;
  /** Not before this did anybody use it; only of streams that expire. */
  readonly touchedMs?: number;
}

interface Planned {
  readonly next: StreamState;
  /** Any of these. */
  readonly answers: readonly string[];
}

export function positionOf(messages: number, bytes: number): string {
  return `${String(messages).padStart(16, '0')}_${String(bytes).padStart(16, '0')}`;
}

export function bytesOf(position: string): number {
  return Number(position.slice(17));
}

/** Splits bytes as they rest into messages. */
export function messagesOf(text: string): string[] {
  return text.match(/[^;,]*[;,]/g) ?? [];
}

/** What is known from elsewhere, so that a search does not try what cannot be. */
export interface Hints {
  /** Everything a stream holds at the end that was never deleted: it was always a beginning of it. */
  readonly final?: string;
  /** Messages that somebody read. */
  readonly seen: ReadonlySet<string>;
}

export function streamRegister(
  hints: Hints = { seen: new Set() },
): SequentialModel<StreamState, StreamInput, StreamOutput> {
  const empty = new Content({ last: 0 });
  const possible = ({ content }: StreamState): boolean =>
    hints.final === undefined || hints.final.startsWith(content.text);
  const likeliest = (operation: Operation<StreamInput, StreamOutput>): boolean =>
    operation.input.kind !== 'append' ||
    operation.input.messages.length === 0 ||
    hints.seen.has(operation.input.messages[0] as string);
  const initial: StreamState = {
    life: 'absent',
    content: empty,
    closed: false,
    producers: new Map(),
  };
  const absent = { initial, deleted: { ...initial, life: 'deleted' as const } };
  return {
    initial,
    step(state, operation) {
      const alive = stepAlive(state, operation as StreamOperation, absent).filter(possible);
      const results = likeliest(operation) ? alive : [...alive].reverse();
      const { ttlMs, touchedMs } = state;
      if (state.life !== 'live' || ttlMs === undefined || touchedMs === undefined) return results;
      if ((operation as StreamOperation).returnedMs < touchedMs + ttlMs) return results;
      return [...results, ...stepAlive(initial, operation as StreamOperation, absent)];
    },
    isRead,
    key: keyOf,
  };
}

/** Also every refusal, which has the form of a code. Only of streams that expire a read is none. */
function isRead({ input, output }: Operation<StreamInput, StreamOutput>): boolean {
  if (output === undefined) return false;
  return input.kind === 'read' || /^(?:head|found|[A-Z_]+)\b/.test(output.answer);
}

interface Absent {
  readonly initial: StreamState;
  readonly deleted: StreamState;
}

function stepAlive(
  state: StreamState,
  operation: StreamOperation,
  absent: Absent,
): readonly StreamState[] {
  const { input, output } = operation;
  if (input.kind === 'read')
    return readable(state, input.from, output) ? touch(state, operation) : [];
  const planned = plan(state, input, absent, operation);
  if (output === undefined) return planned.next === state ? [state] : [planned.next, state];
  if (planned.answers.includes(output.answer)) return [planned.next];
  return isWithoutSource(state, input, output) ? [state] : [];
}

/** The source of a fork is another object: whether it was there is not for this one to say. */
function isWithoutSource(
  state: StreamState,
  input: StreamInput,
  { answer }: StreamOutput,
): boolean {
  if (state.life === 'live' || input.kind !== 'create' || input.fork === undefined) return false;
  return answer === 'STREAM_NOT_FOUND' || answer === 'FORK_SOURCE_GONE';
}

function touch(state: StreamState, { invokedMs }: StreamOperation): readonly StreamState[] {
  const { touchedMs } = state;
  if (touchedMs === undefined || invokedMs <= touchedMs) return [state];
  return [{ ...state, touchedMs: invokedMs }];
}

function readable(
  state: StreamState,
  from: number | 'now',
  output: StreamOutput | undefined,
): boolean {
  if (output === undefined) return true;
  if (state.life !== 'live') return missing(state).includes(output.answer);
  const { read } = output;
  if (read === undefined) return false;
  const { text } = state.content;
  const start = from === 'now' ? text.length : from;
  const end = bytesOf(read.to);
  if (contentAt(state.content, end)?.tail !== read.to) return false;
  const slice = text.slice(start, end);
  if (read.cut ? !slice.startsWith(read.text) : slice !== read.text) return false;
  return read.upToDate === (end === text.length) && read.closed === (read.upToDate && state.closed);
}

function contentAt(content: Content, bytes: number): Content | undefined {
  let at: Content | undefined = content;
  while (at !== undefined && at.text.length > bytes) at = at.parent;
  return at?.text.length === bytes ? at : undefined;
}

function plan(
  state: StreamState,
  input: Exclude<StreamInput, { kind: 'read' }>,
  absent: Absent,
  operation: StreamOperation,
): Planned {
  if (input.kind === 'create') return planCreate(state, input, absent, operation);
  if (state.life !== 'live') return { next: state, answers: missing(state) };
  if (input.kind === 'delete') return { next: absent.deleted, answers: ['deleted'] };
  if (input.kind === 'head') {
    return { next: state, answers: [`head ${standing(state)}`] };
  }
  return planAppend(state, input, operation);
}

function missing({ life }: StreamState): string[] {
  return life === 'deleted' ? ['STREAM_NOT_FOUND', 'STREAM_GONE'] : ['STREAM_NOT_FOUND'];
}

function standing({ content, closed }: StreamState): string {
  return `tail=${content.tail} closed=${closed}`;
}

function planCreate(
  state: StreamState,
  input: Extract<StreamInput, { kind: 'create' }>,
  { initial }: Absent,
  { invokedMs }: StreamOperation,
): Planned {
  const fork = input.fork === undefined ? undefined : `${input.fork.source}@${input.fork.at}`;
  if (state.life === 'live') {
    const same =
      state.closed === input.closed && state.ttlMs === input.ttlMs && state.fork === fork;
    return { next: state, answers: same ? [`found ${standing(state)}`] : ['STREAM_EXISTS'] };
  }
  const next: StreamState = {
    ...initial,
    life: 'live',
    closed: input.closed,
    content: input.messages.reduce((content, message) => content.plus(message), initial.content),
    ...(fork === undefined ? {} : { fork }),
    ...(input.ttlMs === undefined ? {} : { ttlMs: input.ttlMs, touchedMs: invokedMs }),
  };
  return { next, answers: [`created ${standing(next)}`] };
}

/** The checks in the order of PROTOCOL 5.2 and 5.2.1. */
function planAppend(
  state: StreamState,
  input: Extract<StreamInput, { kind: 'append' }>,
  { invokedMs }: StreamOperation,
): Planned {
  const { producer, streamSeq } = input;
  const known = producer === undefined ? undefined : state.producers.get(producer.id);
  const refuse = (answer: string): Planned => ({ next: state, answers: [answer] });
  if (producer !== undefined && known !== undefined) {
    if (producer.epoch < known.epoch) return refuse(`PRODUCER_FENCED epoch=${known.epoch}`);
    if (producer.epoch === known.epoch && producer.seq <= known.seq) {
      return refuse(`kept ${standing(state)} ${tagOf(known)}`);
    }
  }
  if (state.closed) {
    const again = input.close && input.messages.length === 0 && producer === undefined;
    return refuse(again ? `kept ${standing(state)}` : `STREAM_CLOSED tail=${state.content.tail}`);
  }
  if (producer !== undefined) {
    const newEpoch = known !== undefined && producer.epoch > known.epoch;
    if (newEpoch && producer.seq !== 0) return refuse('INVALID_PRODUCER');
    const expected = known === undefined || newEpoch ? 0 : known.seq + 1;
    if (producer.seq !== expected) return refuse(`PRODUCER_SEQ_GAP expected=${expected}`);
  }
  if (streamSeq !== undefined && state.streamSeq !== undefined && streamSeq <= state.streamSeq) {
    return refuse('STREAM_SEQ_CONFLICT');
  }
  const next: StreamState = {
    ...state,
    content: input.messages.reduce((content, message) => content.plus(message), state.content),
    closed: input.close,
    ...(streamSeq === undefined ? {} : { streamSeq }),
    ...(state.touchedMs === undefined ? {} : { touchedMs: Math.max(state.touchedMs, invokedMs) }),
    producers:
      producer === undefined
        ? state.producers
        : new Map([...state.producers, [producer.id, producer]]),
  };
  if (producer === undefined) return { next, answers: [`kept ${standing(next)}`] };
  const isNew = input.messages.length > 0 ? 'new' : 'kept';
  return { next, answers: [`${isNew} ${standing(next)} ${tagOf(producer)}`] };
}

function tagOf({ epoch, seq }: Producer): string {
  return `epoch=${epoch} seq=${seq}`;
}

function keyOf(state: StreamState): string {
  const producers = [...state.producers.values()]
    .map(({ id, epoch, seq }) => `${id}.${epoch}.${seq}`)
    .sort();
  const { life, content, closed, streamSeq, ttlMs, fork, touchedMs } = state;
  return [life, content.id, closed, streamSeq, ttlMs, fork, touchedMs, ...producers].join();
}

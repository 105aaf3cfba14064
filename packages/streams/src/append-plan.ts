/**
 * One append from request to commit: the checks in the order of the store's contract, and
 * the reservation of its place. Synchronous: nothing can come between check and reservation.
 */
import { HoldfastError } from '@holdfast/core';
import { sameContentType } from './content-type.ts';
import { isExpired } from './expiry.ts';
import { checkBytes, closedError, gone, notFound, type Planning } from './planning.ts';
import { formatPosition } from './position.ts';
import { type Attempt, flightsOf, StreamCommit } from './stream-commit.ts';
import { type AppendData, type AppendOperation, STREAM_RECORDS } from './stream-operations.ts';
import type { AppendRequest, AppendResult, ProducerTag } from './stream-store.ts';
import type { ProducerState, Stream, StreamView } from './stream.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The view of a stream as a plan sees it, or why there is nothing to plan on. */
export function streamAhead(planning: Planning, path: string, nowMs: number): Stream {
  const stream = planning.directory.ahead(path);
  if (stream === undefined) throw notFound();
  const { state, forks } = stream.ahead;
  if (state === 'removed') throw notFound();
  if (state === 'softDeleted') throw gone();
  if (isExpired(stream, nowMs)) throw forks > 0 ? gone() : notFound();
  return stream;
}

export function planAppend(
  planning: Planning,
  request: AppendRequest,
  nowMs: number,
  resolve: (result: AppendResult) => void,
  reject: (error: HoldfastError) => void,
): Attempt<AppendResult> {
  const stream = streamAhead(planning, request.path, nowMs);
  const { producer } = request;
  const known = producer === undefined ? undefined : stream.producer(producer.id, true);
  if (producer !== undefined && known !== undefined) {
    if (producer.epoch < known.epoch) throw fenced(known);
    if (producer.epoch === known.epoch && producer.seq <= known.seq) {
      return producerDuplicate(stream, producer, known);
    }
  }
  const view = stream.ahead;
  if (view.closed) {
    const closeAgain = request.close && request.messages === undefined && producer === undefined;
    if (closeAgain) return duplicate(stream, stream.applied.closed);
    throw closedError(view);
  }
  checkContentType(stream, request);
  if (producer !== undefined) checkProducerOrder(planning, stream, producer, known);
  checkStreamSeq(view, request.streamSeq);
  const data = request.messages?.(stream.json);
  if (data === undefined && !request.close) {
    throw new HoldfastError('EMPTY_BODY', 'an append needs a body');
  }
  if (data !== undefined) {
    checkBytes(planning, view.tail.bytes - stream.base.bytes, data.bytes.length);
  }
  commitAppend(planning, stream, operationOf(stream, request, data, nowMs), resolve, reject);
  return COMMITTED;
}

const COMMITTED = { kind: 'committed' } as const;

/**
 * The answer to a retry: the highest state known, not what the retry said. When the original
 * is still in flight, so is the answer.
 */
function producerDuplicate(
  stream: Stream,
  producer: ProducerTag,
  ahead: ProducerState,
): Attempt<AppendResult> {
  const durable = stream.producer(producer.id, false);
  const isDurable =
    durable !== undefined && durable.epoch === producer.epoch && producer.seq <= durable.seq;
  return duplicate(stream, isDurable, isDurable ? durable : ahead);
}

function duplicate(
  stream: Stream,
  isDurable: boolean,
  producer?: ProducerState,
): Attempt<AppendResult> {
  const view = isDurable ? stream.applied : stream.ahead;
  const result: Mutable<AppendResult> = {
    outcome: 'duplicate',
    tail: view.tail,
    closed: view.closed,
  };
  if (producer !== undefined) result.producer = { epoch: producer.epoch, seq: producer.seq };
  return { kind: 'answer', value: () => result, restsOn: isDurable ? [] : flightsOf(stream) };
}

function fenced(known: ProducerState): HoldfastError {
  return new HoldfastError('PRODUCER_FENCED', `a newer epoch writes epoch=${known.epoch}`, {
    details: { currentEpoch: known.epoch },
  });
}

function checkContentType(stream: Stream, request: AppendRequest): void {
  if (request.messages === undefined || request.contentType === undefined) return;
  if (sameContentType(request.contentType, stream.config.contentType)) return;
  throw new HoldfastError('CONTENT_TYPE_MISMATCH', 'content type is not the one of the stream', {
    details: { contentType: stream.config.contentType },
  });
}

function checkProducerOrder(
  planning: Planning,
  stream: Stream,
  producer: ProducerTag,
  known: ProducerState | undefined,
): void {
  const newEpoch = known !== undefined && producer.epoch > known.epoch;
  if (newEpoch && producer.seq !== 0) {
    throw new HoldfastError('INVALID_PRODUCER', 'a new epoch starts at seq 0');
  }
  const expected = known === undefined || newEpoch ? 0 : known.seq + 1;
  if (producer.seq !== expected) {
    throw new HoldfastError(
      'PRODUCER_SEQ_GAP',
      `producer skipped appends expected=${expected} received=${producer.seq}`,
      { details: { expectedSeq: expected, receivedSeq: producer.seq } },
    );
  }
  if (known === undefined && producersAhead(stream) >= planning.settings.maxProducersPerStream) {
    throw new HoldfastError(
      'QUOTA_EXCEEDED',
      `stream knows too many producers limit=${planning.settings.maxProducersPerStream}`,
    );
  }
}

function producersAhead(stream: Stream): number {
  let count = stream.producers?.size ?? 0;
  if (stream.plannedProducers !== undefined) {
    for (const id of stream.plannedProducers.keys()) if (!stream.producers?.has(id)) count++;
  }
  return count;
}

function checkStreamSeq(view: StreamView, streamSeq: string | undefined): void {
  if (streamSeq === undefined || view.streamSeq === undefined) return;
  // Header values are latin-1, where code units and bytes order alike; others compare as UTF-8.
  if (Buffer.compare(Buffer.from(streamSeq), Buffer.from(view.streamSeq)) > 0) return;
  throw new HoldfastError('STREAM_SEQ_CONFLICT', 'stream-seq is not above the last one', {
    details: { nextOffset: formatPosition(view.tail) },
  });
}

function operationOf(
  stream: Stream,
  request: AppendRequest,
  data: AppendData | undefined,
  nowMs: number,
): AppendOperation {
  const operation: Mutable<AppendOperation> = {
    type: STREAM_RECORDS.append,
    shard: stream.shard,
    id: stream.id,
    first: stream.ahead.tail,
    close: request.close,
    atMs: nowMs,
  };
  if (data !== undefined) operation.data = data;
  if (request.producer !== undefined) operation.producer = request.producer;
  if (request.streamSeq !== undefined) operation.streamSeq = request.streamSeq;
  return operation;
}

function commitAppend(
  planning: Planning,
  stream: Stream,
  operation: AppendOperation,
  resolve: (result: AppendResult) => void,
  reject: (error: HoldfastError) => void,
): void {
  const { first, data, producer, streamSeq, close } = operation;
  const tail =
    data === undefined
      ? first
      : {
          messages: first.messages + data.lengths.length,
          bytes: first.bytes + data.bytes.length,
        };
  const result: Mutable<AppendResult> = { outcome: 'appended', tail, closed: close };
  if (producer !== undefined) result.producer = { epoch: producer.epoch, seq: producer.seq };
  const commit = new StreamCommit(planning.inFlight, [stream], () => resolve(result), reject);
  planning.host.commit([operation], commit);

  const view = stream.planning();
  view.tail = tail;
  if (close) view.closed = true;
  if (streamSeq !== undefined) view.streamSeq = streamSeq;
  if (producer !== undefined) {
    stream.plannedProducers ??= new Map();
    stream.plannedProducers.set(producer.id, { epoch: producer.epoch, seq: producer.seq });
  }
  if (data !== undefined) planning.usage.bytesAhead += data.bytes.length;
  stream.touchedAtMs = Math.max(stream.touchedAtMs, operation.atMs);
  planning.inFlight.begin(commit);
}

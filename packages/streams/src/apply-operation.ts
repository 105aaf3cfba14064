/**
 * Operations into applied state. A deterministic function of operation and state: replay and
 * live commits go through here alike, and applying one twice changes nothing.
 */
import { assert, cut, HoldfastError } from '@holdfast/core';
import type { Usage } from './planning.ts';
import type { ShardChanges } from './shard-changes.ts';
import type { StreamDirectory } from './stream-directory.ts';
import {
  type AppendOperation,
  type CreateOperation,
  STREAM_RECORDS,
  type StreamOperation,
  tailOf,
} from './stream-operations.ts';
import { Stream } from './stream.ts';

export interface Applying {
  readonly directory: StreamDirectory;
  readonly usage: Usage;
  changesOf(operation: StreamOperation): ShardChanges;
  /** Data or closure is new: readers hear of it when the batch is settled. */
  changed(stream: Stream, from: Stream['applied']['tail']): void;
  /** Its readers have nothing more to wait for. */
  ended(stream: Stream): void;
  created(stream: Stream): void;
}

export function applyOperation(state: Applying, operation: StreamOperation): void {
  const changes = state.changesOf(operation);
  if (operation.type === STREAM_RECORDS.create) {
    applyCreate(state, changes, operation);
    return;
  }
  const stream = state.directory.byId(operation.id);
  if (stream === undefined || stream.applied.state === 'new') {
    assert(
      operation.id <= changes.highestId,
      `record of a stream that was never created stream=${operation.id}`,
    );
    return;
  }
  switch (operation.type) {
    case STREAM_RECORDS.append:
      applyAppend(state, stream, operation);
      break;
    case STREAM_RECORDS.setForks:
      stream.applied.forks = operation.forks;
      void cut('streams.forkCountApplied');
      break;
    case STREAM_RECORDS.softDelete:
      stream.applied.state = 'softDeleted';
      state.ended(stream);
      void cut('streams.softDeleteApplied');
      break;
    case STREAM_RECORDS.remove:
      stream.applied.state = 'removed';
      state.usage.bytes -= stream.ownBytes;
      state.directory.remove(stream);
      stream.forgetBytes();
      changes.graves.set(stream.id, stream);
      state.ended(stream);
      void cut('streams.removeApplied');
      break;
  }
  stream.changed();
  changes.dirty.add(stream);
}

function applyCreate(state: Applying, changes: ShardChanges, operation: CreateOperation): void {
  const planned = state.directory.byId(operation.id);
  if (planned !== undefined && planned.applied.state !== 'new') return;
  if (planned === undefined && operation.id <= changes.highestId) return;
  const stream = planned ?? Stream.created(operation);
  changes.highestId = Math.max(changes.highestId, operation.id);
  stream.applied.state = 'active';
  stream.applied.closed = operation.closed;
  if (operation.initial !== undefined) {
    stream.tail.append(stream.applied.tail, operation.initial);
    stream.applied.tail = tailOf(operation);
    state.usage.bytes += operation.initial.bytes.length;
  }
  stream.changed();
  state.directory.add(stream);
  changes.dirty.add(stream);
  state.created(stream);
}

function applyAppend(state: Applying, stream: Stream, operation: AppendOperation): void {
  const { applied } = stream;
  const { first, data, producer } = operation;
  const behind = first.messages - applied.tail.messages;
  if (behind < 0 || (behind === 0 && data === undefined && applied.closed)) return;
  if (behind > 0 || first.bytes !== applied.tail.bytes) {
    throw new HoldfastError(
      'LSN_GAP',
      `record does not continue its stream stream=${stream.id} message=${first.messages}`,
      { effect: 'unknown' },
    );
  }
  const from = applied.tail;
  if (data !== undefined) {
    stream.tail.append(first, data);
    applied.tail = {
      messages: first.messages + data.lengths.length,
      bytes: first.bytes + data.bytes.length,
    };
    state.usage.bytes += data.bytes.length;
  }
  if (operation.close) applied.closed = true;
  if (operation.streamSeq !== undefined) applied.streamSeq = operation.streamSeq;
  if (producer !== undefined) {
    stream.producers ??= new Map();
    stream.producers.set(producer.id, { epoch: producer.epoch, seq: producer.seq });
    stream.dirtyProducers ??= new Set();
    stream.dirtyProducers.add(producer.id);
  }
  if (operation.atMs > stream.updatedAtMs) stream.updatedAtMs = operation.atMs;
  if (operation.atMs > stream.touchedAtMs) stream.touchedAtMs = operation.atMs;
  state.changed(stream, from);
}

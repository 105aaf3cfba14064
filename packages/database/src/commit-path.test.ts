import { HoldfastError, type Lsn, type ShardId } from '@holdfast/core';
import type { CommitSink, Log } from '@holdfast/log';
import { describe, expect, it } from 'vitest';
import { CommitPath } from './commit-path.ts';
import type { Engine, Operation } from './engine.ts';
import { EngineRegistry } from './engine-registry.ts';

const OPERATION: Operation = { type: 0xfff0, shard: 0 as ShardId };
const NOT_WRITTEN = new HoldfastError('STORAGE_UNAVAILABLE', 'nothing was written');
const MAYBE_WRITTEN = new HoldfastError('STORAGE_UNAVAILABLE', 'it may be', { effect: 'unknown' });

/** A commit path over a log whose answers the test gives. */
function setUp() {
  const heard: string[] = [];
  const waiting: CommitSink[] = [];
  const engine = {
    name: 'rows',
    recordTypes: [OPERATION.type],
    encode: () => [],
    apply: () => heard.push('applied'),
    discardPlanned: () => heard.push('discarded'),
  } as unknown as Engine;
  const log = {
    submit: (_: unknown, sink: CommitSink) => void waiting.push(sink),
    onBatch: () => undefined,
    onFailed: () => undefined,
  } as unknown as Log;
  const path = new CommitPath(log, new EngineRegistry([engine]), 0 as Lsn, {
    applied: () => undefined,
    settled: () => undefined,
    failed: (error) => heard.push(`database failed: ${error.code}`),
  });
  const commit = (name: string): void =>
    path.commit([OPERATION], {
      visible: () => void heard.push(`${name} visible`),
      failed: ({ code, effect }) => void heard.push(`${name} ${code} ${effect}`),
    });
  return { heard, waiting, path, commit };
}

describe('commits that are refused', () => {
  it('are told together, behind everything in flight and after plans were dropped', () => {
    const { heard, waiting, commit } = setUp();
    commit('a');
    commit('b');
    waiting[0]?.failed(NOT_WRITTEN);
    expect(heard).toEqual([]);
    waiting[1]?.failed(NOT_WRITTEN);
    expect(heard).toEqual([
      'discarded',
      'a STORAGE_UNAVAILABLE none',
      'b STORAGE_UNAVAILABLE none',
    ]);
  });

  it('behind a failure hear that nothing is known: plans that rest on them are not made again', () => {
    const { heard, waiting, path, commit } = setUp();
    commit('a');
    path.fail(MAYBE_WRITTEN);
    waiting[0]?.failed(NOT_WRITTEN);
    expect(heard).toEqual(['database failed: STORAGE_UNAVAILABLE', 'a NODE_FAILED unknown']);
  });

  it('behind a commit that may be on disk hear the same', () => {
    const { heard, waiting, commit } = setUp();
    commit('a');
    commit('b');
    waiting[0]?.failed(MAYBE_WRITTEN);
    waiting[1]?.failed(NOT_WRITTEN);
    expect(heard).toEqual([
      'database failed: STORAGE_UNAVAILABLE',
      'a STORAGE_UNAVAILABLE unknown',
      'b NODE_FAILED unknown',
    ]);
  });
});

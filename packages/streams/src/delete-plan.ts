/**
 * Deletion, by request or by expiry: a stream with forks stays for them, one without goes,
 * and with it every soft-deleted ancestor that nobody else reads. All of it is one commit, so
 * that a reference count is never wrong, whenever the power goes.
 */
import { assert, cut } from '@holdfast/core';
import type { CommitPlan, Planning } from './planning.ts';
import { STREAM_RECORDS } from './stream-operations.ts';
import type { Stream } from './stream.ts';

export function planDelete(planning: Planning, plan: CommitPlan, stream: Stream): void {
  void cut('streams.deleting');
  const view = plan.view(stream);
  if (view.forks > 0) {
    view.state = 'softDeleted';
    plan.operations.push({
      type: STREAM_RECORDS.softDelete,
      shard: stream.shard,
      id: stream.id,
    });
    return;
  }
  let leaf: Stream | undefined = stream;
  while (leaf !== undefined) {
    plan.remove(leaf, { type: STREAM_RECORDS.remove, shard: leaf.shard, id: leaf.id });
    leaf = releaseSource(planning, plan, leaf);
  }
}

/** One fork less. Returns the source if that was the last thing that kept it. */
function releaseSource(planning: Planning, plan: CommitPlan, fork: Stream): Stream | undefined {
  if (fork.fork === undefined) return undefined;
  const source = planning.directory.byId(fork.fork.sourceId);
  assert(source !== undefined, `a fork lost its source fork=${fork.id}`);
  const view = plan.view(source);
  assert(view.forks > 0, `fork count below its forks stream=${source.id}`);
  view.forks--;
  if (view.forks === 0 && view.state === 'softDeleted') {
    void cut('streams.cascadePlanned');
    return source;
  }
  planForks(plan, source, view.forks);
  return undefined;
}

export function planForks(plan: CommitPlan, source: Stream, forks: number): void {
  plan.view(source).forks = forks;
  plan.operations.push({
    type: STREAM_RECORDS.setForks,
    shard: source.shard,
    id: source.id,
    forks,
  });
}

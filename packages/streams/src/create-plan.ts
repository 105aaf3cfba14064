/**
 * Creation from request to commit: the same request again is answered, a soft-deleted path is
 * blocked, an expired stream is removed and replaced in one commit, and a fork takes its
 * reference on the source in the same commit that creates it.
 */
import { cut, HoldfastError, LIMITS } from '@holdfast/core';
import { isJsonContentType, sameContentType } from './content-type.ts';
import { planDelete, planForks } from './delete-plan.ts';
import { isExpired } from './expiry.ts';
import { forkDepth } from './fork.ts';
import { checkBytes, CommitPlan, type Planning } from './planning.ts';
import { comparePositions, type Position } from './position.ts';
import { type Attempt, flightsOf } from './stream-commit.ts';
import {
  type CreateOperation,
  type ForkOrigin,
  STREAM_RECORDS,
  tailOf,
} from './stream-operations.ts';
import type { CreateRequest, CreateResult, ForkRequest } from './stream-store.ts';
import { Stream } from './stream.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const DEFAULT_CONTENT_TYPE = 'application/octet-stream';

/** Finds the base of a fork. */
export type FindBase = (source: Stream, fork: ForkRequest) => Position | Promise<Position>;

/** A base that had to be read is known when the plan is made again: data never changes. */
export function rememberBase(find: FindBase): FindBase {
  let found: { readonly sourceId: number; readonly base: Position } | undefined;
  return (source, fork) => {
    if (found?.sourceId === source.id) return found.base;
    const base = find(source, fork);
    if (!(base instanceof Promise)) return base;
    return base.then((position) => {
      found = { sourceId: source.id, base: position };
      return position;
    });
  };
}

export function planCreate(
  planning: Planning,
  request: CreateRequest,
  findBase: FindBase,
  nowMs: number,
  resolve: (result: CreateResult) => void,
  reject: (error: HoldfastError) => void,
): Attempt<CreateResult> {
  const existing = planning.directory.ahead(request.path);
  const replaced = existing?.ahead.state === 'removed' ? undefined : existing;
  if (replaced !== undefined) {
    const answer = answerExisting(replaced, request, nowMs);
    if (answer !== undefined) return answer;
  }
  if (replaced === undefined && planning.usage.streamsAhead >= planning.settings.maxStreams) {
    throw new HoldfastError(
      'QUOTA_EXCEEDED',
      `there are too many streams limit=${planning.settings.maxStreams}`,
    );
  }
  let origin: { source: Stream; fork: ForkOrigin } | undefined;
  if (request.fork !== undefined) {
    const found = findOrigin(planning, request, request.fork, findBase, nowMs);
    if ('after' in found) return { kind: 'again', after: found.after };
    origin = found;
  }
  const operation = operationOf(planning, request, origin, nowMs);
  checkBytes(planning, 0, operation.initial?.bytes.length ?? 0);
  commitCreate(planning, operation, replaced, origin?.source, resolve, reject);
  return { kind: 'committed' };
}

/** `undefined`: it is over, and may be replaced. */
function answerExisting(
  stream: Stream,
  request: CreateRequest,
  nowMs: number,
): Attempt<CreateResult> | undefined {
  const view = stream.ahead;
  const expired = isExpired(stream, nowMs);
  if (view.state === 'softDeleted' || (expired && view.forks > 0)) {
    throw new HoldfastError('PATH_BLOCKED', 'a deleted stream keeps this path for its forks');
  }
  if (expired) return undefined;
  if (!sameRequest(stream, request)) {
    throw new HoldfastError('STREAM_EXISTS', 'a stream with another configuration exists');
  }
  const { applied } = stream;
  const isDurable = applied.state === 'active' && applied.closed === view.closed;
  return {
    kind: 'answer',
    value: () => ({ created: false, info: stream.info }),
    restsOn: isDurable ? [] : flightsOf(stream),
  };
}

function sameRequest(stream: Stream, request: CreateRequest): boolean {
  const { config, fork } = stream;
  if (request.closed !== stream.ahead.closed) return false;
  if ((fork === undefined) !== (request.fork === undefined)) return false;
  const contentType =
    request.contentType ?? (fork === undefined ? DEFAULT_CONTENT_TYPE : config.contentType);
  if (!sameContentType(contentType, config.contentType)) return false;
  const givesExpiry = request.ttlSeconds !== undefined || request.expiresAtMs !== undefined;
  if (fork?.inheritsExpiry === true ? givesExpiry : !sameExpiry(stream, request)) return false;
  return fork === undefined || sameFork(fork, request.fork as ForkRequest);
}

function sameExpiry(stream: Stream, request: CreateRequest): boolean {
  const { ttlSeconds, expiresAtMs } = stream.config;
  return request.ttlSeconds === ttlSeconds && request.expiresAtMs === expiresAtMs;
}

/** A fork "at the tail" is the same however far the tail has moved since. */
function sameFork(fork: ForkOrigin, request: ForkRequest): boolean {
  if (fork.sourcePath !== request.source || fork.subOffset !== request.subOffset) return false;
  if (request.at === undefined) return fork.requestedAt === undefined;
  return comparePositions(fork.requestedAt ?? fork.base, request.at) === 0;
}

/** The source and the base, or what has to happen before they can be known. */
function findOrigin(
  planning: Planning,
  request: CreateRequest,
  fork: ForkRequest,
  findBase: FindBase,
  nowMs: number,
): { source: Stream; fork: ForkOrigin } | { after: Promise<unknown> } {
  const source = planning.directory.ahead(fork.source);
  if (source === undefined || source.ahead.state === 'removed') throw noSource();
  const expired = isExpired(source, nowMs);
  if (source.ahead.state === 'softDeleted' || (expired && source.ahead.forks > 0)) {
    throw new HoldfastError('FORK_SOURCE_GONE', 'the source of the fork was deleted');
  }
  if (expired) throw noSource();
  const { contentType } = source.config;
  if (request.contentType !== undefined && !sameContentType(request.contentType, contentType)) {
    throw new HoldfastError('CONTENT_TYPE_MISMATCH', 'a fork has the content type of its source', {
      details: { contentType },
    });
  }
  if (source.applied.state === 'new') {
    const [flight] = flightsOf(source);
    const after = new Promise<void>((resolve, reject) => {
      flight?.park((error) => (error?.effect === 'unknown' ? reject(error) : resolve()));
    });
    return { after };
  }
  if (forkDepth(planning.directory, source) >= LIMITS.maxForkDepth) {
    throw new HoldfastError(
      'QUOTA_EXCEEDED',
      `forks of forks nest too deep limit=${LIMITS.maxForkDepth}`,
    );
  }
  const base = findBase(source, fork);
  if (base instanceof Promise) return { after: base };
  const givesExpiry = request.ttlSeconds !== undefined || request.expiresAtMs !== undefined;
  const made: Mutable<ForkOrigin> = {
    sourceId: source.id,
    sourcePath: fork.source,
    base,
    subOffset: fork.subOffset,
    inheritsExpiry: !givesExpiry,
  };
  if (fork.at !== undefined) made.requestedAt = fork.at;
  return { source, fork: made };
}

function noSource(): HoldfastError {
  return new HoldfastError('STREAM_NOT_FOUND', 'the source of the fork does not exist');
}

function commitCreate(
  planning: Planning,
  operation: CreateOperation,
  replaced: Stream | undefined,
  source: Stream | undefined,
  resolve: (result: CreateResult) => void,
  reject: (error: HoldfastError) => void,
): void {
  const plan = new CommitPlan(planning);
  if (replaced !== undefined) planDelete(planning, plan, replaced);
  const stream = Stream.created(operation);
  plan.create(stream, operation, operation.initial?.bytes.length ?? 0);
  const view = plan.view(stream);
  view.state = 'active';
  view.closed = operation.closed;
  view.tail = tailOf(operation);
  if (source !== undefined) planForks(plan, source, plan.view(source).forks + 1);
  plan.submit(() => resolve({ created: true, info: stream.info }), reject);
  if (source !== undefined) void cut('streams.forkSubmitted');
}

function operationOf(
  planning: Planning,
  request: CreateRequest,
  origin: { source: Stream; fork: ForkOrigin } | undefined,
  nowMs: number,
): CreateOperation {
  const inherited = origin?.source.config;
  const operation: Mutable<CreateOperation> = {
    type: STREAM_RECORDS.create,
    shard: planning.host.shardOf(request.path),
    id: planning.nextId(),
    path: request.path,
    contentType: request.contentType ?? inherited?.contentType ?? DEFAULT_CONTENT_TYPE,
    createdAtMs: nowMs,
    closed: request.closed,
  };
  const expiry = origin?.fork.inheritsExpiry === true ? origin.source.config : request;
  if (expiry.ttlSeconds !== undefined) operation.ttlSeconds = expiry.ttlSeconds;
  if (expiry.expiresAtMs !== undefined) operation.expiresAtMs = Math.max(0, expiry.expiresAtMs);
  if (expiry.expiresAtText !== undefined) operation.expiresAtText = expiry.expiresAtText;
  if (origin !== undefined) operation.fork = origin.fork;
  const initial = request.initial?.(isJsonContentType(operation.contentType));
  if (initial !== undefined && initial.lengths.length > 0) operation.initial = initial;
  return operation;
}

/**
 * What the planners share, and the plan of a commit that changes several streams.
 *
 * A plan first gathers operations and the views they lead to, without touching any stream;
 * `submit` makes the views planned only after the host has accepted the operations.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import type { CommitOptions, EngineHost } from '@holdfast/database';
import { formatPosition } from './position.ts';
import { type InFlight, StreamCommit } from './stream-commit.ts';
import type { StreamDirectory } from './stream-directory.ts';
import type { StreamOperation } from './stream-operations.ts';
import type { StreamSettings } from './stream-settings.ts';
import type { Stream, StreamView } from './stream.ts';

/** Own bytes and number of all streams. `ahead` counts what is in flight. */
export class Usage {
  bytes = 0;
  bytesAhead = 0;
  streamsAhead = 0;
}

export interface Planning {
  readonly host: EngineHost;
  readonly directory: StreamDirectory;
  readonly inFlight: InFlight;
  readonly usage: Usage;
  readonly settings: StreamSettings;
  /** The id for the next stream. */
  nextId(): number;
}

export class CommitPlan {
  readonly operations: StreamOperation[] = [];
  readonly #planning: Planning;
  readonly #views = new Map<Stream, StreamView>();
  readonly #created: Stream[] = [];
  #bytes = 0;

  constructor(planning: Planning) {
    this.#planning = planning;
  }

  /** The view this plan leads to, to be changed. */
  view(stream: Stream): StreamView {
    let view = this.#views.get(stream);
    if (view === undefined) {
      view = { ...stream.ahead };
      this.#views.set(stream, view);
    }
    return view;
  }

  create(stream: Stream, operation: StreamOperation, bytes: number): void {
    this.#created.push(stream);
    this.#bytes += bytes;
    this.operations.push(operation);
  }

  remove(stream: Stream, operation: StreamOperation): void {
    const view = this.view(stream);
    view.state = 'removed';
    this.#bytes -= view.tail.bytes - stream.base.bytes;
    this.operations.push(operation);
  }

  /** Throws what the host throws, and then nothing is planned. */
  submit(
    onVisible: () => void,
    onFailed: (error: HoldfastError) => void,
    options?: CommitOptions,
  ): void {
    const { host, directory, inFlight, usage } = this.#planning;
    const commit = new StreamCommit(inFlight, [...this.#views.keys()], onVisible, onFailed);
    host.commit(this.operations, commit, options);
    for (const stream of this.#created) directory.plan(stream);
    for (const [stream, view] of this.#views) {
      const removed = view.state === 'removed' && stream.ahead.state !== 'removed';
      stream.planned = view;
      if (removed) usage.streamsAhead--;
    }
    usage.streamsAhead += this.#created.length;
    usage.bytesAhead += this.#bytes;
    inFlight.begin(commit);
  }
}

/** Throws `QUOTA_EXCEEDED` or `STREAM_TOO_LARGE`. */
export function checkBytes(planning: Planning, ownBytes: number, added: number): void {
  const { maxStreamBytes, maxTotalBytes } = planning.settings;
  if (maxStreamBytes !== undefined && ownBytes + added > maxStreamBytes) {
    throw new HoldfastError(
      'STREAM_TOO_LARGE',
      `stream would grow past its limit bytes=${ownBytes + added} limit=${maxStreamBytes}`,
    );
  }
  if (maxTotalBytes !== undefined && planning.usage.bytesAhead + added > maxTotalBytes) {
    throw new HoldfastError(
      'QUOTA_EXCEEDED',
      `all streams together would grow past their limit limit=${maxTotalBytes}`,
    );
  }
}

export function notFound(): HoldfastError {
  return new HoldfastError('STREAM_NOT_FOUND', 'there is no stream at this path');
}

export function gone(): HoldfastError {
  return new HoldfastError('STREAM_GONE', 'the stream was deleted and only its forks remain');
}

export function closedError(view: StreamView): HoldfastError {
  return new HoldfastError('STREAM_CLOSED', 'the stream is closed', {
    details: { closed: true, nextOffset: formatPosition(view.tail) },
  });
}

/** Would not come back from the log as it went in. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** What the edge promises about the texts of a request; a longer one is a bug of the caller. */
export function assertTexts(path: string, ...texts: readonly (string | undefined)[]): void {
  // Lengths in UTF-16 units are never above lengths in bytes: cheap, and enough here.
  if (path.length > LIMITS.maxPathBytes || path === '' || LONE_SURROGATE.test(path)) {
    throw new HoldfastError('INVALID_PATH', `path is not valid length=${path.length}`);
  }
  for (const text of texts) {
    if (text === undefined) continue;
    if (text.length > LIMITS.maxWriterTokenBytes || LONE_SURROGATE.test(text)) {
      throw new HoldfastError('INVALID_HEADER', `text is not valid length=${text.length}`);
    }
  }
}

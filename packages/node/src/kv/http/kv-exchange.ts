/** One request for key-value stores and its answer, with what was parsed of it, and ways to answer. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, HoldfastError, type Logger } from '@holdfast/core';
import type { KvStore } from '@holdfast/kv';
import {
  answerProblem,
  asHoldfastError,
  type CrossOriginPolicy,
  type HttpBounds,
  NO_STORE,
  type ReadPace,
  sendBody,
  SECURITY_HEADERS,
} from '@holdfast/streams';
import type { KvStoresOptions, KvStoreSummary } from '../kv-stores.ts';
import type { KvFields } from './kv-headers.ts';
import { KV_HEADERS } from './kv-headers.ts';
import type { KvTarget } from './kv-target.ts';
import type { ReadGates } from './read-gates.ts';

/** What the routes ask of `node.kv`. */
export interface ServedStores {
  store(name: string): KvStore;
  stores(options?: KvStoresOptions): AsyncIterable<KvStoreSummary>;
}

export interface KvHttpSettings extends ReadPace {
  readonly maxBodyBytes: number;
  readonly sseHeartbeatMs: number;
}

export interface KvContext extends HttpBounds {
  readonly stores: ServedStores;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly crossOrigin: CrossOriginPolicy;
  readonly settings: KvHttpSettings;
  readonly reads: ReadGates;
}

/** From here on a body waits until there is room for it, instead of making others leave. */
const LARGE_BODY_BYTES = 64 * 1024;

export class KvExchange {
  readonly context: KvContext;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly fields: KvFields;
  readonly target: KvTarget;
  #gone: AbortController | undefined;
  #hasRoom = false;

  constructor(
    context: KvContext,
    request: IncomingMessage,
    response: ServerResponse,
    fields: KvFields,
    target: KvTarget,
  ) {
    this.context = context;
    this.request = request;
    this.response = response;
    this.fields = fields;
    this.target = target;
  }

  /** Throws `INVALID_ENTRY_KEY` for a name that no store has. */
  get store(): KvStore {
    return this.context.stores.store(this.target.store);
  }

  /** Ends when the client leaves before it has its answer: nobody works for nobody. */
  get gone(): AbortSignal {
    if (this.#gone !== undefined) return this.#gone.signal;
    const gone = new AbortController();
    this.#gone = gone;
    const { response } = this;
    response.once('close', () => {
      if (!response.writableFinished) gone.abort();
    });
    if (response.destroyed) gone.abort();
    return gone.signal;
  }

  /** Appends what goes on every answer. Nothing here is for caches: versions are asked for anew. */
  complete(headers: string[]): string[] {
    headers.push(...NO_STORE, ...SECURITY_HEADERS);
    const { origin } = this.fields;
    if (origin !== undefined) {
      headers.push(...this.context.crossOrigin.headersFor(origin, false));
    }
    return headers;
  }

  /** Answers without a body. */
  reply(status: number, headers: string[] = []): void {
    this.response.writeHead(status, this.complete(headers));
    this.response.end();
  }

  /** Answers with a body that is known whole; of a HEAD only its length. */
  replyBody(status: number, headers: string[], body: Buffer): void {
    headers.push('Content-Length', String(body.length));
    this.response.writeHead(status, this.complete(headers));
    if (this.request.method === 'HEAD') this.response.end();
    else if (this.#hasRoom) this.response.end(body);
    else sendBody(this.response, [body], this.context.memory);
  }

  replyJson(status: number, value: object): void {
    this.replyBody(status, ['Content-Type', 'application/json'], jsonBody(value));
  }

  /** Reads of the store, as many at a time as may be. Who left meanwhile reads nothing. */
  read<Result>(read: () => Promise<Result>): Promise<Result> {
    return this.context.reads.run(this.target.store, () => {
      if (!this.response.destroyed) return read();
      throw new HoldfastError('ABORTED', 'the client left');
    });
  }

  /**
   * Within a read: `result`, once there is room for the answer of so many bytes, which it keeps until
   * its client has it. So nobody who takes its answer is cut because others ask for large ones too.
   */
  withRoom<Result>(result: Result, bytes: number): Result | Promise<Result> {
    if (bytes < LARGE_BODY_BYTES || this.request.method === 'HEAD') return result;
    this.#hasRoom = true;
    const { memory } = this.context;
    const room = memory.room(memory.open(this.response), bytes);
    return room === undefined ? result : room.then(() => result);
  }

  /** The answer to what `work` comes to. */
  answer<Result>(work: Promise<Result>, send: (result: Result) => void): void {
    work.then(send).catch(this.failed);
  }

  fail(thrown: unknown): void {
    failKv(this.context, this.request, this.response, thrown, this.target);
  }

  readonly failed = (thrown: unknown): void => this.fail(thrown);
}

export function jsonBody(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Answers with the problem. Never throws. */
export function failKv(
  context: KvContext,
  request: IncomingMessage,
  response: ServerResponse,
  thrown: unknown,
  target?: KvTarget,
): void {
  const error = asHoldfastError(thrown);
  if (error.kind === 'internal' || error.kind === 'corrupt') {
    const cause = error.code === 'INTERNAL_ERROR' ? (error.cause ?? error) : error;
    context.logger.error('kv.request-failed', {
      code: error.code,
      error: cause instanceof Error ? (cause.stack ?? cause.message) : typeof cause,
    });
  }
  const headers = target?.kind === 'entry' ? headersOf(error) : [];
  answerProblem(request, response, error, { ...context, headers });
}

/** Who lost against another writer is told which version is there. */
function headersOf({ code, details }: HoldfastError): readonly string[] {
  const version = details['version'];
  if (code !== 'PRECONDITION_FAILED' || version === undefined) return [];
  return ['ETag', `"${String(version)}"`, KV_HEADERS.version, String(version)];
}

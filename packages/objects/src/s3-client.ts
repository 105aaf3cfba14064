/**
 * Signed requests to one bucket, one at a time asked and answered: nothing is tried twice.
 *
 * Invariants
 * 1. Every request is signed with its body's hash: bytes that were damaged on the way are refused.
 * 2. At most `objectRequests` requests wait for the head of their answer.
 * 3. An answer given out is a success; whoever got it reads it to its end or discards it.
 * 4. No error and no log names a secret: credentials go into the signature alone.
 */
import { createHash } from 'node:crypto';
import {
  type Clock,
  type Effect,
  type HoldfastError,
  isHoldfastError,
  LIMITS,
} from '@holdfast/core';
import type { AwsV4Signer } from 'aws4fetch';
import { type HttpAnswer, HttpFailure, type HttpTransport } from './http-transport.ts';
import { endedError, unavailable } from './object-errors.ts';
import { Permits } from './permits.ts';
import { parseError } from './s3-answers.ts';
import type { CredentialSource } from './s3-credentials.ts';
import { answerError, EXPIRED_CODES } from './s3-errors.ts';
import type { S3Place } from './s3-settings.ts';
import { SilenceWatch } from './silence-watch.ts';

export interface S3ClientComponents {
  readonly transport: HttpTransport;
  readonly clock: Clock;
  readonly credentials: CredentialSource;
  /** The class of aws4fetch, which is loaded late. */
  readonly signer: typeof AwsV4Signer;
}

export interface S3Request {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** As the caller of the store knows it; without it the request is about the bucket. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
  /** Of a failure in the middle of the request. */
  readonly effect: Effect;
}

/** An answer of status 200 to 299. */
export interface S3Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** `undefined` at the end. */
  next(): Promise<Buffer | undefined>;
  /** All of it, bounded. */
  bytes(): Promise<Buffer>;
  discard(): void;
}

const ERROR_BYTES = 64 * 1024;
const HASHED_BETWEEN_TURNS = 1024 * 1024;
const MAX_SIGNING_KEYS = 8;

export class S3Client {
  readonly #components: S3ClientComponents;
  readonly #place: S3Place;
  readonly #permits = new Permits(LIMITS.objectRequests);
  /** Signing keys by day and secret: a derivation costs four rounds. */
  readonly #signingKeys = new Map<string, ArrayBuffer>();

  constructor(components: S3ClientComponents, place: S3Place) {
    this.#components = components;
    this.#place = place;
  }

  async send(request: S3Request): Promise<S3Answer> {
    const { transport, clock } = this.#components;
    const release = await this.#permits.acquire(request.signal); // I2
    const watch = new SilenceWatch(clock, this.#place.silenceMs, request.signal);
    try {
      const url = this.#url(request);
      const headers = await this.#sign(request, url, watch.signal);
      watch.touch();
      const { method, body } = request;
      const onProgress = (): void => watch.touch();
      const answer = await transport.send({
        method,
        url,
        headers,
        body,
        signal: watch.signal,
        onProgress,
      });
      watch.pause();
      const read = new Answer(answer, watch, (error) => this.#failure(error, watch, request));
      if (answer.status >= 200 && answer.status < 300) return read;
      throw await this.#refusal(read, request);
    } catch (error) {
      watch.end();
      throw this.#failure(error, watch, request);
    } finally {
      release();
    }
  }

  close(): void {
    this.#components.transport.close();
  }

  #url({ key, query = {} }: S3Request): URL {
    const { base, prefix } = this.#place;
    const path = key === undefined ? '' : `/${encodePath(prefix + key)}`;
    const search = Object.entries(query)
      .map(([name, value]) => `${encodeSign(name)}=${encodeSign(value)}`)
      .join('&');
    return new URL(`${base}${path === '' ? '/' : path}${search === '' ? '' : `?${search}`}`);
  }

  async #sign(
    request: S3Request,
    url: URL,
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, string>>> {
    const { credentials, clock, signer } = this.#components;
    const { accessKeyId, secretAccessKey, sessionToken } = await credentials.get(signal);
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(request.headers ?? {})) {
      if (value !== undefined) headers[name] = value;
    }
    headers['x-amz-content-sha256'] = await this.#hash(request.body); // I1
    if (this.#signingKeys.size > MAX_SIGNING_KEYS) this.#signingKeys.clear();
    const signed = await new signer({
      method: request.method,
      url: url.href,
      headers,
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
      service: 's3',
      region: this.#place.region,
      datetime: new Date(clock.now()).toISOString().replace(/[:-]|\.\d{3}/g, ''),
      cache: this.#signingKeys,
    }).sign();
    return Object.fromEntries(signed.headers.entries());
  }

  /** Bit by bit: a part of 8 MiB in one turn would hold up everybody else for a long time. */
  async #hash(body: Uint8Array = new Uint8Array(0)): Promise<string> {
    const hash = createHash('sha256');
    for (let at = 0; at < body.byteLength; at += HASHED_BETWEEN_TURNS) {
      if (at > 0) await new Promise<void>((done) => this.#components.clock.immediate(done));
      hash.update(body.subarray(at, at + HASHED_BETWEEN_TURNS));
    }
    return hash.digest('hex');
  }

  async #refusal(answer: Answer, request: S3Request): Promise<HoldfastError> {
    const bytes = await answer.upTo(ERROR_BYTES).catch(() => Buffer.alloc(0));
    const error = parseError(bytes);
    if (error !== undefined && EXPIRED_CODES.includes(error.code)) {
      this.#components.credentials.forget();
    }
    return answerError(
      {
        status: answer.status,
        error,
        region: answer.headers['x-amz-bucket-region'],
        retryAfter: answer.headers['retry-after'],
      },
      {
        method: request.method,
        key: request.key ?? '',
        bucket: this.#place.bucket,
        effect: request.effect,
      },
    );
  }

  #failure(error: unknown, watch: SilenceWatch, request: S3Request): unknown {
    const effect = error instanceof HttpFailure && !error.sent ? 'none' : request.effect;
    if (request.signal.aborted) return endedError(request.signal, effect);
    if (isHoldfastError(error)) return error;
    if (!(error instanceof HttpFailure)) return error;
    const what = watch.silent ? 'the object store says nothing' : error.message;
    const where = `bucket=${this.#place.bucket} key=${request.key ?? ''}`;
    return unavailable(`${what} ${where}`, { effect, cause: error.cause });
  }
}

class Answer implements S3Answer {
  readonly #answer: HttpAnswer;
  readonly #watch: SilenceWatch;
  readonly #failure: (error: unknown) => unknown;
  readonly #pieces: AsyncIterator<Buffer>;

  constructor(answer: HttpAnswer, watch: SilenceWatch, failure: (error: unknown) => unknown) {
    this.#answer = answer;
    this.#watch = watch;
    this.#failure = failure;
    this.#pieces = answer.body[Symbol.asyncIterator]();
  }

  get status(): number {
    return this.#answer.status;
  }

  get headers(): Readonly<Record<string, string | undefined>> {
    return this.#answer.headers;
  }

  async next(): Promise<Buffer | undefined> {
    this.#watch.touch();
    try {
      const next = await this.#pieces.next();
      this.#watch.pause();
      if (next.done !== true) return next.value;
      this.#watch.end();
      return undefined;
    } catch (error) {
      this.#watch.end();
      throw this.#failure(error);
    }
  }

  async bytes(): Promise<Buffer> {
    const bytes = await this.upTo(LIMITS.maxObjectAnswerBytes + 1);
    if (bytes.length <= LIMITS.maxObjectAnswerBytes) return bytes;
    throw unavailable('the answer of the object store is too long');
  }

  /** Reads on to the end only within `limit`. */
  async upTo(limit: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let length = 0;
    while (length < limit) {
      const piece = await this.next();
      if (piece === undefined) return Buffer.concat(pieces);
      pieces.push(piece);
      length += piece.length;
    }
    this.discard();
    return Buffer.concat(pieces);
  }

  discard(): void {
    this.#watch.end();
    this.#answer.discard();
  }
}

function encodePath(path: string): string {
  return path.split('/').map(encodeSign).join('/');
}

/** As RFC 3986 and the signature want it. */
function encodeSign(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

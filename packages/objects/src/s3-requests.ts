/** The requests of S3 that the store needs, each one request: no policy is in here. */
import { unavailable } from './object-errors.ts';
import type { ByteRange, ObjectInfo } from './object-store.ts';
import {
  type ListedKeys,
  type ListedUploads,
  parseCompletion,
  parseListedKeys,
  parseListedUploads,
  parseUploadId,
  unquote,
} from './s3-answers.ts';
import type { S3Answer, S3Client } from './s3-client.ts';
import { answerError } from './s3-errors.ts';
import { escapeXml } from './s3-xml.ts';
import type { S3Place } from './s3-settings.ts';

/** Headers that make a write one with a condition; empty for none. */
export type ConditionHeaders = Readonly<Record<string, string>>;

export interface UploadedPart {
  readonly number: number;
  readonly etag: string;
}

const WRITE_ID = 'x-amz-meta-holdfast-write';
const BYTES = { 'content-type': 'application/octet-stream' };

export class S3Requests {
  readonly #client: S3Client;
  readonly #place: S3Place;

  constructor(client: S3Client, place: S3Place) {
    this.#client = client;
    this.#place = place;
  }

  /** Resolves to the etag. */
  async putObject(
    key: string,
    body: Uint8Array,
    condition: ConditionHeaders,
    writeId: string | undefined,
    signal: AbortSignal,
  ): Promise<string> {
    const answer = await this.#client.send({
      method: 'PUT',
      key,
      headers: { ...BYTES, ...condition, [WRITE_ID]: writeId },
      body,
      signal,
      effect: 'unknown',
    });
    const etag = unquote(answer.headers['etag'] ?? '');
    await drain(answer);
    if (etag === '') throw unavailable(`a put without an etag key=${key}`, { effect: 'unknown' });
    return etag;
  }

  async getObject(
    key: string,
    range: ByteRange | undefined,
    signal: AbortSignal,
  ): Promise<{ answer: S3Answer; info: ObjectInfo; offset: number; length: number }> {
    const last = range?.length === undefined ? '' : String(range.offset + range.length - 1);
    const answer = await this.#client.send({
      method: 'GET',
      key,
      headers: {
        // No `accept-encoding`: none is asked for by that, and some proxies change it under the
        // signature.
        range: range === undefined ? undefined : `bytes=${range.offset}-${last}`,
      },
      signal,
      effect: 'none',
    });
    try {
      return { answer, ...contentFacts(key, answer, range) };
    } catch (error) {
      answer.discard();
      throw error;
    }
  }

  /** `undefined` for any failure: a HEAD has no body that could tell which one. */
  async headObject(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    let answer: S3Answer;
    try {
      answer = await this.#client.send({ method: 'HEAD', key, signal, effect: 'none' });
    } catch (error) {
      const { details } = error as { details?: { status?: number } };
      const isAnswer = typeof details?.status === 'number' && details.status < 500;
      if (isAnswer && !signal.aborted) return undefined;
      throw error;
    }
    await drain(answer);
    const size = Number(answer.headers['content-length'] ?? NaN);
    return infoOf(key, answer, size);
  }

  async deleteObject(key: string, signal: AbortSignal): Promise<void> {
    await drain(await this.#client.send({ method: 'DELETE', key, signal, effect: 'unknown' }));
  }

  async listKeys(
    prefix: string,
    after: string,
    limit: number,
    signal: AbortSignal,
  ): Promise<ListedKeys> {
    const query = {
      'encoding-type': 'url',
      'list-type': '2',
      'max-keys': String(limit),
      prefix: prefix,
      ...(after === '' ? {} : { 'start-after': after }),
    };
    const answer = await this.#client.send({ method: 'GET', query, signal, effect: 'none' });
    return parseListedKeys(await answer.bytes());
  }

  async createUpload(
    key: string,
    writeId: string | undefined,
    signal: AbortSignal,
  ): Promise<string> {
    const answer = await this.#client.send({
      method: 'POST',
      key,
      query: { uploads: '' },
      headers: { ...BYTES, [WRITE_ID]: writeId },
      signal,
      effect: 'none', // nobody sees an upload
    });
    return parseUploadId(await answer.bytes());
  }

  async uploadPart(
    key: string,
    uploadId: string,
    number: number,
    body: Uint8Array,
    signal: AbortSignal,
  ): Promise<UploadedPart> {
    const answer = await this.#client.send({
      method: 'PUT',
      key,
      query: { partNumber: String(number), uploadId },
      body,
      signal,
      effect: 'none',
    });
    const etag = answer.headers['etag'] ?? '';
    await drain(answer);
    if (etag === '') throw unavailable(`a part without an etag key=${key} part=${number}`);
    return { number, etag };
  }

  /** Resolves to the etag. */
  async completeUpload(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
    condition: ConditionHeaders,
    signal: AbortSignal,
  ): Promise<string> {
    const listed = parts.map(
      ({ number, etag }) =>
        `<Part><PartNumber>${number}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`,
    );
    const answer = await this.#client.send({
      method: 'POST',
      key,
      query: { uploadId },
      headers: { 'content-type': 'application/xml', ...condition },
      body: Buffer.from(
        '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' +
          `${listed.join('')}</CompleteMultipartUpload>`,
      ),
      signal,
      effect: 'unknown',
    });
    const completion = await understood(answer, parseCompletion, key);
    if ('etag' in completion) return completion.etag;
    const { bucket } = this.#place;
    throw answerError(
      { status: 500, error: completion, region: undefined, retryAfter: undefined },
      { method: 'POST', key, bucket, effect: 'unknown' },
    );
  }

  async abortUpload(key: string, uploadId: string, signal: AbortSignal): Promise<void> {
    const query = { uploadId };
    await drain(await this.#client.send({ method: 'DELETE', key, query, signal, effect: 'none' }));
  }

  async listUploads(
    from: { readonly key: string; readonly uploadId: string } | undefined,
    signal: AbortSignal,
  ): Promise<ListedUploads> {
    const query = {
      'encoding-type': 'url',
      prefix: this.#place.prefix,
      uploads: '',
      ...(from === undefined ? {} : { 'key-marker': from.key, 'upload-id-marker': from.uploadId }),
    };
    const answer = await this.#client.send({ method: 'GET', query, signal, effect: 'none' });
    return parseListedUploads(await answer.bytes());
  }
}

/** Answers without a body are read to their end too: so the connection serves again. */
async function drain(answer: S3Answer): Promise<void> {
  await answer.bytes().catch(() => undefined); // the head said what happened
}

/** What cannot be understood after a write leaves open what happened. */
async function understood<Value>(
  answer: S3Answer,
  parse: (bytes: Buffer) => Value,
  key: string,
): Promise<Value> {
  try {
    return parse(await answer.bytes());
  } catch (cause) {
    const { code } = cause as { code?: string };
    if (code !== 'STORAGE_UNAVAILABLE') throw cause;
    throw unavailable(`the answer to a write was lost key=${key}`, { effect: 'unknown', cause });
  }
}

function contentFacts(
  key: string,
  answer: S3Answer,
  range: ByteRange | undefined,
): { info: ObjectInfo; offset: number; length: number } {
  const length = Number(answer.headers['content-length'] ?? NaN);
  if (range === undefined) {
    if (answer.status !== 200) throw unavailable(`not the whole object key=${key}`);
    return { info: infoOf(key, answer, length), offset: 0, length };
  }
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(answer.headers['content-range'] ?? '');
  const [first, last, size] = (match?.slice(1) ?? []).map(Number);
  const wanted = Math.min(range.offset + (range.length ?? Infinity), size ?? 0) - 1;
  if (answer.status !== 206 || first !== range.offset || last !== wanted) {
    throw unavailable(`another range than asked for key=${key} offset=${range.offset}`);
  }
  if (length !== last - first + 1) throw unavailable(`a range of another length key=${key}`);
  return { info: infoOf(key, answer, size ?? NaN), offset: first, length };
}

function infoOf(key: string, { headers }: S3Answer, size: number): ObjectInfo {
  const etag = unquote(headers['etag'] ?? '');
  const modifiedMs = Date.parse(headers['last-modified'] ?? '');
  if (!Number.isSafeInteger(size) || etag === '' || !Number.isFinite(modifiedMs)) {
    throw unavailable(`an answer without size, etag or time key=${key}`);
  }
  const writeId = headers[WRITE_ID];
  const isOurs = writeId !== undefined && /^[0-9a-f]{32}$/.test(writeId);
  return { size, etag, modifiedMs, writeId: isOurs ? writeId : undefined };
}

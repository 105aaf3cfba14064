/**
 * One large object on its way to S3 in parts.
 *
 * Invariants
 * 1. At most `uploads` parts are under way, and one more is being filled: that is the memory.
 * 2. Until `completeUpload` was asked for nobody can see anything: failures have effect `none`.
 * 3. A failed upload is aborted, so that its parts cost nothing; where that fails too,
 *    `removeLeftovers` finds it.
 */
import { type Clock, HoldfastError, LIMITS } from '@holdfast/core';
import { throwIfEnded } from './object-errors.ts';
import type { PutResult } from './object-store.ts';
import type { ConditionHeaders, S3Requests, UploadedPart } from './s3-requests.ts';

export interface UploadComponents {
  readonly requests: S3Requests;
  readonly clock: Clock;
  /** Parts under way. */
  readonly uploads: number;
}

export interface UploadOrder {
  readonly key: string;
  readonly parts: AsyncIterable<Uint8Array>;
  readonly condition: ConditionHeaders;
  readonly writeId: string | undefined;
  readonly signal: AbortSignal;
}

const ABORT_MS = 10_000;

export async function uploadInParts(
  components: UploadComponents,
  order: UploadOrder,
): Promise<PutResult> {
  const { requests } = components;
  const { key, signal } = order;
  const uploadId = await requests.createUpload(key, order.writeId, signal);
  try {
    const { parts, size } = await sendParts(components, order, uploadId);
    throwIfEnded(signal);
    const etag = await requests.completeUpload(key, uploadId, parts, order.condition, signal);
    return { etag, size };
  } catch (error) {
    await abandon(components, key, uploadId); // I3
    throw error;
  }
}

async function sendParts(
  { requests, uploads }: UploadComponents,
  { key, parts, signal }: UploadOrder,
  uploadId: string,
): Promise<{ parts: UploadedPart[]; size: number }> {
  const done: UploadedPart[] = [];
  const underWay = new Set<Promise<void>>();
  const broken = new AbortController();
  const onAbort = (): void => broken.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  let failure: { readonly error: unknown } | undefined;
  let size = 0;
  let number = 0;
  const send = async (part: Uint8Array, at: number): Promise<void> => {
    try {
      done.push(await requests.uploadPart(key, uploadId, at, part, broken.signal));
    } catch (error) {
      if (failure === undefined) {
        failure = { error };
        broken.abort(new HoldfastError('ABORTED', 'another part failed'));
      }
    }
  };
  try {
    for await (const part of parts) {
      number++;
      if (number > LIMITS.maxObjectParts) throw tooManyParts(key);
      size += part.byteLength;
      while (underWay.size >= uploads) await Promise.race(underWay); // I1
      if (failure !== undefined) break;
      const sending: Promise<void> = send(part, number).finally(() => underWay.delete(sending));
      underWay.add(sending);
    }
  } catch (error) {
    failure ??= { error };
    broken.abort(new HoldfastError('ABORTED', 'the source failed'));
  } finally {
    await Promise.all(underWay);
    signal.removeEventListener('abort', onAbort);
  }
  if (failure !== undefined) throw failure.error;
  return { parts: done.sort((one, other) => one.number - other.number), size };
}

/** Not with the signal of the call: that may be what ended it. */
async function abandon(
  { requests, clock }: UploadComponents,
  key: string,
  uploadId: string,
): Promise<void> {
  const controller = new AbortController();
  const timer = clock.after(ABORT_MS, () =>
    controller.abort(new HoldfastError('ABORTED', 'tidying took too long')),
  );
  try {
    await requests.abortUpload(key, uploadId, controller.signal);
  } catch {
    // The first error matters; what stays is a leftover.
  } finally {
    timer.cancel();
  }
}

export function tooManyParts(key: string): HoldfastError {
  return new HoldfastError(
    'OBJECT_TOO_LARGE',
    `the object has more parts than the store takes key=${key} limit=${LIMITS.maxObjectParts}`,
  );
}
